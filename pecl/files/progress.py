"""`Bar`: progress as a bar in a terminal, as a line every ten seconds elsewhere; none with `--quiet`."""

import contextlib
import logging
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

from tqdm import tqdm

EVERY = 10.0  # seconds between two lines outside a terminal
OFF = "TQDM_DISABLE"  # environment variable, so that the processes of a grid have it too
_PLAIN = "{desc}: {n_fmt}/{total_fmt} [{elapsed}<{remaining}, {rate_fmt}{postfix}]"
_BAR = re.compile(r"\|?\{bar[^}]*\}\|?")
_watcher: ContextVar[Callable[[float], None] | None] = ContextVar("watcher", default=None)


@contextlib.contextmanager
def watching_steps(watcher: Callable[[float], None]) -> Iterator[None]:
    """Call `watcher` with the share of finished steps, in [0, 1], after each step of a training in the body."""
    token = _watcher.set(watcher)
    try:
        yield
    finally:
        _watcher.reset(token)


class Bar(tqdm):
    """A `tqdm` that writes no carriage return into a file or pipe: there it writes a line when `EVERY` has passed.

    Shorter work writes no line, unless `leave` asks for a last one. Arguments are those of `tqdm`.
    """

    def __init__(self, *args: Any, file: Any = None, disable: bool = False, **options: Any) -> None:
        file = sys.stderr if file is None else file
        self.plain = not (hasattr(file, "isatty") and file.isatty())
        self._written_at = time.monotonic()  # time of the last line
        if self.plain:
            layout = options.get("bar_format") or _PLAIN
            options |= {"bar_format": _BAR.sub(" ", layout), "mininterval": EVERY, "maxinterval": EVERY, "delay": EVERY}
        disable = disable or os.environ.get(OFF, "0") not in ("", "0")
        super().__init__(*args, file=file, disable=disable, **options)

    def update(self, n: float = 1) -> Any:
        """Count `n` more as done, and tell the watchers of a training's steps."""
        displayed = super().update(n)
        watcher = _watcher.get()
        if watcher is not None and not self.disable and self.unit == "step" and self.total:
            watcher(self.n / self.total)
        return displayed

    def refresh(self, *args: Any, **options: Any) -> Any:
        """Write the bar again, or a line if the last line is older than `EVERY`."""
        if not self.plain:
            return super().refresh(*args, **options)
        if not self.disable and time.monotonic() - self._written_at >= EVERY:
            self._line()
        return True

    def close(self) -> None:
        """End the bar; outside a terminal, write the last line if `leave` asks for it."""
        if not self.plain or self.disable:
            super().close()
            return
        self.disable = True
        with self.get_lock():
            self._decr_instances(self)  # pyright: ignore[reportAttributeAccessIssue]: tqdm has no public name for it
        if self.leave:
            self._line()

    def _line(self) -> None:
        self._written_at = time.monotonic()
        self.fp.write(f"{' '.join(str(self).split())}\n")
        self.fp.flush()


class LogHandler(logging.StreamHandler):
    """Writes log lines to standard error; a bar on the screen makes room for them and is drawn again below."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        with tqdm.external_write_mode(file=self.stream):
            super().emit(record)


def turn_off() -> None:
    """Show no progress in this process and those that it starts."""
    os.environ[OFF] = "1"
