"""Estimates of the time of runs from recorded runs; and the status line of a grid, with the time left."""

import logging
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from statistics import median
from threading import Event, Thread
from typing import Any

from pecl.config import FLEET_FIELDS, IDENTITY_DEFAULTS, ExperimentConfig, Role, fields_of
from pecl.files.progress import Bar
from pecl.grid.launchers.base import Task
from pecl.machine import CORES_SPEED
from pecl.results.result import DamagedResultError, Run, TrainingResult, read_run

logger = logging.getLogger(__name__)

# Config fields that determine the time of a run, and those that matter most for the time of a step
_shape_of = attrgetter(*(name for name in IDENTITY_DEFAULTS if name not in FLEET_FIELDS | fields_of(Role.REPEAT)))
_step_of = attrgetter(*fields_of(Role.STEP_TIME))
# Floating-point operations per second of a GPU that an estimate without recorded runs assumes
GPU_SPEED = 10e12
_REWRITE_SECONDS = 1.0


@dataclass(frozen=True)
class Recorded:
    """The time of one complete run."""

    config: ExperimentConfig
    seconds: float
    steps: int


@dataclass(frozen=True)
class TimeEstimate:
    """Seconds for all runs in sequence, None if unknown, and the basis of the estimate."""

    seconds: float | None
    basis: str

    def __str__(self) -> str:
        return self.basis if self.seconds is None else f"about {duration(self.seconds)} ({self.basis})"


def recorded_seconds(configs: Iterable[ExperimentConfig]) -> list[Recorded]:
    """Return the times of complete trainings in the results folders of `configs`; damaged files are skipped."""
    recorded = []
    for out in dict.fromkeys(config.out for config in configs):
        for path in sorted(Path(out).glob("*.json")):
            try:
                run = read_run(path)
            except DamagedResultError as error:
                logger.debug("%s", error)
                continue
            recorded += recorded_of([run])
    return recorded


def recorded_of(runs: Iterable[Run]) -> list[Recorded]:
    """Return the times of the complete trainings among `runs`; a run of a fleet has its share of the fleet's time."""
    return [
        Recorded(run.config, run.seconds.train / run.fleet.size, run.steps)
        for run in runs
        if isinstance(run, TrainingResult)
    ]


def estimate(
    configs: Sequence[ExperimentConfig], recorded: Sequence[Recorded], jobs: int = 1, steps: Sequence[int] | None = None
) -> TimeEstimate:
    """Estimate the time to train `configs`, `jobs` at a time.

    A run counts as the median of recorded runs of the same shape, which differ from it only in fleet fields or seed,
    by the share of its `steps` that remain if these are given.
    Without such runs it counts as its `steps` times the median time of a step of the same towers and batch. By default
    `steps` are computed from the number of pairs in each config. Loading, and the evaluation of the base encoder, are
    not counted.
    """
    by_shape: dict[tuple[Any, ...], list[Recorded]] = {}
    by_tower: dict[tuple[Any, ...], list[float]] = {}
    for run in recorded:
        by_shape.setdefault(_shape_of(run.config), []).append(run)
        if run.steps:  # a run of only closed-form phases has none
            by_tower.setdefault(_step_of(run.config), []).append(run.seconds / run.steps)

    total = 0.0
    counts = {"recorded runs of the same shape": 0, "a step's recorded time": 0}
    for config, run_steps in zip(configs, steps or map(_steps, configs), strict=True):
        alike = by_shape.get(_shape_of(config))
        step_seconds = by_tower.get(_step_of(config))
        if alike:
            total += median(run.seconds * (run_steps / run.steps if steps and run.steps else 1) for run in alike)
            counts["recorded runs of the same shape"] += 1
        elif run_steps and step_seconds:
            total += run_steps * median(step_seconds)
            counts["a step's recorded time"] += 1
        else:
            return TimeEstimate(None, "time unknown until a run of these towers is complete in the results folder")

    if not configs:
        return TimeEstimate(0.0, "nothing to do")
    basis = " and ".join(f"{name} for {count}" for name, count in counts.items() if count)
    return TimeEstimate(total / jobs, f"by {basis} of {len(configs)} runs")


def by_operations(operations: float, precision: str) -> str:
    """Return the time of runs without recorded times, on two cores and on a GPU, by assumed speeds."""
    cores = CORES_SPEED[precision]
    speeds = f"{cores / 1e9:.0f} GFLOP/s and {GPU_SPEED / 1e12:.0f} TFLOP/s"
    return (
        f"about {duration(operations / cores)} on two cores or {duration(operations / GPU_SPEED)} on a GPU (an "
        f"estimate, at {speeds}, until a run of these towers is complete)"
    )


