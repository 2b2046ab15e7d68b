"""`run_grid`: train every run once, also with other processes in the same folder, and resume after any stop.

A run with a complete result on the present data is skipped. A run that another process trains is left for the end, and
taken over if that process dies. A failing run is recorded with its error, and the others continue. A run that was
pruned counts as done for a grid with halving; a grid without halving trains it from its first step.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pecl.config import ExperimentConfig
from pecl.errors import ConfigError, FleetSizeError, OutputError, PeclError
from pecl.experiment.loading import TrainingDataCache, once_per_data
from pecl.files import check_writable
from pecl.files.progress import watching_steps
from pecl.grid.configs import AUTO_FLEET, expand, fleets
from pecl.grid.estimate import StatusLine
from pecl.grid.halving import check_halving
from pecl.grid.launchers.base import Event, Launcher, Task, WorkerDiedError
from pecl.grid.launchers.worker import Inline, record_failure
from pecl.results.completeness import complete_result
from pecl.results.folder import find_run, has_states, holder, remove_leftovers, tidy
from pecl.results.result import Outcome, TrainingResult, UnfinishedRun, training_path, trainings
from pecl.training.callbacks import Callback, names_of

if TYPE_CHECKING:
    from pecl.experiment.dry_run import RunPlan

logger = logging.getLogger(__name__)

_WAIT_SECONDS = 0.5  # between checks of other processes' runs


@dataclass(frozen=True)
class GridOutcome:
    """Results of a grid's runs in order: complete, failed, or pruned."""

    results: list[Outcome]

    @property
    def complete(self) -> list[TrainingResult]:
        """Results of the complete runs."""
        return trainings(self.results)

    @property
    def failed(self) -> list[UnfinishedRun]:
        """The runs that failed; `error` gives the reason."""
        return [run for run in self.results if isinstance(run, UnfinishedRun) and run.status == "failed"]

    @property
    def pruned(self) -> list[UnfinishedRun]:
        """The runs that halving stopped, with the step and the validation recall."""
        return [run for run in self.results if isinstance(run, UnfinishedRun) and run.status == "pruned"]


def run_grid(
    configs: Sequence[ExperimentConfig] | Mapping[str, Any],
    fleet: int | str = AUTO_FLEET,
    launcher: Launcher | None = None,
    halving: int | None = None,
    callbacks: Sequence[Callback] = (),
) -> GridOutcome:
    """Train all runs and return their results.

    The runs are configs, or values of which lists are expanded: `{"language": ["cs", "de"], "lr": [1e-4, 3e-4]}`.
    `fleet` is the number of runs trained together; "auto" for as many as fit into memory, up to 16. The launcher trains
    them; this process by default. With `halving` N, after each Nth of the steps the best 1/N of the competing runs of a
    fleet go on, by validation, and the others are pruned; None to train all runs to the end.
    `callbacks` are called during the trainings, see `pecl.Callback`; only this process has them, not those of another
    launcher.

    Raises:
        PeclError: bad input, found before anything was written or by the first trained run; or results cannot be
            written.
        KeyboardInterrupt: interrupted; running tasks have saved their state.
    """
    if isinstance(configs, Mapping):
        configs = expand(configs)

    if callbacks and launcher is not None:
        raise ConfigError("expected none with a launcher, whose processes do not have them", field="callbacks")
    run = _Run(configs, fleet, launcher or Inline(callbacks), halving, callbacks)
    run.train()
    return GridOutcome([run.results[config.out, config.run_id()] for config in configs])


def plan_grid(
    configs: Sequence[ExperimentConfig],
    fleet: int | str = AUTO_FLEET,
    launcher: Launcher | None = None,
    halving: int | None = None,
) -> list[list[tuple[ExperimentConfig, RunPlan | Outcome]]]:
    """Return each run by fleet, in the order of training, with its plan; or with its result if it is not trained.

    A fleet that does not fit into memory is divided as it will be for training. The arguments are those of `run_grid`.
    All its checks before the first step of each run are made, and nothing is written.
    """
    from pecl.experiment.dry_run import plan_fleets  # imports torch

    launcher = launcher or Inline()
    run = _Run(configs, fleet, launcher, halving)
    cache = TrainingDataCache()
    pending = set(run.pending)
    planned: list[list[tuple[ExperimentConfig, RunPlan | Outcome]]] = []
    for task in run.tasks:
        if task in pending:
            threads = launcher.threads(task.configs[0])
            configs_in_order = iter(task.configs)
            for plans in plan_fleets(task.configs, cache, task.share, threads):
                planned.append([(next(configs_in_order), plan) for plan in plans])
        else:
            planned.append([(config, run.results[config.out, config.run_id()]) for config in task.configs])
    return planned


