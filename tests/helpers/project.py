"""Where the project lies, and its scripts as modules."""

import sys
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).parents[2]
TESTS = ROOT / "tests"


def script(name):
    """Return a script as a module; it may import others that lie next to it."""
    sys.path.insert(0, str(ROOT / "scripts"))
    try:
        return import_module(name)
    finally:
        sys.path.remove(str(ROOT / "scripts"))