def duration(seconds: float) -> str:
    """Return seconds for people: 40 s, 12 min, 3.5 h, 2.1 days."""
    for size, unit in ((86400.0, "days"), (3600.0, "h")):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"


def _steps(config: ExperimentConfig) -> int:
    """Return the number of training steps, or 0 if it depends on the data."""
    pairs = config.shots if config.train_on == "pairs" and config.text is None else config.train_size
    epochs = config.epochs if "gradient" in config.solvers else 0
    return epochs * -(-(pairs or 0) // config.batch_size)


class StatusLine:
    """A line on standard error, rewritten every second.

    Runs of this process count by the share of their steps, runs of workers when they end. The time left is extrapolated
    from the runs of this grid. Before the first one ends, it is the time of the training steps, by runs that were
    complete `before`, or else by other runs in the results folder, for `jobs` runs at a time.
    """

    def __init__(self, total: int, before: Sequence[Run], remaining: Sequence[ExperimentConfig], jobs: int = 1) -> None:
        self.total = total
        self.jobs = jobs
        self.complete = len(before)
        self.failed = 0
        self.running = 0
        self.ended_here = 0
        self.started_at = time.monotonic()
        self.ended_at = self.started_at  # of the last run that ended
        self.waits = False
        self.share = 0.0

        self.estimated: float | None = 0.0  # seconds of the steps of all remaining runs
        if remaining:
            recorded = recorded_of(before) or recorded_seconds(remaining)
            self.estimated = estimate(remaining, recorded, jobs).seconds

        layout = "grid: {percentage:3.0f}%|{bar:20}| {desc}"
        self.bar = Bar(total=total, initial=self.complete, desc=self.text(), bar_format=layout, unit="run")
        self.closed = Event()
        self.clock = Thread(target=self._rewrite, daemon=True)
        self.clock.start()

    def close(self) -> None:
        """Write the line for the last time."""
        self.closed.set()
        self.clock.join()
        self.running = 0
        self.refresh()
        self.bar.close()

    def started(self, task: Task) -> None:
        """Count a task as running."""
        self.running += len(task.configs)
        self.waits = False
        self.share = 0.0

    def advanced(self, share: float) -> None:
        """Count a share, in [0, 1], of the steps of the running task as done."""
        shown = self._done()
        self.share = share
        if int(100 * shown / self.total) != int(100 * self._done() / self.total):  # not at each of many steps
            self.refresh()

    def left(self, task: Task) -> None:
        """Count a task as no longer running."""
        self.running -= len(task.configs)
        self.share = 0.0

    def ended(self, outcomes: Sequence[Run]) -> None:
        """Count outcomes."""
        failed = sum(outcome.status == "failed" for outcome in outcomes)
        self.failed += failed
        self.complete += len(outcomes) - failed
        self.ended_here += len(outcomes)
        self.ended_at = time.monotonic()

    def waiting(self) -> None:
        """Show that other processes train the remaining runs."""
        self.waits = True
        self.refresh()

    def refresh(self) -> None:
        """Write the line again."""
        self.bar.desc = self.text()
        self.bar.n = self._done()
        self.bar.refresh()

    def text(self) -> str:
        """Return the line's words."""
        remaining = self.total - self.complete - self.failed
        waits = " (waiting for another process)" if self.waits else ""
        counts = f"{self.complete} done, {self.running} running, {self.failed} failed, {remaining} remaining"
        return f"{counts}, {self._time_left(remaining)}{waits}"

    def _rewrite(self) -> None:
        while not self.closed.wait(_REWRITE_SECONDS):
            self.refresh()

    def _done(self) -> float:
        return self.complete + self.failed + self.share * self.running

    def _time_left(self, remaining: int) -> str:
        now = time.monotonic()
        begun = self.share * self.running
        if self.ended_here:
            per_run = (self.ended_at - self.started_at) / self.ended_here
            seconds = per_run * remaining - (now - self.ended_at)
        elif self.estimated is not None and (begun or self.jobs == 1):
            # not of loading and evaluation, which the estimate does not count
            return f"{duration(self.estimated * (1 - begun / max(remaining, 1)))} of training left"
        elif self.estimated is not None:
            seconds = self.estimated - (now - self.started_at)
        elif begun:
            seconds = (now - self.started_at) / begun * (remaining - begun)
        else:
            return "time left unknown"
        if remaining and seconds < 1:
            return "longer than estimated"
        return f"{duration(max(seconds, 0))} left"
