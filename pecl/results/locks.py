"""One process at a time on a run: kernel locks on `<out>/.locks/<run id>`, which vanish with a killed process.

A lock is an advisory `flock` on a file that says who holds it, for messages alone. The last one to leave removes file
and folder, so nothing stays behind. A file that a killed process left is no lock: the next to come takes it over.
(`filelock` is not used here: it empties the file it waits for, and with it the owner's name.)

Across hosts this holds where the file system carries `flock` over: NFS on Linux since 2.6.12, CephFS, GPFS, and Lustre
mounted with `-o flock`. Where it does not, two hosts may do one run twice; files stay whole, as every write is atomic.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import platform
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from pecl.errors import OutputError
from pecl.files import open_in_folder

logger = logging.getLogger(__name__)

FOLDER = ".locks"
_ATTEMPTS = 10_000  # one is lost whenever a holder leaves; in folders such as /proc every one is


class BusyError(RuntimeError):
    """Another process is at work on the run."""


@contextlib.contextmanager
def hold(out: str | Path, runs: Sequence[str], wait: bool = False) -> Iterator[None]:
    """Hold the locks of `runs` of the experiment folder `out` while the body is carried out.

    Args:
        out: experiment folder; made where it is missing, and removed by its maker if it is empty then.
        runs: run ids. They are locked in sorted order, so that two who wait cannot wait for each other.
        wait: wait for another process to finish, instead of an error.

    Raises:
        BusyError: another process holds one of them; it is named.
        OutputError: the folder cannot be written, or its file system has no locks.
    """
    out = Path(out)
    made = not out.exists()
    held: list[tuple[Path, int]] = []
    try:
        for run in sorted(set(runs)):
            path = out / FOLDER / run
            held.append((path, _acquire(path, wait)))
        yield
    finally:
        for path, descriptor in held:
            path.unlink(missing_ok=True)  # while it is still held: nobody else can have made it theirs
            os.close(descriptor)
        _remove_empty(out / FOLDER)
        if made:
            _remove_empty(out)


def holder(out: str | Path, run: str) -> str | None:
    """Return who holds the lock of `run`, as in "host, process 12, since 12:30:00"; None if nobody does."""
    path = Path(out) / FOLDER / run
    with contextlib.suppress(FileNotFoundError):
        descriptor = os.open(path, os.O_RDWR)
        try:
            return None if _lock(path, descriptor) else _owner(descriptor)
        finally:
            os.close(descriptor)
    return None


def remove_abandoned_locks(out: str | Path) -> None:
    """Remove the lock files in `out` that killed processes left."""
    folder = Path(out) / FOLDER
    for path in sorted(folder.glob("*")):
        with contextlib.suppress(BusyError), hold(out, [path.name]):
            pass  # leaving removes it
    _remove_empty(folder)


def _acquire(path: Path, wait: bool) -> int:
    """Return an open descriptor of `path` that holds its lock."""
    for _ in range(_ATTEMPTS):
        try:
            descriptor = open_in_folder(path.parent, lambda: os.open(path, os.O_RDWR | os.O_CREAT, 0o644))
        except OSError as error:
            raise OutputError(f"cannot write {path}: {error.strerror or error}") from error
        try:
            if not _lock(path, descriptor):
                busy = f"run {path.name} is being trained by another process ({_owner(descriptor)})"
                if not wait:
                    raise BusyError(busy)
                logger.info("%s; waiting for it", busy)
                _lock(path, descriptor, wait=True)
            if _is_at(path, descriptor):
                _sign(path, descriptor)
                return descriptor
        except OSError as error:
            os.close(descriptor)
            raise OutputError(f"cannot write {path}: {error.strerror or error}") from error
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # its holder removed it when leaving; the next attempt makes a new one
    raise OutputError(f"cannot write {path}: no such folder can be made")


def _sign(path: Path, descriptor: int) -> None:
    """Write whose the lock is; on a full disk, remove the file."""
    try:
        os.truncate(descriptor, 0)
        os.write(descriptor, json.dumps(_myself()).encode())
    except OSError:
        path.unlink(missing_ok=True)
        raise


def _lock(path: Path, descriptor: int, wait: bool = False) -> bool:
    """Lock an open file and say whether that went well; False only without `wait`."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except OSError as error:
        raise OutputError(
            f"cannot lock {path} ({error.strerror or error}): give a results folder on a file system with locks"
        ) from error
    return True


def _is_at(path: Path, descriptor: int) -> bool:
    """Say whether an open file still is the one at `path`."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _myself() -> dict[str, str | int]:
    return {"host": platform.node(), "process": os.getpid(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}


def _owner(descriptor: int) -> str:
    """Return whom a lock file names; one that was killed while it wrote names nobody."""
    try:
        owner = json.loads(os.pread(descriptor, 4096, 0))
        return f"{owner['host']}, process {owner['process']}, since {owner['since']}"
    except (ValueError, KeyError):
        return "whose name is not written yet"


def _remove_empty(folder: Path) -> None:
    """Remove `folder` unless something is in it."""
    with contextlib.suppress(OSError):
        folder.rmdir()
