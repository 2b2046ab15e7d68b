"""Value of a fleet: runs per hour of fleets of 1, 2, 4, 8 and 15, `python benchmarks/run.py fleets`.

A run has the defaults of the mini profile: 500 steps of 5 pairs of drawn scenes with LoRA and
dropout, 100 validations of 50 captions, and two tests, of the final and of the best weights. The
benchmark times a step and a validation, of the released procedure (`one_run.ReleasedWay`, in fp32)
and of fleets of each size in fp32 and bf16, in alternating rounds. A test counts as validations
with the same number of captions. pecl's frozen embeddings are cached, as in every run of a grid
except the first. Adapters in only the topmost layers, without dropout, are another method: they
compute the layers below once per caption, and their seconds include this once per fleet.

Memory is the peak of a separate process (tower loaded, two steps, a validation, in bf16): 15 runs
in one fleet compared with 15 times one run.
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
from pecl.errors import not_none
from pecl.experiment.fleet_measuring import embed_queries
from pecl.experiment.inputs import read_training
from pecl.machine import BF16, FP32, process_peak_mb
from pecl.retrieval.evaluator import RetrievalEvaluator
from pecl.training.losses import Objective, RouteLoss
from pecl.training.schedule import Schedule
from pecl.training.slot_run import Rows, SlotRun
from pecl.training.trainer import Trainer


class Setting(NamedTuple):
    """Precision, layers of the adapters (None for all) and dropout of a fleet."""

    precision: str
    layers: str | None = None
    dropout: bool = True


SIZES = (1, 2, 4, 8, 15)
SETTINGS = {FP32: Setting(FP32), BF16: Setting(BF16)}
SETTINGS |= {f"{BF16}, {layers}, no dropout": Setting(BF16, layers, dropout=False) for layers in ("top-6", "top-3")}
ENDS = (1, 15)  # sizes of fleets with adapters in the topmost layers
_PAIRS, _TESTED = 50, 900  # captions per validation and per test


def trainer_of(tower: MultilingualTextEncoder, runs: int, setting: Setting) -> Trainer:
    """Prepare the training of a fleet of `runs` seeds on drawn scenes."""
    data = load_scenes("de", size=_PAIRS)
    query = tower.tokenize(data.target)
    anchor = tower.tokenize(data.english)
    images = torch.eye(_PAIRS, tower.embedding_dim)  # the values do not change the time
    pairs = Rows.of_route(query, anchor, images)
    slot_runs = [SlotRun(pairs, RouteLoss(Objective()), 1e-4, slot + 1, slot) for slot in range(runs)]
    adapter = attach(tower, parse_adapter("lora", layers=setting.layers), seeds=[run.seed for run in slot_runs])
    return Trainer(adapter, slot_runs, Schedule(50, 5, 5, setting.dropout), lambda slots: [0.5] * len(slots))


def validate(trainer: Trainer) -> None:
    """Validate the last slot of a fleet."""
    texts = embed_queries(trainer.adapter, trainer.adapter.num_slots - 1, trainer.runs[0].pairs.texts["query"])
    RetrievalEvaluator(texts, range(len(texts)))(texts)


def fleet_seconds(device: str, runs: int, setting: Setting, steps: int) -> dict[str, float]:
    """Return the shortest time of a step of `runs`, and of a validation of one run.

    `keeping` is the time to compute the layers below the adapters for `_PAIRS` captions.
    """
    tower = text_tower(device, setting.precision)
    trainer = trainer_of(tower, runs, setting)
    query, anchor = trainer.runs[0].pairs.texts.values()
    ways = {"step": trainer.train_step, "validation": lambda: validate(trainer)}

    try:
        if setting.layers is None:
            trainer.train_step()
            return fastest(ways, steps) | {"keeping": 0.0}
        with tower.caching([]) as states:
            cache = not_none(states, "states below the adapters")
            keeping = seconds(lambda: cache.add([query]))
            cache.add([anchor])
            trainer.train_step()
            return fastest(ways, steps) | {"keeping": keeping}
    finally:
        trainer.adapter.remove()


def released_seconds(way: ReleasedWay, steps: int) -> dict[str, float]:
    """Return these times for the released procedure with one run."""
    way.tower.train()
    with default_allocator():
        step = min(seconds(way.step) for _ in range(steps))
        way.tower.eval()
        return {"step": step, "validation": seconds(lambda: way.recall("val")), "keeping": 0.0}


def released_way(config: ExperimentConfig, device: str, rounds: int, steps: int) -> ReleasedWay:
    """Return the released procedure on its own tower, with all its steps prepared."""
    towers = load_towers(config.profile, device=device)
    orders = torch.arange(rounds * steps * config.batch_size).view(-1, config.batch_size) % _PAIRS
    return ReleasedWay(read_training(config, towers), orders.tolist(), batch=_PAIRS)


def run_seconds(took: dict[str, float], runs: int, config: ExperimentConfig) -> float:
    """Compute the seconds of a run in a fleet of `runs` from a step of the fleet and a validation of one run.

    Cached layers are computed once for the captions of training (two per pair), validation and
    test.
    """
    steps = config.epochs * -(-_PAIRS // config.batch_size)
    validations = steps / config.eval_every + 2 * _TESTED / _PAIRS
    passes = 3 + _TESTED / _PAIRS
    return (steps * took["step"] + passes * took["keeping"]) / runs + validations * took["validation"]


def times(small: bool, device: str) -> dict[tuple[str, int], dict[str, float]]:
    """Return the shortest time of every procedure and size, in alternating rounds."""
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

    least: dict[tuple[str, int], dict[str, float]] = {}
    for _ in range(rounds):
        for name, take in ways.items():
            took = take()
            least[name] = {part: min(value, least.get(name, took)[part]) for part, value in took.items()}

    return least


def peak_bytes(runs: int) -> int:
    """Measure the peak memory of a process that trains a fleet of `runs`."""
    command = [sys.executable, str(Path(__file__)), str(runs)]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def memory_figure() -> Figure:
    """Compare the memory of a fleet of 15 with 15 processes."""
    single = peak_bytes(1)
    together = peak_bytes(15)
    details = {"bytes of one run": single, "bytes of the fleet": together}
    name = "peak memory of a fleet of 15 against 15 processes"
    return Figure(name, together / (15 * single), "share", "<= 20 %", None, details)


def measure(small: bool, device: str) -> list[Figure]:
    """Return the figures."""
    parts = times(small, device)
    config = make_config({})
    a_run = {way: run_seconds(took, way[1], config) for way, took in parts.items()}
    details = {f"{name}, {runs}": took | {"run": a_run[name, runs]} for (name, runs), took in parts.items()}

    figures = []
    for (name, runs), spent in a_run.items():
        if name == "released":
            continue
        if runs > 1:
            title = f"runs per hour of a fleet of {runs}, {name}, against one by one"
            figures.append(Figure(title, a_run[name, 1] / spent, floor=0.8, details=details))
        if not small:
            title = f"runs per hour of a fleet of {runs}, {name}, against the released procedure"
            wanted = {1: ">= 8", 15: ">= 12"}.get(runs, "")
            figures.append(Figure(title, a_run["released", 1] / spent, wanted=wanted, details=details))

    if device == "cpu" and not small:
        figures.append(memory_figure())
    return figures


def main() -> None:
    """Train the fleet for `peak_bytes` and print the peak memory."""
    torch.set_num_threads(1)
    trainer = trainer_of(text_tower("cpu", BF16), int(sys.argv[1]), SETTINGS[BF16])
    trainer.train_step()
    trainer.train_step()
    validate(trainer)
    print(int(process_peak_mb() * 2**20))


if __name__ == "__main__":
    main()
