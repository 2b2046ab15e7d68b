"""Parameter-efficient cross-lingual transfer of CLIP: one frozen text tower, a few parameters per language.

Example:
    >>> import pecl
    >>> towers = pecl.load_towers("mini")
    >>> result = pecl.train(pecl.make_config({"language": "de", "route": "method1"}))
    >>> bank = pecl.AdapterBank(towers.text, "lora")
"""

import ast
from importlib import import_module
from pathlib import Path
from typing import Any

# Name -> module, from the stub that editors and type checkers read. A module is imported at its first use, so
# that `import pecl` and `pecl --help` stay quick.
_STUB = ast.parse(Path(__file__).with_suffix(".pyi").read_text("utf-8"))
_PUBLIC = {
    alias.name: str(node.module) for node in _STUB.body if isinstance(node, ast.ImportFrom) for alias in node.names
}
__all__ = sorted(_PUBLIC)


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used."""
    if name == "__version__":  # that of the installed package, from pyproject.toml
        from importlib.metadata import PackageNotFoundError, version

        try:
            return version("pecl")
        except PackageNotFoundError:
            return "unknown (pecl is not installed)"
    if name not in _PUBLIC:
        raise AttributeError(f"module 'pecl' has no attribute {name!r}")
    return getattr(import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    """Return the public names."""
    return [*__all__, "__version__"]
