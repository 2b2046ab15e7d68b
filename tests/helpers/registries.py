"""Registries as they were before a test: what it registers, the next one does not see."""

import importlib.util
import sys
from unittest import mock

import pytest

from helpers.project import ROOT
from pecl import languages, plugins
from pecl.data.registry import DATASETS
from pecl.languages import LANGUAGES
from pecl.options import Registry


@pytest.fixture
def registries():
    """Put the tables of languages, data sets, adapters and alignments back after the test."""
    with mock.patch.dict(LANGUAGES), mock.patch.dict(languages._BY_NAME), mock.patch.dict(DATASETS):
        yield
    forget_plugins()


def forget_plugins():
    """Be as a process that has run no plug-in, and registered no adapter or alignment."""
    plugins._loaded.clear()
    for registry in Registry.all:
        for name in registry.added:
            registry.remove(name)


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
