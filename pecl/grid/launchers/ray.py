"""Ray: tasks on the cluster of `RAY_ADDRESS`, or on a Ray started on this machine. A task is a line of JSON.

The hosts of a cluster must see the results folder and have pecl installed.
"""

import math
import os
from collections.abc import Generator, Mapping, Sequence
from typing import Any

from pecl.errors import ConfigError, install
from pecl.grid.launchers.base import Event, Launcher, Task, end_event
from pecl.grid.launchers.worker import run_text
from pecl.machine import gpus_needed, running_ray

_OPTIONS = ("num_cpus", "num_gpus", "memory")


class Ray(Launcher):
    """Carries out tasks through Ray. A task counts as running from its submission.

    On a Ray started here, `jobs` tasks at a time share the cores; a cluster schedules itself. Options are resources per
    task: num_cpus, num_gpus, memory (bytes).

    Raises:
        ConfigError: ray is missing, an option is unknown, or its value is not a number >= 0.
    """

    def __init__(self, jobs: int = 1, options: Mapping[str, Any] | None = None) -> None:
        try:
            import ray  # noqa: F401
        except ImportError as error:
            raise ConfigError(f"launcher ray needs ray: {install('ray')}") from error
        for name, value in (options or {}).items():
            if name not in _OPTIONS:
                raise ConfigError(f"unknown option {name!r}: expected one of {', '.join(_OPTIONS)}", field="ray")
            if type(value) not in (int, float) or not 0 <= value < math.inf:
                raise ConfigError(f"{name}: expected a number >= 0, got {value!r}", field="ray")

        self.cores = len(os.sched_getaffinity(0))
        self.options = {"num_cpus": max(self.cores // max(jobs, 1), 1), **(options or {})}
        self.jobs = jobs

    def run(self, tasks: Sequence[Task]) -> Generator[Event, None, None]:
        """See `Launcher.run`."""
        import ray
        from ray.exceptions import RayError

        waiting: dict[Any, Task] = {}
        with running_ray(max(self.cores, self.jobs)):
            remote = ray.remote(run_text)
            try:
                for task in tasks:
                    needed = gpus_needed(task.configs[0].device)  # Ray hides all GPUs from a task that asks for none
                    gpus = {"num_gpus": needed} if needed else {}
                    options = {**gpus, **self.options}
                    waiting[remote.options(max_retries=0, **options).remote(task.to_json())] = task
                    yield Event("started", task)
                while waiting:
                    ended, _ = ray.wait(list(waiting), timeout=1.0)
                    for reference in ended:
                        try:
                            status, sentence = ray.get(reference)
                        except RayError as error:
                            last_line = str(error).strip().rpartition("\n")[2]
                            status = 1
                            sentence = f"the Ray task ended without a result ({type(error).__name__}: {last_line})"
                        yield end_event(waiting.pop(reference), status, sentence)
                    if not ended:
                        yield Event("tick")
            finally:  # running tasks save their state
                for reference in waiting:
                    ray.cancel(reference)  # raises KeyboardInterrupt there
                if waiting:
                    ray.wait(list(waiting), num_returns=len(waiting), timeout=30.0)
