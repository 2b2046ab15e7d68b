"""Slurm, through submitit: one job array per round of tasks. All hosts must see the results folder.

A job takes a task as JSON as its argument and writes results. submitit keeps job scripts, arguments and logs
in `<out>/.slurm/`, which is removed when every job has succeeded. A job that is preempted or runs out of time is queued
again, and resumes from its last saved step.
"""

import contextlib
import os
import platform
import shutil
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pecl.errors import ConfigError, install, suggest
from pecl.grid.launchers.base import Event, Launcher, Task, end_event
from pecl.grid.launchers.worker import run_text

_POLL_SECONDS = 1.0
_QUERY_SECONDS = 30.0  # between queries of Slurm's accounting, for jobs that died silently


class _Job:
    """A job on the cluster; submitit calls `checkpoint` before it stops a job, and queues the result."""

    def __call__(self, text: str) -> tuple[int, str]:
        return run_text(text)

    def checkpoint(self, text: str) -> Any:
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, text)


class Slurm(Launcher):
    """Carries out tasks as jobs of a Slurm cluster. A job counts as running from its submission.

    Args:
        jobs: jobs at a time; 0 for as many as the cluster allows.
        options: sbatch's options with underscores, such as partition, time (minutes), cpus_per_task, gpus_per_node.

    Raises:
        ConfigError: submitit or Slurm is missing, or an option is unknown.
    """

    def __init__(self, jobs: int = 0, options: Mapping[str, Any] | None = None) -> None:
        try:
            from submitit import SlurmExecutor
        except ImportError as error:
            raise ConfigError(f"launcher slurm needs submitit: {install('slurm')}") from error
        for program in ("sbatch", "srun"):
            if shutil.which(program) is None:
                raise ConfigError(f"launcher slurm needs {program}, which is not found here: run it on a login node")
        self.jobs = jobs
        self.options = {"job_name": "pecl", "time": 24 * 60, **(options or {})}
        if jobs:
            self.options["array_parallelism"] = jobs

        parameters = SlurmExecutor._valid_parameters()  # submitit's own list; it has no public name
        for name in self.options:
            if name not in parameters:
                raise ConfigError(f"unknown option {name!r} of sbatch{suggest(name, parameters)}", field="slurm")

    def run(self, tasks: Sequence[Task]) -> Generator[Event, None, None]:
        """See `Launcher.run`."""
        from submitit import SlurmExecutor
        from submitit.core.utils import FailedJobError, FailedSubmissionError

        folder = Path(tasks[0].configs[0].out).absolute() / ".slurm" / f"{platform.node()}-{os.getpid()}"
        executor = SlurmExecutor(folder)
        executor.update_parameters(**self.options)
        try:
            jobs = executor.map_array(_Job(), [task.to_json() for task in tasks])
        except (FailedJobError, FailedSubmissionError) as error:  # sbatch failed, or named no job
            raise ConfigError(f"Slurm refused the jobs: {' '.join(str(error).split())}") from error

        waiting = dict(zip(jobs, tasks, strict=True))
        failed = False
        try:
            yield from (Event("started", task) for task in tasks)
            for job in _as_they_end(waiting):
                event = _ended(job, waiting.pop(job)) if job is not None else Event("tick")
                failed = failed or event.error is not None
                yield event
        finally:
            for job in waiting:
                job.cancel(check=False)
            if not failed and not waiting:
                shutil.rmtree(folder)
                with contextlib.suppress(OSError):  # another grid's jobs are there
                    folder.parent.rmdir()


def _as_they_end(waiting: Mapping[Any, Task]) -> Iterator[Any]:
    """Yield the jobs of `waiting` as they end, and None about once a second; the caller removes them."""
    last_query = time.monotonic()
    while waiting:
        query = time.monotonic() - last_query > _QUERY_SECONDS
        if query:
            last_query = time.monotonic()

        # one forced query covers all jobs
        ended = [job for i, job in enumerate(waiting) if job.done(force_check=query and i == 0)]
        yield from ended
        if not ended:
            yield None
            time.sleep(_POLL_SECONDS)


def _ended(job: Any, task: Task) -> Event:
    problem = job.exception()
    if problem is None:
        return end_event(task, *job.result())
    first_line = str(problem).strip().partition("\n")[0]
    return end_event(task, 1, f"Slurm job {job.job_id} ended without a result ({first_line}); see {job.paths.stderr}")
