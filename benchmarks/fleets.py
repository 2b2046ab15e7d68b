"""What a fleet is worth: runs per hour of fleets of 1, 2, 4, 8 and 15, `python benchmarks/run.py fleets`.

A run is as the mini profile has it by default: 500 steps of 5 pairs of drawn scenes with LoRA and dropout, 100
validations of 50 captions, and two tests, of the final and of the best weights. What is timed is a step and a
validation, of the released procedure (`one_run.ReleasedWay`, in fp32) and of fleets of each size in fp32 and bf16, in
rounds in which all of them take turns; a test counts as so many validations as it has captions. Frozen embeddings
are at hand in pecl's way, as they are in every run of a grid but its first. Adapters in the topmost layers alone,
without dropout, are another method, which computes the layers below once a caption: its seconds count that, once a
fleet.

Memory is the peak of a process of its own (tower loaded, two steps, a validation, in bf16): that of 15 runs in one
fleet against 15 times that of one run.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from allocator import default_allocator
from figures import Figure, fastest, seconds, text_tower
from one_run import ReleasedWay

from pecl.adapters.adapter import attach
from pecl.adapters.spec import parse_adapter
from pecl.config import ExperimentConfig, make_config
from pecl.data.scenes import load_scenes
from pecl.encoders.text import MultilingualTextEncoder
from pecl.encoders.towers import load_towers
from pecl.errors import require
from pecl.experiment.fleet import embed
from pecl.experiment.prepared import prepare_training
from pecl.machine import BF16, FP32
from pecl.results.environment import process_peak_mb
from pecl.retrieval.evaluator import RetrievalEvaluator
from pecl.training.losses import AlignmentObjective
from pecl.training.schedule import Schedule
from pecl.training.task import SlotTask
from pecl.training.trainer import AlignmentTrainer


class Setting(NamedTuple):
    """What a fleet trains: in which precision, the layers of its adapters (None for all), and whether with dropout."""

    precision: str
    layers: str | None = None
    dropout: bool = True


SIZES = (1, 2, 4, 8, 15)
SETTINGS = {FP32: Setting(FP32), BF16: Setting(BF16)}
SETTINGS |= {f"{BF16}, {layers}, no dropout": Setting(BF16, layers, dropout=False) for layers in ("top-6", "top-3")}
ENDS = (1, 15)  # the sizes that settings in the topmost layers are measured at
_PAIRS, _TESTED = 50, 900  # captions of a validation, and of a test


def trainer_of(tower: MultilingualTextEncoder, runs: int, setting: Setting) -> AlignmentTrainer:
    """Return the training of a fleet of `runs` seeds on drawn scenes."""
    data = load_scenes("de", size=_PAIRS)
    query, anchor = tower.tokenize(data.target), tower.tokenize(data.english)
    images = torch.eye(_PAIRS, tower.embedding_dim)  # whose values do not matter for the time
    tasks = [SlotTask(query, anchor, images, AlignmentObjective(), 1e-4, seed) for seed in range(1, runs + 1)]
    adapter = attach(tower, parse_adapter("lora", layers=setting.layers), seeds=[task.seed for task in tasks])
    return AlignmentTrainer(
        tower, adapter, tasks, Schedule(50, 5, 5, setting.dropout), lambda slots: [0.5] * len(slots)
    )


def validate(trainer: AlignmentTrainer) -> None:
    """Validate the last slot of a fleet, as each of them is."""
    texts = embed(trainer.adapter, trainer.adapter.num_slots - 1, trainer.tasks[0].query)
    RetrievalEvaluator(texts, range(len(texts)))(texts)


def fleet_seconds(device: str, runs: int, setting: Setting, steps: int) -> dict[str, float]:
    """Return the least seconds of a step of `runs`, and of a validation of one of them.

    `keeping` are those of computing the layers below the adapters for `_PAIRS` captions.
    """
    tower = text_tower(device, setting.precision)
    trainer = trainer_of(tower, runs, setting)
    query, anchor = trainer.tasks[0].texts
    ways = {"step": trainer.train_step, "validation": lambda: validate(trainer)}
    try:
        if setting.layers is None:
            trainer.train_step()
            return fastest(ways, steps) | {"keeping": 0.0}
        with tower.keeping([]) as states:
            kept = require(states, "states below the adapters")
            keeping = seconds(lambda: kept.keep([query]))
            kept.keep([anchor])
            trainer.train_step()
            return fastest(ways, steps) | {"keeping": keeping}
    finally:
        trainer.adapter.remove()


def released_seconds(way: ReleasedWay, steps: int) -> dict[str, float]:
    """Return the same of the released procedure, whose run is one."""
    way.tower.train()
    with default_allocator():
        step = min(seconds(way.step) for _ in range(steps))
        way.tower.eval()
        return {"step": step, "validation": seconds(lambda: way.recall("val")), "keeping": 0.0}


def released_way(config: ExperimentConfig, device: str, rounds: int, steps: int) -> ReleasedWay:
    """Return the released procedure on a tower of its own, with as many steps at hand as are taken."""
    towers = load_towers(config.profile, device=device)
    orders = torch.arange(rounds * steps * config.batch_size).view(-1, config.batch_size) % _PAIRS
    return ReleasedWay(prepare_training(config, towers), orders.tolist(), batch=_PAIRS)


def run_seconds(found: dict[str, float], runs: int, config: ExperimentConfig) -> float:
    """Return the seconds of a run in a fleet of `runs`, given those of a step of all and of a validation of one.

    What is kept is computed once for the captions of training (two a pair), validation and test.
    """
    steps = config.epochs * -(-_PAIRS // config.batch_size)
    validations = steps / config.eval_every + 2 * _TESTED / _PAIRS
    kept = 3 + _TESTED / _PAIRS
    return (steps * found["step"] + kept * found["keeping"]) / runs + validations * found["validation"]


def times(small: bool, device: str) -> dict[tuple[str, int], dict[str, float]]:
    """Return the least seconds of every way and size, in rounds in which all take turns."""
    sizes, rounds, steps = ((1, 4), 1, 2) if small else (SIZES, 2, 2)
    ways: dict[tuple[str, int], Callable[[], dict[str, float]]] = {}
    if not small:
        way = released_way(make_config({"device": device}), device, rounds, steps)
        ways["released", 1] = lambda: released_seconds(way, steps)
    for name, setting in SETTINGS.items():
        if small and name != BF16:
            continue
        for runs in sizes if setting.layers is None else ENDS:
            ways[name, runs] = lambda setting=setting, n=runs: fleet_seconds(device, n, setting, steps)
    found: dict[tuple[str, int], dict[str, float]] = {}
    for _ in range(rounds):
        for name, take in ways.items():
            took = take()
            found[name] = {part: min(value, found.get(name, took)[part]) for part, value in took.items()}
    return found


def peak_bytes(runs: int) -> int:
    """Return the peak memory of a process that trains a fleet of `runs`."""
    command = [sys.executable, str(Path(__file__)), str(runs)]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def memory_figure() -> Figure:
    """Return what a fleet of 15 holds, against 15 processes."""
    alone, together = peak_bytes(1), peak_bytes(15)
    details = {"bytes of one run": alone, "bytes of the fleet": together}
    name = "peak memory of a fleet of 15 against 15 processes"
    return Figure(name, together / (15 * alone), "share", "<= 20 %", None, details)


def measure(small: bool, device: str) -> list[Figure]:
    """Return the figures."""
    found, config = times(small, device), make_config({})
    a_run = {way: run_seconds(took, way[1], config) for way, took in found.items()}
    details = {f"{name}, {runs}": took | {"run": a_run[name, runs]} for (name, runs), took in found.items()}
    figures = []
    for (name, runs), spent in a_run.items():
        if name == "released":
            continue
        if runs > 1:
            title = f"runs per hour of a fleet of {runs}, {name}, against one by one"
            figures.append(Figure(title, a_run[name, 1] / spent, floor=0.8, details=details))
        if not small:
            title = f"runs per hour of a fleet of {runs}, {name}, against the released way"
            wanted = {1: ">= 8", 15: ">= 12"}.get(runs, "")
            figures.append(Figure(title, a_run["released", 1] / spent, wanted=wanted, details=details))
    if device == "cpu" and not small:
        figures.append(memory_figure())
    return figures


def main() -> None:
    """Train the fleet that `peak_bytes` asks for, and print the peak memory."""
    torch.set_num_threads(1)
    trainer = trainer_of(text_tower("cpu", BF16), int(sys.argv[1]), SETTINGS[BF16])
    trainer.train_step()
    trainer.train_step()
    validate(trainer)
    print(int(process_peak_mb() * 2**20))


if __name__ == "__main__":
    main()
