"""Where the time of a training step goes: shares of the operations' own CPU time, by torch's profiler, on one thread.

    python benchmarks/steps.py                     one run, a fleet of 15, and distillation
    python benchmarks/steps.py --steps 2 "one run"

The towers are `mini`; the pairs are captions of drawn scenes with random image embeddings.
"products" are products of matrices, forward and backward. Python between the operations is in the
seconds of a step, and not in the shares.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict

import torch
from torch.profiler import ProfilerActivity, profile

from pecl.adapters.adapter import attach
from pecl.adapters.spec import parse_adapter
from pecl.config.recipes import DISTIL_DEFAULTS
from pecl.data.scenes import load_scenes
from pecl.encoders.towers import load_text_encoder
from pecl.training.losses import Objective, RouteLoss
from pecl.training.schedule import Schedule
from pecl.training.slot_run import Rows, SlotRun
from pecl.training.trainer import Trainer

SHOTS = 40
# Name -> adapter, slots, pairs per step, whether the anchor is frozen
RUNS = {
    "one run": ("lora", 1, 5, False),
    "fleet of 15": ("lora", 15, 5, False),
    "distillation": (DISTIL_DEFAULTS["adapter"], 1, DISTIL_DEFAULTS["batch_size"], True),
}
# Group -> parts of the names of its operations; the first that fits counts
GROUPS = {
    "calls of autograd": ("autograd::", "Backward0"),
    "products": ("aten::addmm", "aten::mm", "aten::bmm", "aten::baddbmm"),
    "attention": ("scaled_dot_product", "flash_attention", "softmax"),
    "GELU": ("gelu",),
    "LayerNorm": ("layer_norm",),
    "dropout": ("_Drop", "shift", "bitwise", "aten::ge", "aten::lt"),
    "copies": ("copy", "aten::cat", "aten::clone", "aten::contiguous", "index", "aten::to", "aten::fill_"),
    "views and new tensors": ("view", "empty", "aten::slice", "aten::transpose", "aten::t", "strided", "expand"),
}


def group_of(operation: str) -> str:
    """Return the group of an operation of torch."""
    for group, parts in GROUPS.items():
        if any(part in operation for part in parts):
            return group
    return "other operations"


def make_trainer(spec: str, slots: int, pairs: int, is_frozen: bool) -> Trainer:
    """Return a trainer on captions of drawn scenes, one run per slot."""
    tower = load_text_encoder("mini")
    data = load_scenes("de", size=SHOTS)
    queries = tower.tokenize(data.target)
    anchors = tower.tokenize(data.english)
    images = torch.randn(SHOTS, tower.embedding_dim, generator=torch.Generator().manual_seed(0))
    anchor = tower.encode_token_ids(anchors) if is_frozen else anchors
    objective = Objective(alignment_weight=1.0, image_weight=0.0) if is_frozen else Objective()
    rows = Rows.of_route(queries, anchor, images)
    runs = [SlotRun(rows, RouteLoss(objective), 1e-4, seed=slot, slot=slot) for slot in range(slots)]
    adapter = attach(tower, parse_adapter(spec), seeds=range(slots))
    schedule = Schedule(10, pairs, 1000, dropout=not is_frozen)

    return Trainer(adapter, runs, schedule, lambda chosen: [0.0] * len(chosen))


def shares(trainer: Trainer, steps: int) -> tuple[float, dict[str, float]]:
    """Return the CPU seconds of a step, and the share of each group in it."""
    trainer.train_step()
    started = time.process_time()
    for _ in range(steps):
        trainer.train_step()

    took = time.process_time() - started

    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        for _ in range(steps):
            trainer.train_step()

    seconds_of: dict[str, float] = defaultdict(float)
    for event in profiled.key_averages():
        seconds_of[group_of(event.key)] += event.self_cpu_time_total
    return took / steps, {group: value / sum(seconds_of.values()) for group, value in seconds_of.items()}


def main() -> None:
    """Profile the named runs, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="*", help=f"some of {', '.join(RUNS)} (default: all)")
    parser.add_argument("--steps", type=int, default=4, help="steps of each (default: 4)")
    parsed = parser.parse_args()
    torch.set_num_threads(1)

    for name in parsed.runs or RUNS:
        took, shares_of = shares(make_trainer(*RUNS[name]), parsed.steps)
        print(f"{name}: {took:.3f} CPU seconds per step")
        for group in (*GROUPS, "other operations"):
            print(f"  {group:32} {shares_of.get(group, 0.0):6.1%}", flush=True)


if __name__ == "__main__":
    main()
