"""Whether a recorded training counts as complete: it was made with the present files, code, data and threads.

Otherwise the run is trained again. Each place that asks this calls `complete_result`.
"""

import logging
from collections.abc import Callable, Collection
from functools import lru_cache
from pathlib import Path
from typing import Any

from pecl.config import ExperimentConfig
from pecl.config.code_digest import code_hashes
from pecl.config.plugins import fingerprint
from pecl.errors import DataError
from pecl.files import expanded, sha256_file, sha256_json
from pecl.results.folder import find_run
from pecl.results.result import Run, TrainingResult

logger = logging.getLogger(__name__)

_FIELDS = ("start", "weights", "text_model", "image_model", "image_embeddings")
_OPEN_CLIP = "open_clip:"  # open_clip:<model>/<file of weights>


def complete_result(
    config: ExperimentConfig, hashes: Callable[[ExperimentConfig], dict[str, Any]], stoppers: Collection[str] = ()
) -> TrainingResult | None:
    """Return the complete result of a training of this config on the present data and files, if any.

    A training that a callback stopped is complete only for a call with a callback of that class:
    `stoppers` has the names of the classes.

    `hashes` returns the hashes of a config's present data, such as `experiment.loading.TrainingDataCache.hashes`.

    Raises:
        PeclError: the data are missing or wrong, or the result is of a newer version of pecl.
    """
    result = find_run(config)
    if not isinstance(result, TrainingResult):
        return None
    if result.stopped_by is not None and result.stopped_by not in stoppers:
        logger.warning("%s was stopped by the callback %s; running it again", result.path, result.stopped_by)
        return None
    difference = _changed_since(config, result, hashes)
    if difference:
        logger.warning("%s %s; running it again", result.path, difference)
        return None
    return result


def _changed_since(
    config: ExperimentConfig, result: TrainingResult, hashes: Callable[[ExperimentConfig], dict[str, Any]]
) -> str:
    """Return what a result was made with that is not there now; empty if all is the same.

    What an older result does not record counts as the same.
    """
    if not has_threads_of(config, result):
        return f"was made with {result.environment.machine.threads} threads, not with {config.threads}"

    recorded = result.data.files or {}
    for description, current in ("another file", file_hashes(config)), ("other code", code_hashes(config)):
        changed = [name for name, sha256 in current.items() if recorded.get(name, sha256) != sha256]
        if changed:
            return f"was made with {description} of {' and '.join(changed)}"

    current = hashes(config)
    captions = {name: current["captions"].get(name) for name in result.data.sha256}
    text = result.data.translations
    if result.data.sha256 != captions or (text and text.sha256) != current["training text"]:
        return "is of other data"
    if result.data.photographs not in (None, current["photographs"]):
        return "is of other photographs"
    return ""


def file_hashes(config: ExperimentConfig) -> dict[str, str]:
    """Return the SHA-256 of each local file, or of a folder's names and files, by the field that names it.

    A field without an existing local file, such as a tower of the model hub, is left out; the reader of a missing file
    reports it. Data sets and training text are identified by their captions, see `TrainingDataCache.hashes`, and
    plug-ins by the content that this process has run.

    Raises:
        DataError: a file cannot be read.
        ConfigError: this process has not run a plug-in.
    """
    plugin = fingerprint(config.plugin)
    hashes = {} if plugin is None else {"plugin": plugin}

    for name in _FIELDS:
        value = str(getattr(config, name) or "")
        if value.startswith(_OPEN_CLIP):
            value = value.removeprefix(_OPEN_CLIP).partition("/")[2]
        path = expanded(value)
        if not value or not path.exists():
            continue
        try:
            hashes[name] = _digest_of(path)
        except OSError as error:
            raise DataError(f"{name}: cannot read {path}: {error.strerror or error}") from error

    for source in filter(None, str(config.memory or "").split(",")):
        path = expanded(source.partition("@")[0])
        if path.exists():
            hashes[f"memory {source}"] = _digest_of(path)

    return hashes


def _digest_of(path: Path) -> str:
    if not path.is_dir():
        status = path.stat()
        return _digest(path, status.st_size, status.st_mtime_ns)

    digests = {}  # of all files but hidden ones, such as those of a checkout
    for file in path.rglob("*"):
        name = file.relative_to(path)
        if file.is_file() and not name.parts[0].startswith("."):
            digests[str(name)] = _digest_of(file)
    return sha256_json(digests)


@lru_cache(maxsize=256)
def _digest(path: Path, size: int, mtime_ns: int) -> str:
    """Return a file's SHA-256, cached until its size or time changes: the runs of a grid share their towers."""
    return sha256_file(path)


def has_threads_of(config: ExperimentConfig, run: Run) -> bool:
    """Return whether a run was made with the config's number of threads; a config without one accepts any."""
    return config.threads in (None, run.environment.machine.threads)
