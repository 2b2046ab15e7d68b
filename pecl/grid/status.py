"""The status line of a grid: runs done, running, failed, remaining, and the time left."""

import time
from collections.abc import Sequence
from typing import Any, cast

from pecl.config import ExperimentConfig
from pecl.files.progress import Bar
from pecl.grid.estimate import duration, estimate, recorded_of, recorded_seconds
from pecl.grid.launchers.base import Task
from pecl.results.result import Result


class StatusLine:
    """A line on standard error, rewritten at every change.

    Runs of this process count by the share of their steps, runs of workers when they end. The time left extrapolates
    the runs of this grid. Before its first run ends, it uses runs that were complete `before` or, without any, other
    runs in the results folder.
    """

    def __init__(self, total: int, before: Sequence[Result], remaining: Sequence[ExperimentConfig]) -> None:
        self.total, self.complete, self.failed, self.running = total, len(before), 0, 0
        self.ended_here, self.started_at = 0, time.monotonic()
        self.waits, self.share = False, 0.0
        self.guess = 0.0
        if remaining:
            self.guess = estimate(remaining, recorded_of(before) or recorded_seconds(remaining)).seconds
        layout = "{desc}: {percentage:3.0f}%|{bar:20}| {postfix[0]}"
        self._shown = [self.text()]  # the bar shows the list's first item; a bar that is turned off has no `postfix`
        self.bar = Bar(
            total=total,
            initial=self.complete,
            desc="grid",
            bar_format=layout,
            postfix=cast("Any", self._shown),  # tqdm passes on any object
            unit="run",
        )

    def __enter__(self) -> "StatusLine":
        return self

    def __exit__(self, *_: object) -> None:
        self.running = 0
        self.refresh()
        self.bar.close()

    def started(self, task: Task) -> None:
        """Count a task as running."""
        self.running += len(task.configs)
        self.waits, self.share = False, 0.0
        self.refresh()

    def advanced(self, share: float) -> None:
        """Count a share, in [0, 1], of the steps of the running task as done."""
        seen, self.share = self._percent(), share
        if self._percent() != seen:  # a training takes many steps a second
            self.refresh()

    def left(self, task: Task) -> None:
        """Count a task as no longer running."""
        self.running -= len(task.configs)
        self.share = 0.0

    def ended(self, results: Sequence[Result]) -> None:
        """Count outcomes."""
        failed = sum(result.status == "failed" for result in results)
        self.failed += failed
        self.complete += len(results) - failed
        self.ended_here += len(results)
        self.refresh()

    def waiting(self) -> None:
        """Show that other processes train the remaining runs."""
        self.waits = True
        self.refresh()

    def refresh(self) -> None:
        """Write the line again."""
        self._shown[0] = self.text()
        self.bar.n = self._done()
        self.bar.refresh()

    def text(self) -> str:
        """Return the line's words."""
        remaining = self.total - self.complete - self.failed
        left = self._seconds_left(remaining)
        return (
            f"{self.complete} done, {self.running} running, {self.failed} failed, {remaining} remaining, "
            + (f"{duration(left)} left" if left is not None else "time left unknown")
            + (" (waiting for another process)" if self.waits else "")
        )

    def _done(self) -> float:
        return self.complete + self.failed + self.share * self.running

    def _percent(self) -> int:
        return int(100 * self._done() / max(self.total, 1))

    def _seconds_left(self, remaining: int) -> float | None:
        elapsed, begun = time.monotonic() - self.started_at, self.share * self.running
        if self.ended_here or (self.guess is None and begun):
            return elapsed / (self.ended_here + begun) * (remaining - begun)
        return None if self.guess is None else max(self.guess - elapsed, 0.0)
