"""`run_grid`: every cell is trained once, whoever else works in the same folder, and whatever stops the work.

A cell that is complete, on the data that are there now, is skipped. A cell that another process is at work on is left
for the end, and taken over if that process dies. A cell that fails is recorded with its error, and the rest goes on.
Results are read from their files, wherever they were made.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pecl.config import ExperimentConfig
from pecl.errors import OutputError, PeclError
from pecl.experiment.inputs import DataHashes
from pecl.files import BusyError, check_writable
from pecl.grid.cells import fleets
from pecl.grid.launchers.base import Event, Launcher, Task, WorkerDiedError, check_workers_know
from pecl.grid.launchers.inline import Inline
from pecl.grid.launchers.worker import record_failure
from pecl.grid.status import StatusLine
from pecl.results.folder import complete_result, find_result, has_states, remove_states, remove_unfinished_files
from pecl.results.locks import hold, holder, remove_abandoned_locks
from pecl.results.result import Result, training_path

logger = logging.getLogger(__name__)

_WAIT_SECONDS = 0.5  # between looks at what another process is doing


@dataclass(frozen=True)
class GridOutcome:
    """Results of a grid's cells in order, complete or failed."""

    results: list[Result]

    @property
    def failed(self) -> list[Result]:
        """Results of the cells that failed; `error` says why."""
        return [result for result in self.results if result.status == "failed"]


def run_grid(configs: Sequence[ExperimentConfig], fleet: int = 1, launcher: Launcher | None = None) -> GridOutcome:
    """Train all cells and return their results.

    Args:
        configs: cells.
        fleet: cells trained side by side.
        launcher: where they are trained; this process by default.

    Raises:
        PeclError: bad input, found before anything was written or by the first cell that was trained; or results
            cannot be written.
        KeyboardInterrupt: interrupted; what was running has saved its state.
    """
    tasks = [Task(tuple(group)) for group in fleets(configs, fleet)]
    marked = {cell.alone(): cell for task in tasks for cell in task.cells}
    cells = [marked[config.alone()] for config in configs]
    launcher = launcher or Inline()
    if launcher.separate:
        check_workers_know(configs)
    for out in dict.fromkeys(config.out for config in configs):
        check_writable(out)
    run = _Run(tasks, launcher)
    run.skip_complete()
    remaining = [cell for task in run.pending for cell in task.cells]
    with StatusLine(len(configs), list(run.results.values()), remaining) as status:
        while run.pending:
            run.round(status)
    run.tidy()
    return GridOutcome([run.results[cell.out, cell.run_id()] for cell in cells])


@dataclass
class _Run:
    """A grid at work. `pending` are the tasks without an outcome, `results` those that there are."""

    pending: list[Task]
    launcher: Launcher
    results: dict[tuple[str, str], Result] = field(default_factory=dict)
    hashes: DataHashes = field(default_factory=DataHashes)
    files_before: dict[Path, tuple[int, int]] = field(default_factory=dict)
    done: list[Task] = field(default_factory=list)
    any_trained: bool = False
    without_result: set[str] = field(default_factory=set)

    def skip_complete(self) -> None:
        """Take over what is complete. What failed before is tried again, so it is remembered which files there were."""
        for cell in (cell for task in self.pending for cell in task.cells):
            self.hashes(cell)  # bad data stop the grid before it writes anything
            path = training_path(cell)
            self.files_before[path] = _version(path)
        for task in list(self.pending):
            self._collect(task)

    def round(self, status: StatusLine) -> None:
        """Carry out the tasks that nobody else is at work on; wait a moment when there is none."""
        ready = [task for task in self.pending if not any(holder(cell.out, cell.run_id()) for cell in task.cells)]
        ready = [task for task in ready if not self._collect(task, status)]
        if not ready:
            status.waiting()
            time.sleep(_WAIT_SECONDS)
            return
        with contextlib.closing(self.launcher.run(ready)) as events:
            for event in events:
                self._follow(event, status)

    def _follow(self, event: Event, status: StatusLine) -> None:
        """Take in what a launcher says."""
        if event.kind == "started":
            status.started(event.task)
        elif event.kind == "busy":
            status.left(event.task)
        elif event.kind == "finished":
            if event.error is not None:
                self._fail(event.task, event.error)
            self.any_trained = True
            status.left(event.task)
            if not self._collect(event.task, status):
                self._try_again(event.task)
        status.refresh()

    def _try_again(self, task: Task) -> None:
        """Leave a task that ended without a result for the next round, once: a network may show its files late."""
        if task.name in self.without_result:
            record_failure(task.cells, WorkerDiedError("its worker ended well, but its results are not seen here"))
        self.without_result.add(task.name)

    def _fail(self, task: Task, error: Exception) -> None:
        """Record a failure that the worker could not; stop the grid on what would fail every other cell too."""
        if isinstance(error, OutputError) or (isinstance(error, PeclError) and not self.any_trained):
            raise error
        logger.error("%s failed: %s", task.name, error)
        record_failure(task.cells, error)

    def _collect(self, task: Task, status: StatusLine | None = None) -> bool:
        """Say whether all cells of a task have an outcome; if so, take it over."""
        found = [complete_result(cell, self.hashes) or self._new_failure(cell) for cell in task.cells]
        if any(result is None for result in found):
            return False
        for cell, result in zip(task.cells, found, strict=True):
            self.results[cell.out, result.run_id] = result
        self.pending.remove(task)
        self.done.append(task)
        if status is not None:
            status.ended(found)
        return True

    def _new_failure(self, cell: ExperimentConfig) -> Result | None:
        """Return how a cell failed since this grid began, by whoever tried it."""
        path = training_path(cell)
        if _version(path) == self.files_before.get(path, (0, 0)):
            return None
        result = find_result(cell)
        return result if result is not None and result.status == "failed" else None

    def tidy(self) -> None:
        """Remove what killed processes left in the results folders."""
        for out in dict.fromkeys(cell.out for task in self.done for cell in task.cells):
            remove_abandoned_locks(out)
            remove_unfinished_files(out)
            if has_states(out):
                self._remove_states(out)

    def _remove_states(self, out: str) -> None:
        """Remove the saved states of complete cells, unless another process is at work on them again."""
        for cell in (cell for task in self.done for cell in task.cells if cell.out == out):
            with contextlib.suppress(BusyError), hold(out, [cell.run_id()]):
                if complete_result(cell, self.hashes):
                    remove_states(out, cell.run_id())


def _version(path: Path) -> tuple[int, int]:
    """Return what tells a file from the one that replaces it; (0, 0) while there is none."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return 0, 0
    return found.st_ino, found.st_mtime_ns
