"""`pecl distil` on the paper's pair at its true size: `python benchmarks/large_distil.py --folder FOLDER [--json]`.

Writes the random pair of `large.py` into FOLDER once (4 GB), a table with a few photographs and one
with pairs of text, both from `scenes`. Then runs `pecl distil --config configs/distil_paper.yaml`
to its end, with adapter file and result, in a separate process with an empty cache. Times are CPU
seconds on one thread (`OMP_NUM_THREADS=1`), otherwise wall-clock seconds:

- loading: both towers; the weights are mapped, so their first use takes longer;
- a photograph, and an English caption by the frozen tower: embedded before the command, which finds them in the cache;
- the command, its peak memory, and the anonymous part of it, which the system cannot drop, unlike pages of files;
- a step of 32 pairs, and a closed form with its features: both repeated after the command.

The last figure is extrapolated from these, not measured: the time of the unchanged config on this
machine, with 757 pairs and 1,000 test captions. Random weights say nothing about recall.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from figures import seconds
from large import write_pair
from text_files import Peak

from pecl.adapters.adapter import attach
from pecl.adapters.spec import parse_adapter
from pecl.cli import build_parser
from pecl.cli import main as pecl_command
from pecl.commands.options import language_values
from pecl.data.scenes import load_scenes
from pecl.errors import not_none
from pecl.experiment.closed_form import HeadSolver
from pecl.experiment.distil import distil_config
from pecl.experiment.dry_run import RunPlan, plan_runs
from pecl.experiment.fleet import Member
from pecl.experiment.frozen import embed_anchors, embed_held_out_anchors, embed_images, freeze_training
from pecl.experiment.inputs import read_training
from pecl.experiment.loading import TrainingDataCache
from pecl.experiment.towers import towers_of
from pecl.machine import process_peak_mb
from pecl.results.result import collect
from pecl.training.losses import Objective, RouteLoss
from pecl.training.schedule import Schedule
from pecl.training.slot_run import Rows, SlotRun
from pecl.training.trainer import Trainer

ROOT = Path(__file__).resolve().parents[1]
# 4 photographs for training, 4 for validation, 10 for the test
PHOTOGRAPHS, SHOTS, HELD_OUT = 18, 4, 8
# The unchanged config: Flickr30k-200's captions, and XTD10's test captions
PAIRS, PASSES, BATCH, EVAL_EVERY, TESTED = 757, 3, 32, 10, 1_000


def write_data(folder: Path, pairs: int) -> list[str]:
    """Write photographs with captions, and `pairs` pairs of text plus the held-out ones; return their flags."""
    data = load_scenes("de", size=PHOTOGRAPHS + 2 * (pairs + HELD_OUT))
    (folder / "photographs").mkdir(exist_ok=True)
    rows = list(zip(data.english or (), data.target, strict=True))
    shown = rows[:PHOTOGRAPHS]
    for i in range(PHOTOGRAPHS):
        not_none(data.images, "images").load(i).save(folder / "photographs" / f"{i}.png")

    other = list({english: (english, target) for english, target in rows if english not in dict(shown)}.values())
    images = [(f"photographs/{i}.png", *row) for i, row in enumerate(shown)]
    for name, head, table in (
        ("photographs.csv", ("image", "en", "de"), images),
        ("text.csv", ("en", "de"), other[: pairs + HELD_OUT]),
    ):
        with open(folder / name, "w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([head, *table])

    return [
        *("--dataset", str(folder / "photographs.csv"), "--gallery", "images", "--shots", str(SHOTS)),
        *("--text", str(folder / "text.csv"), "--held-out", str(HELD_OUT)),
    ]


def command(folder: Path, data: list[str], epochs: int) -> list[str]:
    """Return the arguments of `pecl`."""
    towers = ["--text-model", str(folder / "text"), "--image-model", str(folder / "image")]
    config = ["--config", str(ROOT / "configs" / "distil_paper.yaml"), "--language", "de", "--epochs", str(epochs)]
    return ["distil", *config, *towers, *data, "--out", str(folder / "out")]


def distil(folder: Path, pairs: int, epochs: int) -> dict[str, Any]:
    """Run the command in this process and return its times and memory."""
    shutil.rmtree(folder / "out", ignore_errors=True)
    words = command(folder, write_data(folder, pairs), epochs)
    peak = Peak()
    cache = TrainingDataCache()
    config = distil_config(language_values(build_parser(["distil"]).parse_args(words))[0], cache)
    (planned,), towers = plan_runs([config], cache), towers_of(config)
    loading = seconds(lambda: (towers.text, towers.image))
    inputs = read_training(config, towers, cache)
    image = seconds(lambda: embed_images(inputs)) / PHOTOGRAPHS
    text = seconds(lambda: (embed_anchors(inputs), embed_held_out_anchors(inputs))) / (planned.pairs + planned.held_out)
    whole = seconds(lambda: pecl_command(words))
    (result,) = collect([folder / "out"])
    took = {"loading_s": loading, "image_s": image, "text_s": text, "command_s": whole}
    memory = {"peak_mib": process_peak_mb(), "anonymous_peak_mib": peak.take()}
    took |= pieces(Member(inputs, freeze_training(inputs), 0))

    return {
        "result": str(result.path),
        "adapter_file": str(result.adapter_path),
        "pairs": planned.pairs,
        "held_out": planned.held_out,
        "steps": result.steps,
        "precision": towers.text.precision,
        **took,
        **memory,
        "extrapolated_minutes": extrapolated(planned, took) / 60,
    }


def pieces(member: Member) -> dict[str, float]:
    """Time one step and one closed form."""
    config = member.config
    tower = member.inputs.towers.text
    adapter = attach(tower, parse_adapter(config.adapter), seeds=[config.seed])
    objective = Objective(config.losses, config.alignment_weight, config.image_weight)
    pairs = Rows.of_route(member.inputs.train_tokens, member.frozen.anchors)
    run = SlotRun(pairs, RouteLoss(objective), config.lr, config.seed)
    schedule = Schedule(1, config.batch_size, config.eval_every, config.dropout)
    trainer = Trainer(adapter, [run], schedule, lambda slots: [0.0])
    step = seconds(trainer.train_step)

    return {"step_s": step, "closed_form_s": seconds(HeadSolver(adapter, [member]).solve)}


def extrapolated(done: RunPlan, took: Mapping[str, float]) -> float:
    """Estimate the seconds of the unchanged config: each part's measured time, as often as the config needs it."""
    held_out = PAIRS // 10
    steps = PASSES * math.ceil((PAIRS - held_out) / BATCH)
    frozen = PAIRS + 2 * TESTED  # anchors, and the test captions of both languages
    # tests of the last and best weights, and validations
    encoded = 2 * TESTED + held_out * (3 + steps // EVAL_EVERY)
    solved = 2 * PAIRS * took["closed_form_s"] / (done.pairs + done.held_out)
    return took["loading_s"] + (frozen + encoded) * took["text_s"] + solved + steps * took["step_s"]


def main() -> None:
    """Measure in a separate process and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="folder of the random pair, written if missing")
    parser.add_argument("--pairs", type=int, default=64, help="training pairs (default: 64)")
    parser.add_argument("--epochs", type=int, default=3, help="epochs (default: 3, as in the config)")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    parsed = parser.parse_args()
    if parsed.one:
        print(json.dumps(distil(parsed.folder, parsed.pairs, parsed.epochs)))
        return

    write_pair(parsed.folder)
    cache = parsed.folder / "cache"
    shutil.rmtree(cache, ignore_errors=True)  # frozen embeddings must be computed again
    words = ["--one", "--folder", str(parsed.folder), "--pairs", str(parsed.pairs), "--epochs", str(parsed.epochs)]
    done = subprocess.run(
        [sys.executable, __file__, *words],
        env={**os.environ, "PECL_CACHE_DIR": str(cache)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    result = json.loads(done.stdout.splitlines()[-1])
    if parsed.json:
        print(json.dumps(result, indent=2))
        return

    for name, value in result.items():
        print(f"{name:22} {value:,.2f}" if isinstance(value, float) else f"{name:22} {value}")


if __name__ == "__main__":
    main()
