import ast
import inspect
from importlib.metadata import version
from pathlib import Path

import jedi
import pytest
from helpers.project import ROOT

import pecl


@pytest.mark.parametrize("name", pecl.__all__)
def test_every_public_name_is_there_and_documented(name):
    found = getattr(pecl, name)
    assert found.__name__ == name
    assert found.__doc__


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'trian'"):
        getattr(pecl, "trian")  # noqa: B009


def test_the_version_is_that_of_the_installed_package():
    assert pecl.__version__ == version("pecl")
    assert "__version__" in dir(pecl)


def test_the_imports_for_type_checkers_are_the_lazy_names():
    tree = ast.parse(Path(pecl.__file__).read_text("utf-8"))
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    assert ast.unparse(block.test) == "TYPE_CHECKING"
    imported = [(alias, node.module) for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names]
    assert {alias.name: module for alias, module in imported} == pecl._PUBLIC
    assert all(alias.asname == alias.name for alias, _ in imported)  # "as" makes it public to type checkers


def completions(code):
    """Return what an editor offers at the end of `code`, without running any of it."""
    return {found.name for found in jedi.Script(code, project=jedi.Project(ROOT)).complete()}


def test_a_static_analyser_sees_every_public_name():
    assert completions("import pecl\npecl.") >= {*pecl.__all__, "__version__"}


def test_a_static_analyser_sees_the_methods_of_a_bank():
    methods = {name for name, _ in inspect.getmembers(pecl.AdapterBank) if not name.startswith("_")}
    assert methods > {"encode_text", "from_files", "languages"}
    assert completions("import pecl\npecl.AdapterBank.") >= methods
    assert completions("import pecl\nbank = pecl.AdapterBank(tower, 'lora')\nbank.") >= methods
