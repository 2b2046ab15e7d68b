"""Locks: the body of `locked` runs in one process at a time. The lock file names its holder, for messages only.

They are `flock`s of the package filelock: a killed process holds none, and the next process reuses its file. Across
hosts a lock works if the file system supports `flock`: NFS on Linux since 2.6.12, CephFS, GPFS, and Lustre mounted with
`-o flock`.
"""

import contextlib
import logging
import os
import platform
import time
from collections.abc import Iterator
from pathlib import Path

from pecl.errors import OutputError, RunError

logger = logging.getLogger(__name__)

LOCK = ".pecl-lock"  # the lock of a whole folder


class BusyError(RunError):
    """Another process holds a lock."""


@contextlib.contextmanager
def locked(path: str | Path, busy: str, wait: bool = False) -> Iterator[None]:
    """Hold the lock file `path` during the body, and then remove it; make its folder if missing.

    If another process holds it, the error is `busy` with that holder's host, process and time; `wait` waits instead.

    Raises:
        BusyError: another process, or another `with` of this one, holds it.
        OutputError: the folder cannot be written, or its file system has no locks.
    """
    from filelock import FileLock, Timeout  # takes a tenth of a second

    path = Path(path)
    with contextlib.ExitStack() as stack:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                stack.enter_context(FileLock(path, blocking=False))
            except Timeout:
                sentence = f"{busy} ({_owner(path)})"
                if not wait:
                    raise BusyError(sentence) from None
                logger.info("%s; waiting for it", sentence)
                stack.enter_context(FileLock(path))
            stack.callback(path.unlink, missing_ok=True)  # while it is held: a waiting process makes a new file
            path.write_text(f"{platform.node()}, process {os.getpid()}, since {time.strftime('%Y-%m-%d %H:%M:%S')}")
        except OSError as error:
            raise OutputError(f"cannot write {path}: {error.strerror or error}") from error
        yield


def lock_holder(path: Path) -> str | None:
    """Return the holder of the lock file `path`, as in "host, process 12, since 12:30:00", or None."""
    if not path.exists():
        return None
    try:
        with locked(path, ""):
            return None
    except BusyError:
        return _owner(path)


def _owner(path: Path) -> str:
    with contextlib.suppress(OSError):
        return path.read_text() or "whose name is not written yet"
    return "who has just left"
