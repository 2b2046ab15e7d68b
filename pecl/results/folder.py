"""Files of earlier runs in an experiment folder: complete results, saved states, and leftovers of killed processes."""

import contextlib
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pecl.config import ExperimentConfig
from pecl.files import remove_abandoned_files, sha256_json
from pecl.results.named_files import file_hashes
from pecl.results.result import DamagedResultError, Result, read_result, training_path

logger = logging.getLogger(__name__)

_STATES = ".state"


def find_result(config: ExperimentConfig) -> Result | None:
    """Return the result of a training of this config with any status and data; None without one.

    A damaged one counts as none, with a warning: it will be written again.

    Raises:
        DataError: it is of a newer version of pecl.
    """
    path = training_path(config)
    if not path.exists():
        return None
    try:
        return read_result(path)
    except DamagedResultError as error:
        logger.warning("%s; it counts as not run", error)
        return None


def complete_result(config: ExperimentConfig, hashes: Callable[[ExperimentConfig], dict[str, Any]]) -> Result | None:
    """Return the complete result of a training of this config on the present data and files, if any.

    `hashes` returns those of a config's present data, such as `experiment.inputs.training_hashes`.

    Raises:
        PeclError: the data are missing or wrong, or the result is of a newer version of pecl.
    """
    result = find_result(config)
    if result is None or result.status != "complete":
        return None
    if not has_threads_of(config, result):
        made, asked = result.environment.machine.threads, config.threads
        logger.warning("%s was made with %d threads, not with %d; running it again", result.path, made, asked)
        return None
    if other := [name for name, sha in file_hashes(config).items() if (result.data.files or {}).get(name, sha) != sha]:
        logger.warning("%s was made with another file of %s; running it again", result.path, " and ".join(other))
        return None
    text = result.data.translations
    if {"captions": result.data.sha256, "training text": text and text.sha256} == hashes(config):
        return result
    logger.warning("%s is of other data; running it again", result.path)
    return None


def has_threads_of(config: ExperimentConfig, result: Result) -> bool:
    """Say whether a result was made with as many threads as a config asks for; a config that names none takes any."""
    return config.threads in (None, result.environment.machine.threads)


def state_path(out: str | Path, runs: Sequence[str], identity: str, threads: int) -> Path:
    """Return the path of the saved state of `runs` that are trained side by side with so many threads.

    `identity` is also that of its data.
    """
    return Path(out) / _STATES / f"{runs[0]}-{sha256_json([list(runs), identity])[:16]}-{threads}.safetensors"


def threads_of_states(path: Path) -> list[int]:
    """Return the numbers of threads of the saved states that differ from the one at `path` only in that number."""
    beginning = path.stem.rpartition("-")[0]
    others = (other.stem.rpartition("-") for other in path.parent.glob(f"{beginning}-*{path.suffix}") if other != path)
    return sorted(int(number) for _, _, number in others if number.isdecimal())


def remove_states(out: str | Path, run: str) -> None:
    """Remove every saved state of the complete run `run`, and of fleets whose first run it is."""
    folder = Path(out) / _STATES
    for path in folder.glob(f"{run}-*.safetensors"):
        path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # other states are there, or no folder
        folder.rmdir()


def has_states(out: str | Path) -> bool:
    """Say whether any training of this folder is unfinished, or was killed before it removed its state."""
    return (Path(out) / _STATES).is_dir()


def remove_unfinished_files(out: str | Path) -> None:
    """Remove the temporary files that killed processes left in an experiment folder."""
    for folder in (Path(out), *(path for path in Path(out).glob("*") if path.is_dir())):
        remove_abandoned_files(folder)
