"""One run of a grid, trained the released way and pecl's way in one process: equal losses, and the ratio of times.

    python benchmarks/one_run.py                                          drawn scenes
    python benchmarks/one_run.py --dataset multi30k-1k --language cs      photographs (PECL_DATA_DIR)
    python benchmarks/one_run.py --epochs 5                               a quick look

The released way loads and encodes the images of a batch in every step, those of the validation pairs in every
validation and those of the test pairs in both tests, of the final and of the best weights, even where these are the
same; it tokenises in every pass, pads every batch to its longest text and encodes queries and anchors in two passes.
It is written as plain code has it: a step's images are one batch, and evaluations take batches of 50. On the CPU such
batches are slower than pecl's own of 4 (docs/notes.md); with `--batch 4` the released way gets those too. pecl's way
embeds each image once, for all the runs of a grid: that time is given apart (`images once`), and the ratio both with
it (a first run) and without (every later one). Dropout is off in both, since one pass and two draw different masks.

The two take turns, step by step and test by test, each with a text tower of its own: whatever slows the machine down
for a while slows both. While the released way works, the allocator is as it is by default: pecl's own setting of it
(pecl/encoders/memory.py) is part of pecl's way. `--precision bf16` is pecl's alone; losses are then those of fp32 to
bf16's digits.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Callable, Sequence

import torch
from allocator import default_allocator
from figures import Figure, now
from tqdm import tqdm

from pecl.adapters.adapter import attach
from pecl.adapters.spec import parse_adapter
from pecl.config import ExperimentConfig, make_config
from pecl.data.captions import ParallelCaptions
from pecl.encoders.towers import load_towers
from pecl.experiment.prepared import Prepared, prepare_training
from pecl.machine import BF16, FP32
from pecl.retrieval.evaluator import RetrievalEvaluator
from pecl.training.losses import AlignmentObjective
from pecl.training.trainer import AlignmentTrainer, Schedule, SlotTask


class Way:
    """A way to train a run: what it measures, and the seconds that it takes by part of the work."""

    tests_the_same_twice: bool

    def __init__(self, prepared: Prepared) -> None:
        self.prepared, self.config = prepared, prepared.config
        self.seconds = {"train": 0.0, "test": 0.0}
        self.losses: list[float] = []
        self.recalls: list[float] = []  # of every validation, then of the two tests
        self.best_step = 0
        config = self.config
        self.objective = AlignmentObjective(config.alignments, config.alignment_weight, config.image_weight)

    def step(self) -> float:
        """Take one step and return its loss."""
        raise NotImplementedError

    def recall(self, part: str) -> float:
        """Return recall@1, mean of both directions, of `val` or `test`."""
        raise NotImplementedError

    def train(self, step: int, total: int) -> None:
        """Take a step, counted from 1, and validate when it is time."""
        self.losses.append(self.timed("train", self.step))
        if step % self.config.eval_every == 0 or step == total:
            self.recalls.append(self.timed("train", lambda: self.recall("val")))
            if self.recalls[-1] == max(self.recalls):  # ties go to the later one
                self.best_step, self.best = step, self.adapter.slot_state(0)

    def test_final(self) -> None:
        """Test the final weights."""
        self.recalls.append(self.timed("test", lambda: self.recall("test")))

    def test_best(self, total: int) -> None:
        """Test the best weights."""
        if self.best_step == total and not self.tests_the_same_twice:
            self.recalls.append(self.recalls[-1])
        else:
            self.adapter.load_slot_state(0, self.best)
            self.test_final()

    def timed(self, name: str, work: Callable) -> object:
        """Do `work` and add its time to `seconds[name]`."""
        start = now()
        result = work()
        self.seconds[name] = self.seconds.get(name, 0.0) + now() - start
        return result


class PeclsWay(Way):
    """pecl's trainer: image embeddings at hand, texts tokenised once, one packed pass a step."""

    tests_the_same_twice = False  # as in experiment.py

    def __init__(self, prepared: Prepared) -> None:
        super().__init__(prepared)
        config, tower = self.config, prepared.towers.text
        self.evaluators = self.timed(
            "images once", lambda: {part: prepared.evaluator(part) for part in ("val", "test")}
        )
        columns = [
            tower.tokenize(getattr(prepared.train, column)) for column in (prepared.route.query, prepared.route.anchor)
        ]
        learned = SlotTask(*columns, prepared.train_images, self.objective, config.lr, config.seed)
        self.tokens = {part: prepared.tokens(part) for part in self.evaluators}
        self.adapter = attach(tower, parse_adapter(config.adapter, config.rank))
        schedule = Schedule(config.epochs, config.batch_size, config.eval_every, dropout=False)
        self.trainer = AlignmentTrainer(tower, self.adapter, [learned], schedule, lambda slots: [self.recall("val")])

    def step(self) -> float:
        return self.trainer.train_step().item()

    def recall(self, part: str) -> float:
        return self.evaluators[part](self.adapter.tower.encode_token_ids(self.tokens[part])).mean_recall_at_1


