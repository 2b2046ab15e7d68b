"""Registries as they were before a test: what it registers, the next one does not see."""

import importlib.util
import sys

import pytest

from helpers.project import ROOT
from pecl.config import plugins
from pecl.options import Registry


@pytest.fixture
def registries():
    """Forget after the test what it registered."""
    yield
    forget_plugins()


def forget_plugins():
    """Be as a process that has run no plug-in, and registered nothing."""
    plugins._loaded.clear()
    for registry in Registry.all:
        registry._added = {}


@pytest.fixture
def example(registries, monkeypatch):
    """Return what imports a file of `examples` by its name."""

    def load(name):
        spec = importlib.util.spec_from_file_location(name, ROOT / "examples" / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, name, module)
        spec.loader.exec_module(module)
        return module

    return load
