"""Locks: `locked` lets one process at a time into its body.

A lock is an advisory `flock` on a file that says who holds it, for messages only: it vanishes with a killed process,
and the next process takes the file over. (The package filelock does not say who holds a lock.) Across hosts a lock
holds where the file system carries `flock` over: NFS on Linux since 2.6.12, CephFS, GPFS, and Lustre mounted with
`-o flock`.
"""

import contextlib
import fcntl
import json
import logging
import os
import platform
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from pecl.errors import OutputError
from pecl.files.atomic import is_at
from pecl.files.reading import parse_json

logger = logging.getLogger(__name__)

LOCK = ".pecl-lock"  # the lock of a whole folder
_ATTEMPTS = 10_000  # one is lost whenever a holder leaves; in folders such as /proc every one is


class BusyError(RuntimeError):
    """Another process holds a lock."""


@contextlib.contextmanager
def locked(path: str | Path, busy: str, wait: bool = False) -> Iterator[None]:
    """Hold the lock file `path` during the body, and then remove it; make its folder if missing.

    If another process holds it, the error is `busy` with that holder's host, process and time; `wait` waits instead.

    Raises:
        BusyError: another process, or another `with` of this one, holds it.
        OutputError: the folder cannot be written, or its file system has no locks.
    """
    path = Path(path)
    try:
        file = _acquire(path, busy, wait)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error
    with file:
        try:
            yield
        finally:
            # While it is held nobody else can make it theirs. If it was removed by hand, the one there is another's.
            if is_at(path, file.fileno()):
                path.unlink(missing_ok=True)


def lock_holder(path: Path) -> str | None:
    """Return the holder of the lock file `path`, as in "host, process 12, since 12:30:00", or None."""
    with contextlib.suppress(FileNotFoundError), open(path, "r+b") as file:
        return None if _lock(path, file) else _owner(file)
    return None


def _acquire(path: Path, busy: str, wait: bool) -> BinaryIO:
    for _ in range(_ATTEMPTS):
        with contextlib.suppress(FileNotFoundError, FileExistsError), contextlib.ExitStack() as stack:
            path.parent.mkdir(parents=True, exist_ok=True)  # another process may remove the empty folder
            file = stack.enter_context(open(path, "a+b"))
            if not _lock(path, file):
                sentence = f"{busy} ({_owner(file)})"
                if not wait:
                    raise BusyError(sentence)
                logger.info("%s; waiting for it", sentence)
                _lock(path, file, wait=True)
            if is_at(path, file.fileno()):  # otherwise its holder removed it when leaving, and the next attempt is new
                _sign(path, file)
                stack.pop_all()
                return file
    raise OutputError(f"cannot write {path}: no such folder can be made")


def _sign(path: Path, file: BinaryIO) -> None:
    """Write the holder into the lock; on a full disk, remove the file."""
    try:
        myself = {"host": platform.node(), "process": os.getpid(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}
        file.truncate(0)
        file.write(json.dumps(myself).encode())
        file.flush()
    except OSError:
        path.unlink(missing_ok=True)
        raise


def _lock(path: Path, file: BinaryIO, wait: bool = False) -> bool:
    """Lock an open file and say whether that went well; False only without `wait`."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except OSError as error:
        raise OutputError(
            f"cannot lock {path} ({error.strerror or error}): choose a folder on a file system with locks"
        ) from error
    return True


def _owner(file: BinaryIO) -> str:
    """Return the holder that a lock file names; a holder killed while writing is not named."""
    try:
        owner = parse_json(os.pread(file.fileno(), 4096, 0))
        return f"{owner['host']}, process {owner['process']}, since {owner['since']}"
    except (ValueError, KeyError, TypeError):
        return "whose name is not written yet"
