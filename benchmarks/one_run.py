"""One run of a grid with the released procedure and with pecl, in one process: equal losses, and the ratio of times.

    python benchmarks/one_run.py                                          drawn scenes
    python benchmarks/one_run.py --dataset multi30k-1k --language cs      photographs (PECL_DATA_DIR)
    python benchmarks/one_run.py --epochs 5                               a quick look

The released procedure loads and encodes the images of a batch in every step, those of the
validation pairs in every validation, and those of the test pairs in both tests, of the final and of
the best weights, even if these are equal. It tokenises in every pass, pads every batch to its
longest text, and encodes queries and anchors in two passes. It is plain code: a step's images are
one batch, and evaluations use batches of 50. On the CPU such batches are slower than pecl's batches
of 4 (docs/notes.md); `--batch 4` gives the released procedure the same. pecl embeds each image once
for all runs of a grid. That time is listed separately (`images once`); the ratio is given with it
(first run) and without it (later runs). Dropout is off in both, because one pass and two passes
draw different masks.

The two alternate, step by step and test by test, each with its own text tower, so a slow phase of
the machine slows both. The released procedure runs with glibc's default allocator; pecl's setting
(pecl/encoders/memory.py) is part of pecl. `--precision bf16` applies only to pecl; its losses then
equal those in fp32 up to bf16's digits.
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
from pecl.experiment.frozen import embed_images, make_evaluator
from pecl.experiment.inputs import Inputs, read_training
from pecl.machine import BF16, FP32
from pecl.retrieval.evaluator import RetrievalEvaluator
from pecl.training.losses import Objective, RouteLoss
from pecl.training.schedule import Schedule
from pecl.training.slot_run import Rows, SlotRun
from pecl.training.trainer import Trainer


class Way:
    """A training procedure: its measurements, and its seconds per part of the work."""

    tests_the_same_twice: bool

    def __init__(self, inputs: Inputs) -> None:
        self.inputs, self.config = inputs, inputs.config
        self.seconds = {"train": 0.0, "test": 0.0}
        self.losses: list[float] = []
        self.recalls: list[float] = []  # one per validation, then the two tests
        self.best_step = 0
        config = self.config
        self.objective = Objective(config.losses, config.alignment_weight, config.image_weight)

    def step(self) -> float:
        """Take one step and return its loss."""
        raise NotImplementedError

    def recall(self, part: str) -> float:
        """Return recall@1, mean of both directions, of `val` or `test`."""
        raise NotImplementedError

    def train(self, step: int, total: int) -> None:
        """Take a step, counted from 1, and validate if it is due."""
        self.losses.append(self.timed("train", self.step))
        if step % self.config.eval_every == 0 or step == total:
            self.recalls.append(self.timed("train", lambda: self.recall("val")))
            if self.recalls[-1] == max(self.recalls):  # the later of equal ones counts
                self.best_step = step
                self.best = self.adapter.slot_state(0)

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
    """pecl's trainer: cached image embeddings, texts tokenised once, one packed pass per step."""

    tests_the_same_twice = False  # as in pecl/experiment

    def __init__(self, inputs: Inputs) -> None:
        super().__init__(inputs)
        config = self.config
        tower = inputs.towers.text
        self.evaluators = self.timed(
            "images once", lambda: {part: make_evaluator(inputs, part) for part in ("val", "test")}
        )
        columns = [
            tower.tokenize(getattr(inputs.train, column)) for column in (inputs.route.query, inputs.route.anchor)
        ]
        images = embed_images(inputs)[inputs.images_of(inputs.parts["train"])]
        learned = SlotRun(Rows.of_route(*columns, images), RouteLoss(self.objective), config.lr, config.seed)
        self.tokens = {part: inputs.tokens(part) for part in self.evaluators}
        self.adapter = attach(tower, parse_adapter(config.adapter, config.rank))
        schedule = Schedule(config.epochs, config.batch_size, config.eval_every, dropout=False)
        self.trainer = Trainer(self.adapter, [learned], schedule, lambda slots: [self.recall("val")])

    def step(self) -> float:
        return self.trainer.train_step().item()

    def recall(self, part: str) -> float:
        return self.evaluators[part](self.adapter.tower.encode_token_ids(self.tokens[part])).mean_recall_at_1


