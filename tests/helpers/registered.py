"""Examples of the project as modules; what they register is forgotten when the test ends."""

import importlib.util
import sys

import pytest

from helpers.project import ROOT
from pecl.options import Registry


@pytest.fixture
def forget_registered():
    """Forget at the end what the test has registered."""
    yield
    for registry in Registry.all:
        for name in registry.added:
            registry.remove(name)


@pytest.fixture
def example(forget_registered, monkeypatch):
    """Return what imports a file of `examples` by its name."""

    def load(name):
        spec = importlib.util.spec_from_file_location(name, ROOT / "examples" / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, name, module)
        spec.loader.exec_module(module)
        return module

    return load
