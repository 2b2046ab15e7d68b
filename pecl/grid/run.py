"""`run_grid`: train every run once, also with other processes in the same folder, and resume after any stop.

A run with a complete result on the present data is skipped. A run that another process trains is left for the end, and
taken over if that process dies. A failing run is recorded with its error, and the others continue.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pecl.config import ExperimentConfig
from pecl.errors import OutputError, PeclError
from pecl.experiment.inputs import DataHashes, TrainingInputs
from pecl.files import BusyError, check_writable
from pecl.files.progress import watching_steps
from pecl.grid.configs import AUTO_FLEET, fleets
from pecl.grid.launchers.base import Event, Launcher, Task, WorkerDiedError
from pecl.grid.launchers.processes import Processes
from pecl.grid.launchers.worker import Inline, record_failure
from pecl.grid.status import StatusLine
from pecl.results.folder import complete_result, find_result, has_states, remove_states, remove_unfinished_files
from pecl.results.locks import hold, holder, remove_abandoned_locks
from pecl.results.result import Result, training_path

if TYPE_CHECKING:
    from pecl.experiment.plan import RunPlan

logger = logging.getLogger(__name__)

_WAIT_SECONDS = 0.5  # between looks at runs of other processes


@dataclass(frozen=True)
class GridOutcome:
    """Results of a grid's runs in order, complete or failed."""

    results: list[Result]

    @property
    def failed(self) -> list[Result]:
        """Results of the runs that failed; `error` says why."""
        return [result for result in self.results if result.status == "failed"]


def run_grid(
    configs: Sequence[ExperimentConfig], fleet: int | str = AUTO_FLEET, launcher: Launcher | None = None
) -> GridOutcome:
    """Train all runs and return their results.

    `fleet` is the number of runs trained together; "auto" for as many as fit into memory, up to 16. The launcher trains
    them; this process by default.

    Raises:
        PeclError: bad input, found before anything was written or by the first trained run; or results cannot be
            written.
        KeyboardInterrupt: interrupted; running tasks have saved their state.
    """
    run = _begin(configs, fleet, launcher or Inline())
    remaining = [config for task in run.pending for config in task.configs]
    status = StatusLine(len(configs), list(run.results.values()), remaining)
    with status, watching_steps(status.advanced):
        while run.pending:
            run.round(status)
    run.tidy()
    return GridOutcome([run.results[config.out, config.run_id()] for config in configs])


def plan_grid(
    configs: Sequence[ExperimentConfig], fleet: int | str = AUTO_FLEET, launcher: Launcher | None = None
) -> list[tuple[ExperimentConfig, RunPlan | None]]:
    """Return each run in the order of training, with its plan, or None for a complete run.

    All checks of `run_grid`, which has the same arguments, before the first step of each run are made, and nothing is
    written.
    """
    from pecl.experiment.plan import plan_runs  # imports torch

    run, inputs = _begin(configs, fleet, launcher or Inline()), TrainingInputs()
    plans: dict[tuple[str, str], RunPlan] = {}
    for task in run.pending:
        found = plan_runs(task.configs, inputs, task.share)
        plans |= {(config.out, config.run_id()): one for config, one in zip(task.configs, found, strict=True)}
    ordered = [config for task in run.tasks for config in task.configs]
    return [(config, plans.get((config.out, config.run_id()))) for config in ordered]


def _begin(configs: Sequence[ExperimentConfig], fleet: int | str, launcher: Launcher) -> _Run:
    """Read the data of a grid, and skip its complete runs."""
    jobs = getattr(launcher, "jobs", None) or 1  # at a time

    def share(device: str) -> int | None:
        if fleet != AUTO_FLEET:
            return None
        return launcher.sharing(device) if isinstance(launcher, Processes) else 1

    tasks = [Task(tuple(group), share(group[0].device)) for group in fleets(configs, fleet, jobs)]
    for out in dict.fromkeys(config.out for config in configs):
        check_writable(out)
    run = _Run(tasks, list(tasks), launcher)
    run.skip_complete()
    return run


