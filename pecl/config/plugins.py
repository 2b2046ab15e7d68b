"""Plug-ins: Python that registers adapters, losses, data sets and languages, named on the command line.

`--plugin my.py` names a file, and `--plugin my-losses` an installed package's entry point of the
group `pecl.plugins`. A config file or a result that names a plug-in does not run it. Results hold
the SHA-256 of plug-ins, and the workers of a grid run the same files and entry points.
"""

import contextlib
import importlib.util
import shlex
import sys
import traceback
from collections.abc import Iterable, Iterator
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType

from pecl.errors import ConfigError, flag_words, one_line, suggest
from pecl.files import expanded, read_regular, sha256_bytes, sha256_file, sha256_json
from pecl.options import Registry

GROUP = "pecl.plugins"
_loaded: dict[str, str] = {}  # path without links, or name of an entry point -> SHA-256
# registry, name -> what a plug-in put there; its SHA-256
_registered: dict[tuple[str, str], tuple[object, str]] = {}


def load_plugin(name: str) -> str:
    """Run a plug-in, once in this process, and return its SHA-256. If it fails, nothing of it stays registered.

    Args:
        name: a Python file, such as `my.py`, or the name of an entry point of the group `pecl.plugins`.

    Raises:
        ConfigError: it is missing or fails.

    Example:
        >>> sha256 = pecl.load_plugin("my.py")
        >>> result = pecl.train({"language": "de", "alignment": "mse+gram", "plugin": "my.py"})
    """
    key = _key(name)
    if key not in _loaded:
        _run_file(name, key) if _is_file(name) else _import(name)
    return _loaded[key]


def load_plugins(names: str | Iterable[str] | None) -> None:
    """Run the plug-ins that `--plugin` names, joined by commas, or a list from `loaded_plugins` of another process."""
    for name in names.split(",") if isinstance(names, str) else names or ():
        load_plugin(name)


def loaded_plugins() -> list[str]:
    """Return the plug-ins of this process: absolute paths and names of entry points."""
    return list(_loaded)


def fingerprint(names: str | None) -> str | None:
    """Return the SHA-256 of the plug-ins that a config names, or None. Raise ConfigError if one was not run here."""
    hashes = hashes_of(names)
    if not hashes:
        return None
    return sha256_json(hashes) if len(hashes) > 1 else hashes[0]


def hashes_of(names: str | None) -> list[str]:
    """Return the SHA-256 of each plug-in that a config names. Raise ConfigError if one was not run here."""
    hashes = list[str]()
    for name in names.split(",") if names is not None else ():
        if _key(name) not in _loaded:
            raise ConfigError(
                f"{name} is code, which a config does not run: expected {shlex.join(flag_words('plugin', name))} on "
                f'the command line too, or pecl.load_plugin("{name}") before',
                field="plugin",
            )
        hashes.append(_loaded[_key(name)])

    return hashes


def source_of(registry: Registry, name: str) -> str | None:
    """Return the SHA-256 of the plug-in that registered what a registry has under a name, or None."""
    value, sha256 = _registered.get((registry.kind, name), (None, None))
    return sha256 if value is registry.added(name) else None


def sha256_of_source(path: Path, is_package: bool) -> str:
    """Return the SHA-256 of a module's file, or of all Python files of the package whose `__init__.py` it is."""
    files = sorted(path.parent.rglob("*.py")) if is_package else [path]
    return sha256_json({file.relative_to(path.parent).as_posix(): sha256_file(file) for file in files})


def installed_plugins() -> dict[str, EntryPoint]:
    """Return the entry points of the group `pecl.plugins` by name."""
    return {point.name: point for point in entry_points(group=GROUP)}


def _is_file(name: str) -> bool:
    return name.endswith(".py") or "/" in name


def _key(name: str) -> str:
    return str(expanded(name).resolve()) if _is_file(name) else name


@contextlib.contextmanager
def _loading(key: str, sha256: str, package: str) -> Iterator[None]:
    """Keep what the body registers only if it succeeds: names, further plug-ins, and new modules of `package`.

    The plug-in counts as loaded from the start, since it may load itself.
    """
    plugins = dict(_loaded)
    modules = set(sys.modules)
    before = {id(registry): registry.state for registry in Registry.all}
    _loaded[key] = sha256

    try:
        with Registry.changing():
            yield
    except BaseException:
        _loaded.clear()
        _loaded.update(plugins)
        for name in sys.modules.keys() - modules:
            if name.partition(".")[0] == package:  # so that another attempt runs it again
                del sys.modules[name]
        raise

    for registry in Registry.all:
        for name, value in registry.state.items():
            is_new = value is not before.get(id(registry), {}).get(name)
            # not of a plug-in that this one has run
            if is_new and source_of(registry, name) is None:
                _registered[registry.kind, name] = (value, sha256)


def _run_file(name: str, path: str) -> None:
    try:
        source = read_regular(path)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(
            f"cannot read {name}: {reason}; expected a Python file, such as my.py", field="plugin"
        ) from error

    sha256 = sha256_bytes(source)
    module = ModuleType(f"pecl_plugin_{sha256[:16]}")
    module.__file__ = path

    try:
        with _loading(path, sha256, module.__name__):
            sys.modules[module.__name__] = module  # dataclasses look their module up here
            exec(compile(source, path, "exec"), module.__dict__)
    except Exception as error:
        line = _line_of(error, path)
        source_line = name if line is None else f"{name}, line {line}"
        raise ConfigError(f"{source_line}: {_reason(error)}", field="plugin") from error


def _line_of(error: Exception, path: str) -> int | None:
    """Return the last line of the file `path` that an error went through."""
    if isinstance(error, SyntaxError):
        return error.lineno
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == path]
    return lines[-1] if lines else None


def _import(name: str) -> None:
    installed = installed_plugins()
    if name not in installed:
        examples = " (there is none here)"
        if installed:
            examples = f", such as {', '.join(sorted(installed))}"
        raise ConfigError(
            "expected a Python file, such as my.py, or the name of an installed plug-in"
            f'{examples}, got "{name}"{suggest(name, installed)}',
            field="plugin",
        )

    module = installed[name].module
    try:
        spec = importlib.util.find_spec(module)
        origin = Path((spec and spec.origin) or "")
        is_package = spec is not None and spec.submodule_search_locations is not None
        sha256 = sha256_of_source(origin, is_package)
        with _loading(name, sha256, module.partition(".")[0]):
            installed[name].load()
    except Exception as error:
        raise ConfigError(f"{name}, the module {module}: {_reason(error)}", field="plugin") from error


def _reason(error: Exception) -> str:
    return one_line("".join(traceback.format_exception_only(error)).strip().splitlines()[-1])
