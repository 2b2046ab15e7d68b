"""The local files that a config names, by content: a run is not the same when another file has the same path."""

from functools import lru_cache
from pathlib import Path

from pecl.config import ExperimentConfig
from pecl.config.plugins import fingerprint
from pecl.errors import DataError
from pecl.files import sha256_file, sha256_json

_FIELDS = ("start", "weights", "text_model", "image_model", "image_embeddings", "image_paths")
_OPEN_CLIP = "open_clip:"  # open_clip:<model>/<file of weights>


def file_hashes(config: ExperimentConfig) -> dict[str, str]:
    """Return field -> SHA-256 of the file, or of the names and files of the folder, that it names.

    A field that names no local file, such as a tower of the model hub, is left out; readers of a file report it as
    missing. Data sets and training text are known by their captions, see `experiment.inputs.training_hashes`, and
    plug-ins by the content that this process has run.

    Raises:
        DataError: a file cannot be read.
        ConfigError: this process has not run a plug-in.
    """
    plugin = fingerprint(config.plugin)
    found = {} if plugin is None else {"plugin": plugin}
    for name in _FIELDS:
        value = str(getattr(config, name) or "")
        if value.startswith(_OPEN_CLIP):
            value = value.removeprefix(_OPEN_CLIP).partition("/")[2]
        path = Path(value).expanduser()
        if not value or not path.exists():
            continue
        try:
            found[name] = _of_folder(path) if path.is_dir() else _of_file(path)
        except OSError as error:
            raise DataError(f"{name}: cannot read {path}: {error.strerror or error}") from error
    return found


def _of_folder(folder: Path) -> str:
    """Return the digest of all files of a folder but hidden ones, such as those of a checkout."""
    inside = {path.relative_to(folder): path for path in folder.rglob("*") if path.is_file()}
    return sha256_json({str(name): _of_file(p) for name, p in inside.items() if name.parts[0][0] != "."})


def _of_file(path: Path) -> str:
    found = path.stat()
    return _digest(path, found.st_size, found.st_mtime_ns)


@lru_cache(maxsize=256)
def _digest(path: Path, size: int, mtime_ns: int) -> str:
    """Return a file's digest, made once while it stays as it is: the runs of a grid share their towers."""
    return sha256_file(path)
