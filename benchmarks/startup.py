"""Start-up times: `pecl --help`, and the first training step of a run on the mini pair.

Times are CPU seconds on one thread, as on an idle machine with all files in memory.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile

from figures import Figure

FIRST_STEP = """
import sys
from pecl.training.trainer import Trainer

step = Trainer.train_step

def first(self):
    step(self)
    sys.stdout.flush()
    import os
    os._exit(0)

Trainer.train_step = first
from pecl.cli import main
main(["train", "--threads", "1", "--out", sys.argv[1], "--device", sys.argv[2]])
"""


def taken(*arguments: str, **environment: str) -> float:
    """Measure the CPU seconds of a Python process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *arguments], env={**os.environ, **environment}, capture_output=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def first_step(device: str, folder: str) -> float:
    """Measure the seconds from a process's start to the end of its first step; `folder` caches embeddings."""
    environment = {"PECL_CACHE_DIR": f"{folder}/cache", "OMP_NUM_THREADS": "1"}
    return taken("-c", FIRST_STEP, f"{folder}/out", device, **environment)


def measure(small: bool, device: str) -> list[Figure]:
    """Measure the fastest of several tries; the first step with an empty cache and with a filled one."""
    shown = min(taken("-m", "pecl", "--help") for _ in range(3 if small else 7))
    figures = [Figure("pecl --help", shown, "s", "< 0.5", floor=1.0)]
    if small:
        return figures

    with tempfile.TemporaryDirectory() as folder:
        cold = first_step(device, folder)
        second = min(first_step(device, folder) for _ in range(2))

    name = "first step of a run on the mini pair"
    return [
        *figures,
        Figure(name, second, "s", "< 8"),
        Figure(f"{name}, 1,000 pictures and captions embedded before", cold, "s"),
    ]
