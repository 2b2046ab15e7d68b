"""Data flows one way: a module imports only from rows above its own, or from its own package."""

import ast
from pathlib import Path

import pecl

ROOT = Path(pecl.__file__).parent

# DESIGN: a module's row; deeper modules go by their package.
ROWS = {
    "errors": 0, "files": 0, "languages": 0, "losses": 0, "retrieval": 0, "config": 0,
    "locks": 0, "measures": 0, "routes": 0,
    "encoders": 1, "data": 1,
    "adapters": 2, "features": 2, "evaluator": 2, "checkpoint": 2, "optimizer": 2, "inputs": 2,
    "trainer": 3, "results": 3, "prepare": 3, "records": 3, "recorded": 3,
    "experiment": 4, "launchers": 4, "grid": 4, "report": 4, "plots": 4, "page": 4,
    "commands": 5, "cli": 6, "__main__": 7,
}  # fmt: skip


def imports(path):
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("pecl."):
            yield node.module.split(".")[1]
        elif isinstance(node, ast.Import):
            yield from (alias.name.split(".")[1] for alias in node.names if alias.name.startswith("pecl."))


def test_every_module_has_a_row_and_imports_from_above():
    wrong = []
    for path in ROOT.rglob("*.py"):
        own = path.relative_to(ROOT).parts[0].removesuffix(".py")
        if own == "__init__":
            continue  # the public interface may name anything
        assert own in ROWS, f"{own} has no row"
        for other in imports(path):
            if other != own and ROWS[other] > ROWS[own]:
                wrong.append(f"{path.relative_to(ROOT)} imports {other}")
            if (
                other != own
                and ROWS[other] == ROWS[own]
                and ROWS[own] in (1, 2)
                and {own, other} <= {"encoders", "data"}
            ):
                wrong.append(f"{path.relative_to(ROOT)} imports {other} of its own row")
    assert not wrong


def test_only_one_function_sets_requires_grad():
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in ROOT.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Attribute)
        and (node.attr == "requires_grad_" or (node.attr == "requires_grad" and isinstance(node.ctx, ast.Store)))
    ]  # fmt: skip
    assert {place.split(":")[0] for place in found} == {"adapters/base.py"}
