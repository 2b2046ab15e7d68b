"""Where the project lies, and its tools as modules."""

import shutil
import sys
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).parents[2]
TESTS = ROOT / "tests"


def tool(name):
    """Return a module of tools/; it may import others that lie next to it."""
    sys.path.insert(0, str(ROOT / "tools"))
    try:
        return import_module(name)
    finally:
        sys.path.remove(str(ROOT / "tools"))


def copy_scripts(folder, program):
    """Copy scripts, tools and configs into `folder`, whose Python is `program`, a script of the shell."""
    for name in ("scripts", "tools", "configs"):
        shutil.copytree(ROOT / name, folder / name)
    python = folder / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f"#!/bin/sh\n{program}\n")
    python.chmod(0o755)
