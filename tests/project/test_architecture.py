"""docs/architecture.md tells of the code as it is."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.project import ROOT

PACKAGE = ROOT / "pecl"
TEXT = (ROOT / "docs" / "architecture.md").read_text("utf-8")
PLAN = TEXT.partition("## The plan")[2].partition("## Four trips")[0]
TRIPS = TEXT.partition("## Four trips")[2].partition("## Free of torch")[0]  # and the table of places to add
ROWS = [line.split("|")[1:3] for line in PLAN.splitlines() if line.startswith("| `")]
NAMED = [name for first, _ in ROWS for name in re.findall(r"`([\w/]+)`", first)]
TORCH_FREE = re.findall(r"`(\w+)`", TEXT.partition("## Free of torch")[2].partition("## Words")[0])


def test_every_package_and_top_level_module_is_in_the_plan():
    packages = {
        str(path.parent.relative_to(PACKAGE)) for path in PACKAGE.rglob("__init__.py") if path.parent != PACKAGE
    }
    told_with_their_package = {"report/tables", "report/plots", "report/page"}
    modules = {path.stem for path in PACKAGE.glob("*.py")} - {"__init__", "__main__"}
    assert set(NAMED) == packages - told_with_their_package | modules


@pytest.mark.parametrize(
    "place", sorted(set(re.findall(r"`((?:[a-z_]+/)+[a-z_]+(?:\.[A-Za-z_]+)*)(?:\(\w+\))?`", TRIPS)))
)
def test_the_trips_pass_by_what_is_there(place):
    path, _, name = place.partition(".")
    if (PACKAGE / path).is_dir():
        assert not name
        return
    source = (PACKAGE / f"{path}.py").read_text("utf-8")
    for part in filter(None, name.split(".")):
        assert re.search(rf"(?:def|class) {part}\b", source), place


def torch_free_modules():
    for name in TORCH_FREE:
        path = PACKAGE / name
        files = sorted(path.rglob("*.py")) if path.is_dir() else [path.with_suffix(".py")]
        for file in files:
            if not {"launchers", "translating"} & set(file.parts):  # these compute
                parts = file.relative_to(ROOT).with_suffix("").parts
                yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def test_what_is_said_to_be_free_of_torch_imports_none():
    script = "import sys\n" + "".join(
        f"import {module}\nassert 'torch' not in sys.modules, '{module}'\n" for module in torch_free_modules()
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=Path("/"))
    assert done.returncode == 0, done.stderr
