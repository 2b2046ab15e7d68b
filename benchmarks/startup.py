"""From a command to what it shows: `pecl --help`, and the first training step of a run on the mini pair."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time

from figures import Figure

FIRST_STEP = """
import sys, time
from pecl.training.trainer import AlignmentTrainer

step = AlignmentTrainer.train_step

def first(self):
    step(self)
    print(time.time())
    sys.stdout.flush()
    import os
    os._exit(0)

AlignmentTrainer.train_step = first
from pecl.cli import main
main(["train", "--out", sys.argv[1], "--device", sys.argv[2]])
"""


def first_step(device: str) -> float:
    """Return the seconds from the start of a process to the end of the first step; nothing is kept from before."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "PECL_CACHE_DIR": f"{folder}/cache"}
        command = [sys.executable, "-c", FIRST_STEP, f"{folder}/out", device]
        started = time.time()
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        return float(done.stdout.split()[-1]) - started


def help_shown() -> float:
    """Return the seconds of `pecl --help`."""
    started = time.perf_counter()
    subprocess.run([sys.executable, "-m", "pecl", "--help"], capture_output=True, check=True)
    return time.perf_counter() - started


def measure(small: bool, device: str) -> list[Figure]:
    """Return both, the fastest of some tries."""
    figures = [Figure("pecl --help", min(help_shown() for _ in range(3 if small else 7)), "s", "< 0.5", floor=2.0)]
    if not small:
        figures.append(
            Figure("first step of a run on the mini pair", min(first_step(device) for _ in range(2)), "s", "< 8")
        )
    return figures