@dataclass
class _Run:
    """A grid at work. Of its `tasks`, `pending` are those without an outcome; `results` are the outcomes."""

    tasks: list[Task]
    pending: list[Task]
    launcher: Launcher
    results: dict[tuple[str, str], Result] = field(default_factory=dict)
    hashes: DataHashes = field(default_factory=DataHashes)
    files_before: dict[Path, tuple[int, int]] = field(default_factory=dict)
    any_trained: bool = False
    without_result: set[str] = field(default_factory=set)
    died: set[str] = field(default_factory=set)

    def skip_complete(self) -> None:
        """Collect complete runs, and note the files of earlier failures, which are tried again."""
        for config in (config for task in self.pending for config in task.configs):
            self.hashes(config)  # bad data stop the grid before it writes anything
            path = training_path(config)
            self.files_before[path] = _version(path)
        for task in list(self.pending):
            self._collect(task)

    def round(self, status: StatusLine) -> None:
        """Carry out the tasks that no other process works on; wait a moment if there is none."""
        ready = [
            task for task in self.pending if not any(holder(config.out, config.run_id()) for config in task.configs)
        ]
        ready = [task for task in ready if not self._collect(task, status)]
        if not ready:
            status.waiting()
            time.sleep(_WAIT_SECONDS)
            return
        with contextlib.closing(self.launcher.run(ready)) as events:
            for event in events:
                if event.task is not None:
                    self._follow(event, event.task, status)
                status.refresh()

    def _follow(self, event: Event, task: Task, status: StatusLine) -> None:
        if event.kind == "started":
            status.started(task)
        elif event.kind == "busy":
            status.left(task)
        elif event.kind == "finished":
            if event.error is not None and not self._try_otherwise(task, event.error):
                self._fail(task, event.error)
            self.any_trained = True
            status.left(task)
            if task in self.pending and not self._collect(task, status) and event.error is None:
                self._try_again(task)

    def _try_otherwise(self, task: Task, error: Exception) -> bool:
        """Say whether a failed task is tried another way.

        A task whose worker died is tried once more: the worker may have been killed, and the runs resume. If a run of
        a fleet is wrong, each run is tried separately.
        """
        if isinstance(error, WorkerDiedError):
            if task.name in self.died:
                return False
            self.died.add(task.name)
            logger.warning("%s is tried once more: %s", task.name, error)
            return True
        wrong = isinstance(error, PeclError) and not isinstance(error, OutputError)
        if not wrong or len(task.configs) == 1 or task.configs[0].joint or str(error).startswith("fleet: "):
            return False
        place = self.pending.index(task)
        self.pending[place : place + 1] = [Task((config,), task.share) for config in task.configs]
        return True

    def _try_again(self, task: Task) -> None:
        """Leave a task without results for the next round, once: network file systems may show files late."""
        if task.name in self.without_result:
            record_failure(task.configs, WorkerDiedError("its worker ended well, but its results are not seen here"))
        self.without_result.add(task.name)

    def _fail(self, task: Task, error: Exception) -> None:
        """Record a failure that the worker could not; raise one that would fail every other run too."""
        if isinstance(error, OutputError) or (isinstance(error, PeclError) and not self.any_trained):
            raise error
        logger.error("%s failed: %s", task.name, error)
        record_failure(task.configs, error)

    def _collect(self, task: Task, status: StatusLine | None = None) -> bool:
        """Collect the outcomes of a task if all its runs have one, and say whether they have."""
        found = [complete_result(config, self.hashes) or self._new_failure(config) for config in task.configs]
        ended = [result for result in found if result is not None]
        if len(ended) < len(found):
            return False
        for config, result in zip(task.configs, ended, strict=True):
            self.results[config.out, result.run_id] = result
        self.pending.remove(task)
        if status is not None:
            status.ended(ended)
        return True

    def _new_failure(self, config: ExperimentConfig) -> Result | None:
        """Return the failure of a run since this grid began, in this or another process."""
        path = training_path(config)
        if _version(path) == self.files_before.get(path, (0, 0)):
            return None
        result = find_result(config)
        return result if result is not None and result.status == "failed" else None

    def tidy(self) -> None:
        """Remove the leftovers of killed processes from the results folders."""
        for out in dict.fromkeys(config.out for task in self.tasks for config in task.configs):
            remove_abandoned_locks(out)
            remove_unfinished_files(out)
            if has_states(out):
                self._remove_states(out)

    def _remove_states(self, out: str) -> None:
        """Remove the saved states of complete runs, unless another process holds them."""
        for config in (config for task in self.tasks for config in task.configs if config.out == out):
            with contextlib.suppress(BusyError), hold(out, [config.run_id()]):
                if complete_result(config, self.hashes):
                    remove_states(out, config.run_id())


def _version(path: Path) -> tuple[int, int]:
    """Return inode and time of a file, which differ for its replacement; (0, 0) without a file."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return 0, 0
    return found.st_ino, found.st_mtime_ns
