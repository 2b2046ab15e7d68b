"""What a fleet is worth: time and memory of 1, 2, 4, 8 and 15 runs in one pass, `python benchmarks/run.py fleets`.

Steps of the mini tower with dropout, batches of 5 pairs of drawn scenes, LoRA; no validation. Time is a ratio to one
run's own steps, by turns. Memory is the peak of a process for each size (tower loaded, three steps): that of 15 runs in
one fleet against 15 times that of one run.
"""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

from figures import Figure, fastest

from pecl.adapters.adapter import attach
from pecl.adapters.spec import parse_adapter
from pecl.data.scenes import load_scenes
from pecl.encoders.loading.mini import load_mini_text
from pecl.encoders.text import MultilingualTextEncoder
from pecl.training.losses import AlignmentObjective
from pecl.training.schedule import Schedule
from pecl.training.trainer import AlignmentTrainer, SlotTask

SIZES = (1, 2, 4, 8, 15)
_PAIRS = 50


def trainer_of(tower: MultilingualTextEncoder, runs: int) -> AlignmentTrainer:
    """Return the training of a fleet of `runs` seeds on drawn scenes."""
    data = load_scenes("de", size=_PAIRS)
    query, anchor = tower.tokenize(data.target), tower.tokenize(data.english)
    images = tower.encode_token_ids(anchor)  # whose values do not matter for the time
    objective = AlignmentObjective()
    tasks = [SlotTask(query, anchor, images, objective, 1e-4, seed) for seed in range(1, runs + 1)]
    adapter = attach(tower, parse_adapter("lora"), seeds=[task.seed for task in tasks])
    return AlignmentTrainer(tower, adapter, tasks, Schedule(50, 5, 5), lambda: [0.5] * runs)


def peak_bytes(runs: int) -> int:
    """Return the peak memory of a process that trains a fleet of `runs`."""
    command = [sys.executable, str(Path(__file__)), str(runs)]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def measure(small: bool, device: str) -> list[Figure]:
    """Return the figures."""
    sizes, repeats = ((1, 4), 3) if small else (SIZES, 5)
    trainers = {f"{runs}": trainer_of(load_mini_text(device=device), runs) for runs in sizes}
    for trainer in trainers.values():
        trainer.train_step()
    times = fastest({name: trainer.train_step for name, trainer in trainers.items()}, repeats)
    figures = [
        Figure(f"steps of {name} runs, one by one, against a fleet's", int(name) * times["1"] / spent, details=times)
        for name, spent in times.items()
        if name != "1"
    ]
    if device == "cpu" and not small:
        alone, together = peak_bytes(1), peak_bytes(15)
        share = together / (15 * alone)
        details = {"bytes of one run": alone, "bytes of the fleet": together}
        name = "peak memory of a fleet of 15 against 15 processes"
        figures.append(Figure(name, share, "share", "<= 20 %", None, details))
    return figures


if __name__ == "__main__":
    training = trainer_of(load_mini_text(), int(sys.argv[1]))
    for _ in range(3):
        training.train_step()
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
