"""Locks: `locked` lets one process at a time into its body.

A lock is an advisory `flock` on a file that says who holds it, for messages only: it vanishes with a killed process,
and the next process takes the file over. (The package filelock does not say who holds a lock.) A link, or a file that
holds anything else, is refused and stays as it is: it is not a lock. Across hosts a lock holds where the file system
carries `flock` over: NFS on Linux since 2.6.12, CephFS, GPFS, and Lustre mounted with `-o flock`.
"""

import contextlib
import fcntl
import json
import logging
import os
import platform
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from pecl.errors import OutputError
from pecl.files.atomic import is_at, open_in_folder
from pecl.files.reading import parse_json

logger = logging.getLogger(__name__)

LOCK = ".pecl-lock"  # the lock of a whole folder
_SIGNATURE = b'{"host": '  # beginning of each lock; a killed writer may leave a part of it
_FLAGS = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_LOCK_ATTEMPTS = 10_000  # one is lost whenever a holder leaves; in folders such as /proc every one is


class BusyError(RuntimeError):
    """Another process holds a lock."""


@contextlib.contextmanager
def locked(path: str | Path, busy: str, wait: bool = False) -> Iterator[None]:
    """Hold the lock file `path` during the body, and then remove it; make its folder if missing.

    If another process holds it, the error is `busy` with that holder's host, process and time; `wait` waits instead.

    Raises:
        BusyError: another process, or another `with` of this one, holds it.
        OutputError: the folder cannot be written, its file system has no locks, or `path` is something else.
    """
    path = Path(path)
    descriptor = _acquire(path, busy, wait)
    try:
        yield
    finally:
        # While it is held nobody else can make it theirs. If it was removed by hand, the one there is another's.
        if is_at(path, descriptor):
            path.unlink(missing_ok=True)
        os.close(descriptor)


def lock_holder(path: Path) -> str | None:
    """Return the holder of the lock file `path`, as in "host, process 12, since 12:30:00", or None."""
    with contextlib.suppress(FileNotFoundError):
        descriptor = os.open(path, _FLAGS)
        try:
            return None if _lock(path, descriptor) else _owner(descriptor)
        finally:
            os.close(descriptor)
    return None


def _acquire(path: Path, busy: str, wait: bool) -> int:
    for _ in range(_LOCK_ATTEMPTS):
        try:
            with contextlib.ExitStack() as stack:
                descriptor = open_in_folder(path.parent, lambda: os.open(path, _FLAGS | os.O_CREAT, 0o644))
                stack.callback(os.close, descriptor)
                if not _lock(path, descriptor):
                    sentence = f"{busy} ({_owner(descriptor)})"
                    if not wait:
                        raise BusyError(sentence)
                    logger.info("%s; waiting for it", sentence)
                    _lock(path, descriptor, wait=True)
                if is_at(path, descriptor):  # otherwise its holder removed it when leaving, and the next attempt is new
                    _check_lock(path, descriptor)
                    _sign(path, descriptor)
                    stack.pop_all()
                    return descriptor
        except OSError as error:
            raise OutputError(f"cannot write {path}: {error.strerror or error}") from error
    raise OutputError(f"cannot write {path}: no such folder can be made")


def _check_lock(path: Path, descriptor: int) -> None:
    """Raise OutputError unless an open file is a lock, or empty."""
    found = os.fstat(descriptor)
    if stat.S_ISREG(found.st_mode) and not found.st_size:
        return
    begin = os.pread(descriptor, len(_SIGNATURE), 0) if stat.S_ISREG(found.st_mode) else b"?"
    if not _SIGNATURE.startswith(begin):
        raise OutputError(f"{path} is not a lock of pecl: move it away, or choose another folder")


def _sign(path: Path, descriptor: int) -> None:
    """Write the holder into the lock; on a full disk, remove the file."""
    try:
        myself = {"host": platform.node(), "process": os.getpid(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}
        os.truncate(descriptor, 0)
        os.write(descriptor, json.dumps(myself).encode())
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
            f"cannot lock {path} ({error.strerror or error}): choose a folder on a file system with locks"
        ) from error
    return True


def _owner(descriptor: int) -> str:
    """Return the holder that a lock file names; a holder killed while writing is not named."""
    try:
        owner = parse_json(os.pread(descriptor, 4096, 0))
        return f"{owner['host']}, process {owner['process']}, since {owner['since']}"
    except (ValueError, KeyError, TypeError):
        return "whose name is not written yet"
