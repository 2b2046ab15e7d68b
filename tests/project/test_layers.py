"""The layers of the package: imports go one way, and public names are documented."""

import ast
import re
from functools import cache
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

import pytest

import pecl

PACKAGE = Path(pecl.__file__).parent
DOTTED = re.compile(r"pecl(\.\w+)+(:\w*)?")

# A module or package at the top level may import from those before it.
ORDER = (
    *("errors", "machine", "options", "files", "language", "data", "config"),
    *("retrieval", "encoders", "adapters", "backends", "training", "results", "experiment", "grid", "report"),
    "commands",
    *(
        "apps/export",
        "apps/harness",
        "apps/search",
        "apps/serving",
        "apps/bulk",
        "apps/integrations",
        "apps/commands",
    ),
    *("apps", "cli", "__main__"),
)


def package_of(module):
    """Return the entry of `ORDER` to which a module belongs."""
    parts = module.split(".")[1:]
    return "/".join(parts[:2] if parts[0] == "apps" else parts[:1])


def module_of(path):
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path): path for path in PACKAGE.rglob("*.py") if path.parent != PACKAGE or path.stem != "__init__"}


@cache
def imports(path):
    """Return the modules of the package that a file imports when it is imported itself, or inside its functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("pecl."):
            submodules = {f"{node.module}.{alias.name}" for alias in node.names} & MODULES.keys()
            found |= submodules or {node.module}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.startswith("pecl.")}
    return found


def named_in_strings(path):
    """Return the modules that string literals of a file name: `pecl.x.y`, `pecl.x.y:name`, `pecl.x.y.name`."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and DOTTED.fullmatch(node.value):
            dotted = node.value.partition(":")[0]
            found |= {dotted if dotted in MODULES else dotted.rpartition(".")[0]} & MODULES.keys()
    return found


def test_every_package_has_its_place():
    assert {package_of(name) for name in MODULES} == set(ORDER)


@pytest.mark.parametrize("named", [imports, named_in_strings])
def test_no_arrow_climbs(named):
    rank = {name: place for place, name in enumerate(ORDER)}
    climbing = [
        f"{module} names {other}"
        for module, path in MODULES.items()
        for other in named(path)
        if rank[package_of(other)] > rank[package_of(module)]
    ]
    assert climbing == []


def test_modules_are_read_from_strings(tmp_path):
    path = tmp_path / "module.py"
    path.write_text('x = ["pecl.training.losses:mse", f"pecl.grid.run:{x}", "pecl.report.folders.compare", "pecl.not"]')
    assert named_in_strings(path) == {"pecl.training.losses", "pecl.grid.run", "pecl.report.folders"}


@pytest.mark.parametrize("folder", ["benchmarks", "examples", "tools"])
def test_what_programs_import_of_the_package_is_there(folder):
    """A benchmark takes minutes, so that its imports would otherwise be tried only by slow tests."""
    missing = []
    for path in sorted((PACKAGE.parent / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "pecl":
                module = import_module(node.module)
                names = [alias.name for alias in node.names if f"{node.module}.{alias.name}" not in MODULES]
                missing += [f"{path}: {node.module}.{name}" for name in names if not hasattr(module, name)]
    assert missing == []


def test_no_modules_import_each_other_in_a_circle():
    remaining = {module: imports(path) & MODULES.keys() - {module} for module, path in MODULES.items()}
    while free := [module for module, others in remaining.items() if not others & remaining.keys()]:
        for module in free:
            del remaining[module]
    assert sorted(remaining) == []


def test_editors_read_the_names_that_the_package_imports_on_use():
    stub = ast.parse((PACKAGE / "__init__.pyi").read_text("utf-8"))
    statements = [node for node in stub.body if isinstance(node, ast.ImportFrom)]
    aliases = [(node.module, alias) for node in statements for alias in node.names]
    assert all(alias.asname == alias.name for _, alias in aliases)
    assert {alias.name: module for module, alias in aliases} == pecl._MODULES


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