class ReleasedWay(Way):
    """The released procedure as plain code: it caches nothing between steps."""

    tests_the_same_twice = True

    def __init__(self, inputs: Inputs, orders: Sequence[list[int]], batch: int) -> None:
        super().__init__(inputs)
        self.orders = iter(orders)
        self.batch = batch
        self.data = inputs.train
        self.parts = {part: inputs.data.select(inputs.parts[part]) for part in ("val", "test")}
        self.tower = inputs.towers.text
        self.tower.packing = False
        self.adapter = attach(self.tower, parse_adapter(self.config.adapter, self.config.rank))
        self.optimizer = torch.optim.Adam(self.adapter.parameters(), lr=self.config.lr)
        self.schedule = torch.optim.lr_scheduler.CosineAnnealingLR(self.optimizer, T_max=len(orders))

    def step(self) -> float:
        chosen = next(self.orders)
        columns = (getattr(self.data, self.inputs.route.query), getattr(self.data, self.inputs.route.anchor))
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
        column = getattr(data, self.inputs.query(part))
        with torch.inference_mode():
            batches = (column[i : i + self.batch] for i in range(0, len(column), self.batch))
            texts = torch.cat([self.texts(batch) for batch in batches])  # (N, D)
        return RetrievalEvaluator(images, data.image_index)(texts).mean_recall_at_1

    def timed(self, name: str, work: Callable) -> object:
        """Do `work` with the default allocator and add its time."""
        with default_allocator():
            return super().timed(name, work)

    def texts(self, texts: Sequence[str]) -> torch.Tensor:
        """Return the embeddings (b, D) of one batch."""
        tokens = self.tower.tokenize(texts)
        batch = self.tower.pad(tokens, range(len(tokens)))
        return self.tower(batch.input_ids, batch.attention_mask)

    def images(self, data: ParallelCaptions, chosen: Sequence[int], batch: int) -> torch.Tensor:
        """Load and encode images again; return (n, D)."""
        return self.inputs.towers.image.encode_image((data.images.load(i) for i in chosen), batch, normalize=False)


def compare(config: ExperimentConfig, batch: int) -> dict[str, object]:
    """Train one run with both procedures in alternation; return times, ratios and the largest difference of losses."""
    towers = [load_towers(config.profile, device=config.device, precision=name) for name in (config.precision, FP32)]
    pecl = PeclsWay(read_training(config, towers[0]))
    total = pecl.trainer.total_steps
    orders = [pecl.trainer.batch(step).runs[0].pairs for step in range(total)]
    released = ReleasedWay(read_training(config, towers[1]), orders, batch)
    ways = (pecl, released)
    for step in tqdm(range(1, total + 1), desc="both procedures", unit="step", leave=False):
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
    """Run `compare` with an empty cache, because cached embeddings would make the first run free."""
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
    """Measure the speed of a later run relative to the released procedure, in fp32 and bf16; no figure if `small`."""
    figures: list[Figure] = []
    if small:
        return figures

    for precision in (FP32, BF16):
        values = {"epochs": 10, "precision": precision, "dropout": False, "device": device}
        result = compare_anew(make_config(values), batch=50)
        ratio = result["ratio, every later run"]
        name = f"one run of a grid in {precision} ({result['steps']} steps) against the released procedure"
        figures.append(Figure(name, ratio, wanted=">= 8", details=result))

    return figures


def main() -> None:
    """Compare and print; `--json` prints one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default="scenes")
    parser.add_argument("--language", default="de")
    parser.add_argument("--epochs", default=50)
    parser.add_argument("--precision", default="fp32", help="of pecl (default: fp32); the released procedure uses fp32")
    parser.add_argument("--batch", default=50, type=int, help="of the released procedure's evaluations (default: 50)")
    parser.add_argument("--json", action="store_true")
    parsed = parser.parse_args()
    values = {name: getattr(parsed, name) for name in ("dataset", "language", "epochs", "precision")}
    result = compare_anew(make_config({**values, "dropout": False}), parsed.batch)
    if parsed.json:
        print(json.dumps(result, indent=2))
        return

    for name, value in result.items():
        print(f"{name:30} {value:.2f}" if name.startswith("ratio") else f"{name:30} {value}")


if __name__ == "__main__":
    main()
