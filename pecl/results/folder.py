"""An experiment folder: results and the files next to them, files that a config names, saved states, and locks.

A lock is on `<out>/.<run id>.lock` (see `pecl.files.locked`). On a file system whose locks do not reach other hosts,
two hosts may compute the same run; files stay whole, as every write is atomic.
`splits/<hash>.json` is the manifest of a few-shot split, once for all runs of the split; a result names it.
`retrieved/<name>.json` holds the items nearest to each test caption, for the page of `pecl report --html`. It is large
and may be deleted: only that page needs it, and another run makes it again.
"""

import contextlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pecl.config import ExperimentConfig
from pecl.errors import DataError, OutputError
from pecl.files import (
    BusyError,
    load_json,
    lock_holder,
    locked,
    parse_json,
    read_metadata,
    remove_abandoned_files,
    sha256_json,
    write_json,
)
from pecl.results.result import (
    RETRIEVED,
    SPLITS,
    DamagedResultError,
    Outcome,
    Result,
    TrainingResult,
    UnfinishedRun,
    read_run,
    training_path,
)

logger = logging.getLogger(__name__)

_STATES = ".state"
Nearest = Mapping[str, Sequence[Sequence[int]]]  # stage -> test caption -> items of the data set, nearest first


def find_run(config: ExperimentConfig) -> Outcome | None:
    """Return the recorded run of a training of this config, with any status and data, or None.

    A damaged result counts as missing, with a warning: it will be written again.

    Raises:
        DataError: it is of a newer version of pecl.
    """
    path = training_path(config)
    if not path.exists():
        return None
    try:
        run = read_run(path)
    except DamagedResultError as error:
        logger.warning("%s; it is treated as not run", error)
        return None
    return run if isinstance(run, TrainingResult | UnfinishedRun) else None


def manifest_path(out: str | Path, name: str) -> Path:
    """Return the path of the manifest called `name` in the experiment folder `out`."""
    return Path(out) / SPLITS / f"{name}.json"


def write_manifest(out: str | Path, manifest: Mapping[str, Any]) -> str:
    """Write the manifest of a split into `out` and return its name, a hash of its content."""
    name = sha256_json(manifest)[:16]
    write_json(manifest_path(out, name), manifest, indent=None)
    return name


def read_manifest(result: Result) -> dict[str, Any] | None:
    """Return the manifest of a training's split, or None if its file is missing or the result names none.

    Raises:
        DataError: the file is damaged.
    """
    name = result.data.manifest
    if name is None:
        return None

    path = manifest_path(result.folder, name)
    if not path.exists():
        return None

    manifest = _read(path, "manifest", result)
    if sha256_json(manifest)[:16] != name:
        raise _unreadable(path, "manifest", result, "its content does not match its name")
    return manifest


def write_retrieved(out: str | Path, name: str, nearest: Nearest) -> Path:
    """Write the items that a run retrieved for its test captions; `name` is its `Run.name`."""
    return write_json(_retrieved_path(out, name), {"test": nearest}, indent=None)


def read_retrieved(result: Result) -> Nearest | None:
    """Return the items that a run retrieved for its test captions, or None if their file is missing.

    Raises:
        DataError: the file is damaged.
    """
    path = _retrieved_path(result.folder, result.name)
    document = _read(path, "the retrieved items", result)
    if document is None:
        return None
    try:
        return document["test"]
    except (KeyError, TypeError) as error:
        raise _unreadable(path, "the retrieved items", result, error) from error


def _retrieved_path(out: str | Path, name: str) -> Path:
    return Path(out) / RETRIEVED / f"{name}.json"


def _read(path: Path, kind: str, result: Result) -> Any:
    """Return the JSON at `path`, or None if there is no file."""
    try:
        return load_json(path)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise _unreadable(path, kind, result, error) from error