class _Run:
    """A running grid. Its data are read at the start, and complete runs are skipped.

    Of its `tasks`, `pending` are those without an outcome; `results` holds the outcomes.
    """

    def __init__(
        self,
        configs: Sequence[ExperimentConfig],
        fleet: int | str,
        launcher: Launcher,
        halving: int | None,
        callbacks: Sequence[Callback] = (),
    ) -> None:
        self.configs = configs
        self.launcher = launcher
        self.halving = halving
        self.stoppers = names_of(callbacks)  # see `complete_result`

        self.jobs = launcher.jobs or 1  # tasks at a time
        groups = list(fleets(configs, fleet, self.jobs))
        if halving is not None:
            check_halving(halving, groups)
        shares = [launcher.sharing(group[0].device) if fleet == AUTO_FLEET else None for group in groups]
        self.tasks = [Task(tuple(group), share, halving) for group, share in zip(groups, shares, strict=True)]
        self.pending = list(self.tasks)
        self.results: dict[tuple[str, str], Outcome] = {}
        self.hashes = once_per_data(lambda config: TrainingDataCache().hashes(config))  # does not keep the data
        self.files_before: dict[Path, tuple[int, int]] = {}  # files of earlier failures, which are tried again
        self.any_trained = False
        self.died: set[str] = set()  # tasks that are tried once more

        for task in self.pending:
            for config in task.configs:
                self.hashes(config)  # bad data stop the grid before it writes anything
                self.files_before[training_path(config)] = _version(training_path(config))

        self.pending = [task for task in self.tasks if not self._collect(task)]
        for out in dict.fromkeys(config.out for task in self.pending for config in task.configs):
            check_writable(out)

    def train(self) -> None:
        """Train until every run has an outcome, and remove the leftovers of killed processes."""
        remaining = [config for task in self.pending for config in task.configs]
        self.status = StatusLine(len(self.configs), list(self.results.values()), remaining, self.jobs)
        with contextlib.closing(self.status), watching_steps(self.status.advanced):
            while self.pending:
                self._round()

        for out in dict.fromkeys(config.out for config in self.configs):
            remove_leftovers(out)
        for config in self.configs:
            outcome = self.results[config.out, config.run_id()]
            if has_states(config.out) and outcome.status != "failed":
                tidy(config.out, config.run_id())

    def _round(self) -> None:
        """Carry out the tasks that no other process works on; wait a moment if there is none."""
        free = [task for task in self.pending if not _held(task)]
        unfinished = [task for task in free if not self._end(task)]
        if not unfinished:
            self.status.waiting()
            time.sleep(_WAIT_SECONDS)
            return

        with contextlib.closing(self.launcher.run(unfinished)) as events:
            for event in events:
                if event.task is not None:
                    self._follow(event, event.task)
                self.status.refresh()

    def _follow(self, event: Event, task: Task) -> None:
        if event.kind == "started":
            self.status.started(task)
            return

        self.status.left(task)
        if event.kind == "busy":
            return

        error = event.error
        if error is None and not self._end(task):
            if self.halving is None and _has_pruned(task):
                return  # it continued the saved state of a grid with halving: the next round trains its pruned runs
            # Network file systems may show files late
            error = WorkerDiedError("the worker exited cleanly, but its results are not visible on this host")
        if error is not None and self._try_otherwise(task, error):
            return

        if error is not None:
            # The worker could not record the error; an error that would stop every other run, too, is raised.
            if isinstance(error, OutputError) or (isinstance(error, PeclError) and not self.any_trained):
                raise error
            logger.error("%s failed: %s", task.name, error)
            record_failure(task.configs, error)
            if task in self.pending:
                self._end(task)
        self.any_trained = True

    def _try_otherwise(self, task: Task, error: Exception) -> bool:
        """Return whether a failed task is tried again.

        A task whose worker died, or left no result, is tried once more: the worker may have been killed, and the runs
        resume. If a run of a fleet is wrong, each run is tried separately.
        """
        if isinstance(error, WorkerDiedError):
            if task.name in self.died:
                return False
            self.died.add(task.name)
            logger.warning("retrying %s: %s", task.name, error)
            return True

        # The folder and the size of the fleet are wrong for all its runs
        may_be_of_one_run = isinstance(error, PeclError) and not isinstance(error, OutputError | FleetSizeError)
        if not may_be_of_one_run or len(task.configs) == 1 or task.configs[0].joint:
            return False
        index = self.pending.index(task)
        self.pending[index : index + 1] = [Task((config,), task.share, task.halving) for config in task.configs]
        return True

    def _end(self, task: Task) -> bool:
        """Remove a task from `pending` if all its runs have an outcome, and return whether they have."""
        ended = self._collect(task)
        if ended:
            self.pending.remove(task)
            self.status.ended(ended)
        return bool(ended)

    def _collect(self, task: Task) -> list[Outcome]:
        """Collect the outcomes of a task if all its runs have one, and return them; else none.

        The outcome of a run is its complete result, or its failure since this grid began, here or in another process;
        with halving, also that it was pruned.
        """
        outcomes: list[Outcome] = []
        for config in task.configs:
            outcome = complete_result(config, self.hashes, self.stoppers) or self._unfinished(config)
            if outcome is None:
                return []
            outcomes.append(outcome)

        for config, outcome in zip(task.configs, outcomes, strict=True):
            self.results[config.out, outcome.run_id] = outcome
        return outcomes

    def _unfinished(self, config: ExperimentConfig) -> UnfinishedRun | None:
        """Return the failure of a run since this grid began, or, with halving, the result of a pruned run; or None."""
        path = training_path(config)
        is_new = _version(path) != self.files_before.get(path, (0, 0))
        if not is_new and self.halving is None:
            return None

        run = find_run(config)
        if not isinstance(run, UnfinishedRun):
            return None
        if run.status == "failed" and is_new:
            return run
        if run.status == "pruned" and self.halving is not None:
            return run
        return None


def _has_pruned(task: Task) -> bool:
    """Return whether a run of the task was pruned."""
    runs = [find_run(config) for config in task.configs]
    return any(run is not None and run.status == "pruned" for run in runs)


def _held(task: Task) -> bool:
    """Return whether another process works on a run of the task."""
    return any(holder(config.out, config.run_id()) for config in task.configs)


def _version(path: Path) -> tuple[int, int]:
    """Return inode and time of a file, which differ for its replacement; (0, 0) without a file."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return 0, 0
    return status.st_ino, status.st_mtime_ns
