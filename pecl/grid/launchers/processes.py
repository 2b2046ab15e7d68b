"""N processes on this machine, each with cores, and a GPU where the runs ask for one, of its own.

Two processes that share cores, each with as many threads as there are cores, are far slower than one: so the cores are
divided, and every process is bound to its part. All have the same number of threads, so that it does not matter which
of them a run falls to. `cuda` and `cuda:0` are the GPU of each process, the visible ones in
turn; `cuda:1` and above name one GPU for all. A process ends with the one that started it, whatever ends that.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import IO

from pecl.errors import ConfigError, require
from pecl.grid.launchers.base import BAD_INPUT, BUSY, CANNOT_WRITE, Event, Task, end_of, gpus_needed

_POLL_SECONDS, _TICK_SECONDS = 0.05, 1.0
_STOP_SECONDS = 30.0  # a worker that was asked to stop saves its state first


@dataclass
class _Worker:
    task: Task
    process: subprocess.Popen
    errors: IO[bytes]


class Processes:
    """Carries out tasks in `jobs` processes.

    Raises:
        ConfigError: `jobs` is below 1.
    """

    separate = True

    def __init__(self, jobs: int) -> None:
        if jobs < 1:
            raise ConfigError(f"jobs: expected a whole number >= 1, got {jobs}")
        self.jobs = jobs

    def run(self, tasks: Sequence[Task]) -> Generator[Event, None, None]:
        """See `Launcher.run`."""
        waiting, running, ticked = deque(tasks), {}, time.monotonic()
        try:
            while waiting or running:
                for place in range(self.jobs):
                    if place not in running and waiting:
                        running[place] = self._start(place, waiting.popleft())
                        yield Event("started", running[place].task)
                for place, worker in list(running.items()):
                    if worker.process.poll() is not None:
                        del running[place]
                        yield _ended(worker)
                time.sleep(_POLL_SECONDS)
                if time.monotonic() - ticked > _TICK_SECONDS:
                    ticked = time.monotonic()
                    yield Event("tick")
        finally:
            _stop(list(running.values()))

    def _start(self, place: int, task: Task) -> _Worker:
        cores = share_of_cores(place, self.jobs)
        threads = {"OMP_NUM_THREADS": str(len(share_of_cores(self.jobs - 1, self.jobs)))}  # of the smallest part
        environment = {**threads, **os.environ, "TQDM_DISABLE": "1"}
        if (asked := task.configs[0].threads) is not None:
            environment["OMP_NUM_THREADS"] = str(asked)
        if gpus_needed(task.configs[0].device) == 1:
            environment["CUDA_VISIBLE_DEVICES"] = _gpu(place)
        command = [sys.executable, "-m", "pecl.grid.launchers.worker", "-", "--cores", ",".join(map(str, cores))]
        errors = tempfile.TemporaryFile()  # noqa: SIM115 (closed when the worker has ended)
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            env=environment,
            start_new_session=True,  # Ctrl-C reaches this process alone, which then stops the worker once
        )
        with contextlib.suppress(BrokenPipeError):  # it died at once; its exit status will say so
            stdin = require(process.stdin, "stdin")
            stdin.write(task.to_yaml().encode() + b"...\n")
            stdin.flush()
        return _Worker(task, process, errors)


def share_of_cores(place: int, jobs: int) -> list[int]:
    """Return the cores of process `place` of `jobs`: equal parts, one core at least, the rest left to the first."""
    cores = sorted(os.sched_getaffinity(0))
    if jobs >= len(cores):
        return [cores[place % len(cores)]]
    size, more = divmod(len(cores), jobs)
    start = place * size + min(place, more)
    return cores[start : start + size + (place < more)]


def _gpu(place: int) -> str:
    """Return the GPU of process `place`: the visible ones in turn."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible:
        names = visible.split(",")
    else:
        import torch

        names = [str(i) for i in range(torch.cuda.device_count())] or ["0"]  # without any, the worker will say so
    return names[place % len(names)]


def _ended(worker: _Worker) -> Event:
    """Return what the end of a worker means."""
    status = worker.process.returncode
    with contextlib.suppress(BrokenPipeError):
        require(worker.process.stdin, "stdin").close()
    with worker.errors as file:
        file.seek(0)
        last = (file.read().decode(errors="replace").strip().splitlines() or ["it said nothing"])[-1]
    if status in (0, BAD_INPUT, CANNOT_WRITE, BUSY):
        return end_of(worker.task, status, last)
    how = f"was killed by {signal.Signals(-status).name}" if status < 0 else f"ended with exit status {status}"
    return end_of(worker.task, status, f"the worker {how}: {last}")


def _stop(workers: Sequence[_Worker]) -> None:
    """Interrupt workers, wait while they save their state, and kill those that do not end."""
    for worker in workers:
        with contextlib.suppress(ProcessLookupError):
            worker.process.send_signal(signal.SIGINT)
    deadline = time.monotonic() + _STOP_SECONDS
    for worker in workers:
        try:
            worker.process.wait(max(deadline - time.monotonic(), 0.1))
        except subprocess.TimeoutExpired:
            worker.process.kill()
            worker.process.wait()
        with contextlib.suppress(BrokenPipeError):
            require(worker.process.stdin, "stdin").close()
        worker.errors.close()
