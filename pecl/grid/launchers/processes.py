"""N processes on this machine, each with its own cores and, if the runs ask for one, its own GPU.

One process trains one fleet at a time, so a grid of several fleets spreads over the GPUs. Cores are divided, because
processes that share cores are far slower than one. All processes have equally many threads, so that results do not
depend on the process. `cuda` and `cuda:0` mean the GPU of each process, taken in turn from the visible ones; `cuda:1`
and above name one GPU for all. A process ends when its parent ends.
"""

import contextlib
import math
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import IO

import numpy as np

from pecl.config import ExperimentConfig
from pecl.errors import ConfigError, not_none
from pecl.grid.launchers.base import BUSY, ERRORS, Event, Launcher, Task, end_event
from pecl.machine import gpus_needed

_POLL_SECONDS = 0.05
_TICK_SECONDS = 1.0
_STOP_SECONDS = 30.0  # for a stopping worker to save its state


@dataclass
class _Worker:
    task: Task
    process: subprocess.Popen
    errors: IO[bytes]


class Processes(Launcher):
    """Carries out tasks in `jobs` processes, which take `gpus`, numbers of visible GPUs, in turn; empty for all."""

    def __init__(self, jobs: int, gpus: Sequence[int] = ()) -> None:
        self.jobs = jobs
        self.gpus = list(gpus)

    def sharing(self, device: str) -> int:
        """Return the number of processes that share the memory of `device`; a requested GPU must exist."""
        if gpus_needed(device) != 1:
            return self.jobs
        return math.ceil(self.jobs / len(self._gpu_names()))

    def threads(self, config: ExperimentConfig) -> int:
        """Return the number of threads of the process that trains a run: one per core unless it is set."""
        if config.threads is not None:
            return config.threads

        set_number = os.environ.get("OMP_NUM_THREADS", "")
        if set_number.isdecimal():
            return int(set_number)
        return len(share_of_cores(self.jobs - 1, self.jobs))  # cores of the smallest part

    def _gpu_names(self) -> list[str]:
        """Return the GPUs that the processes take in turn, as in CUDA_VISIBLE_DEVICES."""
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        if visible:
            names = visible.split(",")
        else:
            import torch

            names = [str(i) for i in range(torch.cuda.device_count())]
            if not names and self.gpus:
                raise ConfigError(f"expected cpu, since there is no GPU here, got cuda:{self.gpus[0]}", field="devices")
            names = names or ["0"]  # the worker raises the error

        missing = [gpu for gpu in self.gpus if gpu >= len(names)]
        if missing:
            raise ConfigError(f"expected cuda:0 to cuda:{len(names) - 1}, got cuda:{missing[0]}", field="devices")
        return [names[gpu] for gpu in self.gpus] or names

    def run(self, tasks: Sequence[Task]) -> Generator[Event, None, None]:
        """See `Launcher.run`."""
        waiting = deque(tasks)
        running: dict[int, _Worker] = {}  # by the number of the process
        ticked = time.monotonic()
        try:
            while waiting or running:
                for number in range(self.jobs):
                    if number not in running and waiting:
                        running[number] = self._start(number, waiting.popleft())
                        yield Event("started", running[number].task)

                for number, worker in list(running.items()):
                    if worker.process.poll() is not None:
                        del running[number]
                        yield _ended(worker)

                time.sleep(_POLL_SECONDS)
                if time.monotonic() - ticked > _TICK_SECONDS:
                    ticked = time.monotonic()
                    yield Event("tick")
        finally:
            _stop(list(running.values()))

    def _start(self, number: int, task: Task) -> _Worker:
        config = task.configs[0]
        cores = share_of_cores(number, self.jobs)
        environment = {**os.environ, "OMP_NUM_THREADS": str(self.threads(config)), "TQDM_DISABLE": "1"}
        if gpus_needed(config.device) == 1:
            names = self._gpu_names()
            environment["CUDA_VISIBLE_DEVICES"] = names[number % len(names)]

        command = [sys.executable, "-m", "pecl.grid.launchers.worker", "--cores", ",".join(map(str, cores))]
        errors = tempfile.TemporaryFile()  # noqa: SIM115 (closed when the worker has ended)
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            env=environment,
            start_new_session=True,  # Ctrl-C reaches only this process, which then stops the worker once
        )
        with contextlib.suppress(BrokenPipeError):  # it died at once; its exit status is the error
            stdin = not_none(process.stdin, "stdin")
            stdin.write(task.to_json().encode() + b"\n")
            stdin.flush()
        return _Worker(task, process, errors)


def share_of_cores(number: int, jobs: int) -> list[int]:
    """Return the cores of process `number` of `jobs`: equal parts of at least one core; the first ones get the rest."""
    cores = sorted(os.sched_getaffinity(0))
    if jobs >= len(cores):
        return [cores[number % len(cores)]]
    return np.array_split(cores, jobs)[number].tolist()


def parse_devices(devices: Sequence[str]) -> tuple[str, list[int]]:
    """Return the kind of `devices`, cpu or cuda, and the numbers of GPUs.

    Raises:
        ConfigError: there is none, or they mix both kinds, whose results differ in last digits.
    """
    if devices and all(device == "cpu" for device in devices):
        return "cpu", []
    if not devices or not all(re.fullmatch(r"cuda:[0-9]+", device) for device in devices):
        raise ConfigError(f"expected GPUs such as cuda:0,cuda:1, or cpu,cpu, got {','.join(devices)}", field="devices")
    return "cuda", [int(device.removeprefix("cuda:")) for device in devices]


def _ended(worker: _Worker) -> Event:
    status = worker.process.returncode
    last_line = _close(worker)
    if status in (0, BUSY, *ERRORS):
        return end_event(worker.task, status, last_line)
    how = f"was killed by {_signal_name(-status)}" if status < 0 else f"ended with exit status {status}"
    return end_event(worker.task, status, f"the worker {how}: {last_line}")


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # most signals of real time have no name
        return f"signal {number}"


def _close(worker: _Worker) -> str:
    """Close the files of a worker that has ended; return its last line on standard error."""
    with contextlib.suppress(BrokenPipeError):
        not_none(worker.process.stdin, "stdin").close()
    with worker.errors as file:
        file.seek(0)
        lines = file.read().decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else "no output"


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
        _close(worker)
