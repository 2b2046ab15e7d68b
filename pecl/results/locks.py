"""One process at a time on a run: locks on `<out>/.<run id>.lock` (see `pecl.files.locked`).

If a file system does not carry locks from one host to the other, two hosts may do one run twice; files stay whole, as
every write is atomic.
"""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from pecl.files import BusyError, lock_holder, locked


def _path(out: str | Path, run: str) -> Path:
    return Path(out) / f".{run}.lock"


@contextlib.contextmanager
def hold(out: str | Path, runs: Sequence[str], wait: bool = False) -> Iterator[None]:
    """Hold the locks of `runs`, in sorted order, so that two who wait cannot wait for each other.

    The experiment folder `out` is made where it is missing, and after an error removed by its maker if it is empty.
    With `wait`, another process is waited for instead of an error.

    Raises:
        BusyError: another process holds one of them; it is named.
        OutputError: the folder cannot be written, or its file system has no locks.
    """
    made = not Path(out).exists()
    try:
        with contextlib.ExitStack() as held:
            for run in sorted(set(runs)):
                held.enter_context(locked(_path(out, run), f"run {run} is being trained by another process", wait))
            yield
    except BaseException:
        if made:
            with contextlib.suppress(OSError):  # something is in it
                Path(out).rmdir()
        raise


def holder(out: str | Path, run: str) -> str | None:
    """Return who holds the lock of `run`, as in "host, process 12, since 12:30:00"; None if nobody does."""
    return lock_holder(_path(out, run))


def remove_abandoned_locks(out: str | Path) -> None:
    """Remove the lock files in `out` that killed processes left."""
    for path in Path(out).glob(".*.lock"):
        with contextlib.suppress(BusyError), locked(path, ""):
            pass  # leaving removes it