class ReleasedWay(Way):
    """The released procedure, written plainly: nothing is kept from one step to the next."""

    tests_the_same_twice = True

    def __init__(self, prepared: Prepared, orders: Sequence[list[int]], batch: int) -> None:
        super().__init__(prepared)
        self.orders, self.batch, self.data = iter(orders), batch, prepared.train
        self.parts = {part: prepared.data.select(prepared.parts[part]) for part in ("val", "test")}
        self.tower = prepared.towers.text
        self.tower.packing = False
        self.adapter = attach(self.tower, parse_adapter(self.config.adapter, self.config.rank))
        self.optimizer = torch.optim.Adam(self.adapter.parameters(), lr=self.config.lr)
        self.schedule = torch.optim.lr_scheduler.CosineAnnealingLR(self.optimizer, T_max=len(orders))

    def step(self) -> float:
        chosen = next(self.orders)
        columns = (getattr(self.data, self.prepared.route.query), getattr(self.data, self.prepared.route.anchor))
        images = self.images(self.data, chosen, len(chosen))
        query, anchor = (self.texts([column[i] for i in chosen]) for column in columns)
        loss = self.objective(query, anchor, images.to(self.tower.device))
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.schedule.step()
        return loss.item()

    def recall(self, part: str) -> float:
        data = self.parts[part]
        images = self.images(data, range(len(data.images)), self.batch)
        column = getattr(data, self.prepared.query(part))
        with torch.inference_mode():
            batches = (column[i : i + self.batch] for i in range(0, len(column), self.batch))
            texts = torch.cat([self.texts(batch) for batch in batches])  # (N, D)
        return RetrievalEvaluator(images, data.image_index)(texts).mean_recall_at_1

    def timed(self, name: str, work: Callable) -> object:
        """Do `work`, with the allocator as it is by default, and add its time."""
        with default_allocator():
            return super().timed(name, work)

    def texts(self, texts: Sequence[str]) -> torch.Tensor:
        """Return the embeddings (b, D) of one batch."""
        tokens = self.tower.tokenize(texts)
        batch = self.tower.pad(tokens, range(len(tokens)))
        return self.tower(batch.input_ids, batch.attention_mask)

    def images(self, data: ParallelCaptions, chosen: Sequence[int], batch: int) -> torch.Tensor:
        """Return the embeddings (n, D) of images, loaded and encoded anew."""
        return self.prepared.towers.image.encode_image((data.images.load(i) for i in chosen), batch, normalize=False)


def compare(config: ExperimentConfig, batch: int) -> dict[str, object]:
    """Train one run both ways, by turns, and return times, ratios and the largest difference of the losses."""
    towers = [load_towers(config.profile, device=config.device, precision=name) for name in (config.precision, FP32)]
    pecl = PeclsWay(prepare_training(config, towers[0]))
    total = pecl.trainer.total_steps
    orders = [pecl.trainer.batch_indices(step)[0] for step in range(total)]
    released = ReleasedWay(prepare_training(config, towers[1]), orders, batch)
    ways = (pecl, released)
    for step in tqdm(range(1, total + 1), desc="both ways", unit="step", leave=False):
        for way in ways:
            way.train(step, total)
    for way in ways:
        way.test_final()
    for way in ways:
        way.test_best(total)
    ours, theirs = (way.seconds["train"] + way.seconds["test"] for way in ways)
    return {
        "dataset": config.dataset,
        "language": config.language,
        "steps": total,
        "best step": pecl.best_step,
        "largest difference of losses": largest_difference(pecl.losses, released.losses),
        "largest difference of recalls": largest_difference(pecl.recalls, released.recalls),
        "seconds": {"pecl": pecl.seconds, "released": released.seconds},
        "ratio, first run of a grid": theirs / (ours + pecl.seconds["images once"]),
        "ratio, every later run": theirs / ours,
    }


def compare_anew(config: ExperimentConfig, batch: int) -> dict[str, object]:
    """Return `compare` with an empty cache: what another run has kept would make the first run free."""
    before = os.environ.get("PECL_CACHE_DIR")
    with tempfile.TemporaryDirectory() as cache:
        os.environ["PECL_CACHE_DIR"] = cache
        try:
            return compare(config, batch)
        finally:
            if before is None:
                del os.environ["PECL_CACHE_DIR"]
            else:
                os.environ["PECL_CACHE_DIR"] = before


def largest_difference(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Return the largest absolute difference of two equally long sequences."""
    return max(abs(a - b) for a, b in zip(ours, theirs, strict=True))


def measure(small: bool, device: str) -> list[Figure]:
    """Return how many times as fast as the released way a later run of a grid is, in fp32 and in bf16; not if small."""
    figures: list[Figure] = []
    if small:
        return figures
    for precision in (FP32, BF16):
        values = {"epochs": 10, "precision": precision, "dropout": False, "device": device}
        found = compare_anew(make_config(values), batch=50)
        ratio = found["ratio, every later run"]
        name = f"one run of a grid in {precision} ({found['steps']} steps) against the released way"
        figures.append(Figure(name, ratio, wanted=">= 8", details=found))
    return figures


def main() -> None:
    """Compare and print; `--json` prints one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default="scenes")
    parser.add_argument("--language", default="de")
    parser.add_argument("--epochs", default=50)
    parser.add_argument("--precision", default="fp32", help="pecl's (default: fp32); the released way's is fp32")
    parser.add_argument("--batch", default=50, type=int, help="of the released way's evaluations (default: 50)")
    parser.add_argument("--json", action="store_true")
    parsed = parser.parse_args()
    values = {name: getattr(parsed, name) for name in ("dataset", "language", "epochs", "precision")}
    found = compare_anew(make_config({**values, "dropout": False}), parsed.batch)
    if parsed.json:
        print(json.dumps(found, indent=2))
        return
    for name, value in found.items():
        print(f"{name:30} {value:.2f}" if name.startswith("ratio") else f"{name:30} {value}")


if __name__ == "__main__":
    main()
