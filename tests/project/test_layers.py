"""Data flows one way: a module imports only from packages before its own, or from its own package."""

import ast
from pathlib import Path

import pecl

PACKAGE = Path(pecl.__file__).parent

# A module or package at the top level may import from those before it.
ORDER = (
    *("errors", "machine", "languages", "options", "files", "plugins", "config"),
    *("data", "retrieval", "encoders", "adapters", "training", "results", "experiment", "grid", "report"),
    *("export", "harness", "search", "serving", "bulk", "integrations"),
    *("commands", "cli", "__main__"),
)


def module_of(path):
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path): path for path in PACKAGE.rglob("*.py") if path.parent != PACKAGE or path.stem != "__init__"}


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


def test_every_package_has_its_place():
    assert {name.split(".")[1] for name in MODULES} == set(ORDER)


def test_no_arrow_climbs():
    rank = {name: place for place, name in enumerate(ORDER)}
    climbing = [
        f"{module} imports {other}"
        for module, path in MODULES.items()
        for other in imports(path)
        if rank[other.split(".")[1]] > rank[module.split(".")[1]]
    ]
    assert climbing == []


def test_no_modules_import_each_other_in_a_circle():
    remaining = {module: imports(path) & MODULES.keys() - {module} for module, path in MODULES.items()}
    while free := [module for module, others in remaining.items() if not others & remaining.keys()]:
        for module in free:
            del remaining[module]
    assert sorted(remaining) == []


def test_only_one_function_sets_requires_grad():
    found = {
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Attribute)
        and (node.attr == "requires_grad_" or (node.attr == "requires_grad" and isinstance(node.ctx, ast.Store)))
    }
    assert found == {"adapters/adapter.py"}
