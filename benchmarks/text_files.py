"""Time and memory of reading training text by number of pairs: `python benchmarks/text_files.py [--json]`.

Generated sentences in two aligned files pass through the stages of `pecl distil --text`: they are
read, cleaned, compared with a test part, held out in part, and tokenised. The mini tower then
trains on them with LoRA, 64 pairs per step. Each number of pairs has its own process. It reports
per stage the CPU seconds on one thread and the peak of anonymous memory (RssAnon: memory that the
system cannot drop, unlike pages of files).
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

BATCH = 64


def anonymous_mib() -> float:
    """Return the anonymous memory of this process, in MiB."""
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("RssAnon:")) / 2**10


class Peak:
    """Peak of this process's anonymous memory since the last read, in MiB; a thread samples every 20 ms."""

    def __init__(self) -> None:
        self._most = 0.0
        threading.Thread(target=self._look, daemon=True).start()

    def _look(self) -> None:
        while True:
            self._most = max(self._most, anonymous_mib())
            time.sleep(0.02)

    def take(self) -> float:
        """Return the peak and reset it."""
        most = max(self._most, anonymous_mib())
        self._most = 0.0
        return most


def write_sentences(folder: Path, pairs: int) -> str:
    """Write pairs of sentences with four to twelve words into two aligned files; return them as a source."""
    begins = ("ba", "ke", "li", "mo", "su")
    ends = ("an", "el", "is", "or")
    words = [f"{begin}{middle}{end}" for begin in begins for middle in "dfgkmnprst" for end in ends]

    for code, step in (("en", 7), ("de", 11)):
        with open(folder / f"made.{code}", "w", encoding="utf-8") as file:
            for i in range(pairs):
                chosen = (words[(i * step + position * (i % 13 + 1)) % len(words)] for position in range(4 + i % 9))
                file.write(f"{code} {i} {' '.join(chosen)}\n")

    return f"{folder}/made.en={folder}/made.de"


def measure(folder: Path, pairs: int, steps: int) -> dict[str, float]:
    """Train on pairs in text files; return the time and memory of each stage."""
    import torch

    torch.set_num_threads(1)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    import pecl
    from pecl.config import ExperimentConfig
    from pecl.encoders.large import tokens_of
    from pecl.experiment.training_text import hold_out, load_text, without_overlap
    from pecl.training.losses import Objective, RouteLoss
    from pecl.training.slot_run import Rows, SlotRun
    from pecl.training.trainer import Schedule, Trainer

    source = write_sentences(folder, pairs)
    os.environ["PECL_CACHE_DIR"] = str(folder / "cache")
    config = ExperimentConfig(language="de", text=source, clean=True)
    peak = Peak()
    figures = {"anonymous_mib_before": anonymous_mib()}
    started = time.process_time()

    def stage(name: str) -> None:
        nonlocal started
        figures.update({f"{name}_s": time.process_time() - started, f"{name}_anonymous_mib": peak.take()})
        started = time.process_time()

    text, _ = load_text(config, {})
    stage("read")
    text = without_overlap(text, text.select(range(1000)), "drop")
    stage("overlap")
    parts = hold_out(text, None, None)
    stage("hold_out")
    tower = pecl.load_text_encoder("mini")
    stage("load_tower")
    query = tokens_of(tower, parts.train.target)
    anchor = tokens_of(tower, parts.train.english or ())
    stage("tokenise")
    torch.manual_seed(0)
    adapter = pecl.attach(tower, pecl.parse_adapter("lora"), seeds=[1])
    run = SlotRun(Rows.of_route(query, anchor), RouteLoss(Objective(image_weight=0.0)), 1e-4, 1)
    trainer = Trainer(adapter, [run], Schedule(1, BATCH, pairs), lambda slots: [0.0])
    for _ in range(steps):
        trainer.train_step()

    stage("train")
    return figures


def in_own_process(measure: Callable[..., dict[str, float]], *values: object) -> dict[str, float]:
    """Call `measure` with an empty folder and `values` in a fresh process."""
    with (
        tempfile.TemporaryDirectory() as folder,
        ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool,
    ):
        return pool.submit(measure, Path(folder), *values).result()


def main() -> None:
    """Print the figures per number of pairs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", default="10000,1000000")
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--json", action="store_true")

    parsed = parser.parse_args()
    figures = {}
    for pairs in map(int, parsed.pairs.split(",")):
        figures[pairs] = in_own_process(measure, pairs, parsed.steps)
        if not parsed.json:
            print(f"{pairs:>12,} pairs  " + "  ".join(f"{name} {value:,.2f}" for name, value in figures[pairs].items()))

    if parsed.json:
        print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
