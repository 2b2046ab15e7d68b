"""One process at a time on a run: locks on `<out>/.locks/<run id>` (see `pecl.files.locked`).

The last one to leave removes file and folder, so nothing stays behind. If a file system does not carry locks from
one host to the other, two hosts may do one run twice; files stay whole, as every write is atomic.
"""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from pecl.files import BusyError, lock_holder, locked

FOLDER = ".locks"


@contextlib.contextmanager
def hold(out: str | Path, runs: Sequence[str], wait: bool = False) -> Iterator[None]:
    """Hold the locks of `runs`, in sorted order, so that two who wait cannot wait for each other.

    The experiment folder `out` is made where it is missing, and removed by its maker if it is empty in the end. With
    `wait`, another process is waited for instead of an error.

    Raises:
        BusyError: another process holds one of them; it is named.
        OutputError: the folder cannot be written, or its file system has no locks.
    """
    out = Path(out)
    made = not out.exists()
    try:
        with contextlib.ExitStack() as held:
            for run in sorted(set(runs)):
                busy = f"run {run} is being trained by another process"
                held.enter_context(locked(out / FOLDER / run, busy, wait))
            yield
    finally:
        _remove_empty(out / FOLDER)
        if made:
            _remove_empty(out)


def holder(out: str | Path, run: str) -> str | None:
    """Return who holds the lock of `run`, as in "host, process 12, since 12:30:00"; None if nobody does."""
    return lock_holder(Path(out) / FOLDER / run)


def remove_abandoned_locks(out: str | Path) -> None:
    """Remove the lock files in `out` that killed processes left."""
    folder = Path(out) / FOLDER
    for path in sorted(folder.glob("*")):
        with contextlib.suppress(BusyError), hold(out, [path.name]):
            pass  # leaving removes it
    _remove_empty(folder)


def _remove_empty(folder: Path) -> None:
    """Remove `folder` unless something is in it."""
    with contextlib.suppress(OSError):
        folder.rmdir()