def _unreadable(path: Path, kind: str, result: Result, reason: object) -> DataError:
    return DataError(f"{kind} {path} cannot be read ({reason}); run {result.run_id} again")


def state_path(out: str | Path, runs: Sequence[str], identity: str, threads: int) -> Path:
    """Return the path of the saved state of `runs`, which are trained in one pass with `threads` threads.

    `identity` is a hash of the configs and their data.
    """
    return Path(out) / _STATES / f"{runs[0]}-{sha256_json([list(runs), identity])[:16]}-{threads}.safetensors"


def saved_step_of(out: str | Path, runs: Sequence[str], threads: int) -> int:
    """Return the step from which `threads` threads resume `runs` in one pass; 0 if there is no saved state of them.

    Whether their data have changed since then is not checked. A state that cannot be read counts as none; the training
    reports it.
    """
    for path in sorted((Path(out) / _STATES).glob(f"*-{threads}.safetensors")):
        with contextlib.suppress(OSError, ValueError, KeyError):
            progress = parse_json(read_metadata(path)["progress"])
            if sorted(progress["runs"]) == sorted(runs):
                return progress["step"]
    return 0


def threads_of_states(path: Path) -> list[int]:
    """Return the numbers of threads of the saved states that differ from the one at `path` only in that number."""
    beginning = path.stem.rpartition("-")[0]
    siblings = (file for file in path.parent.glob(f"{beginning}-*{path.suffix}") if file != path)
    numbers = (file.stem.rpartition("-")[2] for file in siblings)
    return sorted(int(number) for number in numbers if number.isdecimal())


def remove_states(out: str | Path, run: str) -> None:
    """Remove every saved state of the complete run `run`, and of fleets whose first run it is."""
    folder = Path(out) / _STATES
    for path in folder.glob(f"{run}-*.safetensors"):
        path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # other states are there, or no folder
        folder.rmdir()


def tidy(out: str | Path, run: str) -> None:
    """Remove the state and lock of the complete run `run`, left by a process that was killed after its result."""
    if has_states(out) or _path(out, run).exists():
        # a folder that cannot be written stays as it is; leaving removes the lock's file
        with contextlib.suppress(BusyError, OutputError), hold(out, [run]):
            remove_states(out, run)


def has_states(out: str | Path) -> bool:
    """Return whether any training of this folder is unfinished, or was killed before it removed its state."""
    return (Path(out) / _STATES).is_dir()


def _path(out: str | Path, run: str) -> Path:
    return Path(out) / f".{run}.lock"


@contextlib.contextmanager
def hold(out: str | Path, runs: Sequence[str], wait: bool = False) -> Iterator[None]:
    """Hold the locks of `runs`, taken in sorted order, so that two processes cannot deadlock.

    A missing experiment folder `out` is created, and removed again after an error if it is empty. With `wait`, wait for
    another process instead of raising BusyError.

    Raises:
        BusyError: another process holds one of them; it is named.
        OutputError: the folder cannot be written, or its file system has no locks.
    """
    is_new = not Path(out).exists()

    try:
        with contextlib.ExitStack() as locks:
            for run in sorted(set(runs)):
                locks.enter_context(locked(_path(out, run), f"run {run} is being trained by another process", wait))
            yield
    except BaseException:
        if is_new:
            with contextlib.suppress(OSError):  # something is in it
                Path(out).rmdir()
        raise


def holder(out: str | Path, run: str) -> str | None:
    """Return who holds the lock of `run`, as in "host, process 12, since 12:30:00"; None if nobody does."""
    return lock_holder(_path(out, run))


def remove_leftovers(out: str | Path) -> None:
    """Remove the lock files and the temporary files that killed processes left in an experiment folder."""
    for path in Path(out).glob(".*.lock"):
        with contextlib.suppress(BusyError), locked(path, ""):
            pass  # leaving removes it
    for folder in (Path(out), *(path for path in Path(out).glob("*") if path.is_dir())):
        remove_abandoned_files(folder)
