"""Plug-ins: Python that registers adapters, losses, data sets and languages, named on the command line.

`--plugin my.py` names a file, and `--plugin my-losses` an installed package's entry point of the group `pecl.plugins`.
A config file or a result that names a plug-in does not run it. Results hold the SHA-256 of plug-ins, and the workers of
a grid refuse other content.
"""

import contextlib
import importlib.util
import sys
import traceback
from collections.abc import Iterator, Mapping
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType

from pecl.errors import ConfigError, one_line, suggest
from pecl.files import read_bytes_limited, sha256_bytes, sha256_file, sha256_json
from pecl.options import Registry

GROUP = "pecl.plugins"
_LIMIT = 1 << 24  # bytes of a file
_loaded: dict[str, str] = {}  # absolute path, or name of an entry point -> SHA-256


def load_plugin(name: str, sha256: str | None = None) -> str:
    """Run a plug-in, once in this process, and return its SHA-256.

    Args:
        name: a Python file, such as `my.py`, or the name of an entry point of the group `pecl.plugins`.
        sha256: SHA-256 of the expected content; None for any. A file with another one is not run.

    Raises:
        ConfigError: it is missing, fails or has another content, or its file has changed since this process ran it.

    Example:
        >>> sha256 = pecl.load_plugin("my.py")
        >>> result = pecl.train({"language": "de", "alignment": "mse+gram", "plugin": "my.py"})
    """
    key = _key(name)
    if _is_file(name):
        source = _read(name)
        found = sha256_bytes(source)
        _check(name, found, _loaded.get(key, sha256))
        if key not in _loaded:
            with _registering():
                _run(name, source, f"pecl_plugin_{found[:16]}")
    else:
        found = _loaded[key] if key in _loaded else _import(name)
        _check(name, found, sha256)
    _loaded[key] = found
    return found


def load_plugins(names: str | None) -> None:
    """Run the plug-ins that `--plugin` names, joined by commas, as `load_plugin`."""
    for name in _names(names):
        load_plugin(name)


def loaded_plugins() -> dict[str, str]:
    """Return the plug-ins of this process: absolute path, or name of an entry point -> SHA-256."""
    return dict(_loaded)


def load_same(plugins: Mapping[str, str]) -> None:
    """Run the plug-ins of another process, given by its `loaded_plugins`; raise ConfigError for one that differs."""
    for name, sha256 in plugins.items():
        load_plugin(name, sha256)


def fingerprint(names: str | None) -> str | None:
    """Return the SHA-256 of the plug-ins that a config names, or None; raise ConfigError if one was not run here."""
    hashes = []
    for name in _names(names):
        if _key(name) not in _loaded:
            raise ConfigError(
                f"plugin: {name} is code, which a config does not run: expected --plugin {name} on the command "
                f'line too, or pecl.load_plugin("{name}") before'
            )
        hashes.append(_loaded[_key(name)])
    return sha256_json(hashes) if len(hashes) > 1 else next(iter(hashes), None)


def installed_plugins() -> dict[str, EntryPoint]:
    """Return the entry points of the group `pecl.plugins` by name."""
    return {point.name: point for point in entry_points(group=GROUP)}


def _names(names: str | None) -> list[str]:
    return [] if names is None else names.split(",")


def _is_file(name: str) -> bool:
    return name.endswith(".py") or "/" in name


def _key(name: str) -> str:
    return str(Path(name).expanduser().absolute()) if _is_file(name) else name


def _check(name: str, found: str, expected: str | None) -> None:
    if expected is not None and found != expected:
        raise ConfigError(
            f"plugin: expected {name} as it was at the start, with SHA-256 {expected[:12]}, got {found[:12]}: "
            "start again"
        )


def _read(name: str) -> bytes:
    try:
        return read_bytes_limited(_key(name), _LIMIT)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"plugin: cannot read {name}: {reason}; expected a Python file, such as my.py") from error


@contextlib.contextmanager
def _registering() -> Iterator[None]:
    """Mark names that the body registers as known to workers; remove them if the body fails."""
    before = {id(registry): registry.added for registry in Registry.all}
    try:
        yield
    except BaseException:
        for registry in Registry.all:
            for name in registry.added - before.get(id(registry), frozenset()):
                registry.remove(name)
        raise
    for registry in Registry.all:
        registry.shared |= registry.added - before.get(id(registry), frozenset())


def _run(name: str, source: bytes, module_name: str) -> None:
    """Run the source of a file as a new module."""
    path, module = _key(name), ModuleType(module_name)
    module.__file__ = path
    sys.modules[module_name] = module  # dataclasses look their module up here
    try:
        exec(compile(source, path, "exec"), module.__dict__)
    except Exception as error:
        del sys.modules[module_name]
        frames = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == path]
        line = error.lineno if isinstance(error, SyntaxError) else frames[-1] if frames else None
        raise ConfigError(f"plugin: {name}{'' if line is None else f', line {line}'}: {_reason(error)}") from error


def _import(name: str) -> str:
    """Import the module of an entry point and return the SHA-256 of its source, that of modules below it included."""
    installed = installed_plugins()
    if name not in installed:
        there = f", such as {', '.join(sorted(installed))}" if installed else " (there is none here)"
        raise ConfigError(
            f'plugin: expected a Python file, such as my.py, or the name of an installed plug-in{there}, got "{name}"'
            f"{suggest(name, installed)}"
        )
    module = installed[name].module
    try:
        with _registering():
            installed[name].load()
        spec = importlib.util.find_spec(module)
        origin = Path((spec and spec.origin) or "")
        package = spec is not None and spec.submodule_search_locations is not None
        files = sorted(origin.parent.rglob("*.py")) if package else [origin]
        return sha256_json({path.relative_to(origin.parent).as_posix(): sha256_file(path) for path in files})
    except Exception as error:
        raise ConfigError(f"plugin: {name}, the module {module}: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    return one_line("".join(traceback.format_exception_only(error)).strip().splitlines()[-1])
