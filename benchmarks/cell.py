"""One cell of a grid, trained the released way and pecl's way in one process: equal losses, and the ratio of times.

    python benchmarks/cell.py                                          drawn scenes
    python benchmarks/cell.py --dataset multi30k-1k --language cs      photographs (PECL_DATA_DIR)
    python benchmarks/cell.py --epochs 5                               a quick look

The released way loads and encodes the images of a batch in every step, those of the validation pairs in every
validation and those of the test pairs in both tests; it tokenises in every pass, pads every batch to its longest text
and encodes queries and anchors in two passes. It is written as plain code has it: a step's images are one batch, and
evaluations take batches of 50. On the CPU such batches are slower than pecl's own of 4 (docs/notes.md); with
`--batch 4` the released way gets those too. pecl's way embeds each image once, for all the cells of a grid: that time
is given apart (`images once`), and the ratio both with it (a first cell) and without (every later one). Dropout is off
in both, since one pass and two draw different masks.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable, Sequence

import torch
from tqdm import tqdm

from pecl.adapters.base import attach
from pecl.adapters.registry import parse_adapter
from pecl.config import ExperimentConfig, make_config
from pecl.data.captions import ParallelCaptions
from pecl.encoders.registry import Towers, load_towers
from pecl.evaluator import RetrievalEvaluator
from pecl.losses import AlignmentObjective
from pecl.prepare import Prepared, prepare_training
from pecl.trainer import AlignmentTrainer, Schedule, TrainingCell


class ReleasedWay:
    """The released procedure, written plainly: nothing is kept from one step to the next."""

    def __init__(self, cell: Prepared, batch: int) -> None:
        self.cell, self.towers, self.batch = cell, cell.towers, batch
        self.towers.text.packing = False
        self.train = cell.train
        self.parts = {part: cell.data.select(cell.parts[part]) for part in ("val", "test")}
        self.adapter = attach(cell.towers.text, parse_adapter(cell.config.adapter, cell.config.rank))
        config = cell.config
        self.objective = AlignmentObjective(config.alignments, config.alignment_weight, config.image_weight)

    def texts(self, texts: Sequence[str]) -> torch.Tensor:
        tokens = self.towers.text.tokenize(texts)
        batch = self.towers.text.pad(tokens, range(len(tokens)))
        return self.towers.text(batch.input_ids, batch.attention_mask)  # (b, D)

    def step(self, optimizer: torch.optim.Optimizer, chosen: list[int]) -> float:
        columns = (getattr(self.train, self.cell.route.query), getattr(self.train, self.cell.route.anchor))
        images = self.images(self.train, chosen, len(chosen))
        query, anchor = (self.texts([column[i] for i in chosen]) for column in columns)
        loss = self.objective(query, anchor, images)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    def recall(self, part: str) -> float:
        data = self.parts[part]
        images = self.images(data, range(len(data.images)), self.batch)
        column = getattr(data, self.cell.query(part))
        with torch.inference_mode():
            batches = (column[i : i + self.batch] for i in range(0, len(column), self.batch))
            texts = torch.cat([self.texts(batch) for batch in batches])  # (N, D)
        return RetrievalEvaluator(images, data.image_index)(texts).mean_recall_at_1

    def images(self, data: ParallelCaptions, chosen: Sequence[int], batch: int) -> torch.Tensor:
        return self.towers.image.encode_image((data.images.load(i) for i in chosen), batch)

    def close(self) -> None:
        self.adapter.remove()
        self.towers.text.packing = True


def released_way(
    cell: Prepared, orders: list[list[int]], batch: int
) -> tuple[list[float], list[float], dict[str, float]]:
    """Return losses, recalls and seconds of a cell trained the released way."""
    run, config, seconds = ReleasedWay(cell, batch), cell.config, {"train": 0.0, "test": 0.0}
    optimizer = torch.optim.Adam(run.adapter.parameters(), lr=config.lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=len(orders))
    losses, recalls = [], []
    start = time.perf_counter()
    for step, chosen in enumerate(tqdm(orders, desc="released way", unit="step", leave=False), 1):
        losses.append(run.step(optimizer, chosen))
        schedule.step()
        if step % config.eval_every == 0 or step == len(orders):
            recalls.append(run.recall("val"))
    seconds["train"] = time.perf_counter() - start
    recalls += [timed(seconds, "test", lambda: run.recall("test")) for _ in ("final", "best")]
    run.close()
    return losses, recalls, seconds


def pecls_way(cell: Prepared) -> tuple[list[float], list[float], dict[str, float], list[list[int]]]:
    """Return losses, recalls, seconds and batches of the same cell trained pecl's way."""
    config, seconds = cell.config, {"images once": 0.0, "train": 0.0, "test": 0.0}
    evaluators = timed(seconds, "images once", lambda: {part: cell.evaluator(part) for part in ("val", "test")})
    tokenize = cell.towers.text.tokenize
    columns = [tokenize(getattr(cell.train, column)) for column in (cell.route.query, cell.route.anchor)]
    objective = AlignmentObjective(config.alignments, config.alignment_weight, config.image_weight)
    learned = TrainingCell(*columns, cell.train_images, objective, config.lr, config.seed)
    tokens = {part: cell.tokens(part) for part in evaluators}
    adapter = attach(cell.towers.text, parse_adapter(config.adapter, config.rank))

    def recall(part: str) -> float:
        return evaluators[part](adapter.tower.encode_token_ids(tokens[part])).mean_recall_at_1

    losses, plain_step = [], AlignmentTrainer.train_step
    schedule = Schedule(config.epochs, config.batch_size, config.eval_every, dropout=False)
    trainer = AlignmentTrainer(adapter.tower, adapter, [learned], schedule, lambda: [recall("val")])
    trainer.train_step = lambda: (losses.append(plain_step(trainer)), losses[-1])[1]
    records = timed(seconds, "train", trainer.run)
    recalls = [score for _, score in records[0].scores]
    recalls += [timed(seconds, "test", lambda: recall("test")) for _ in ("final", "best")]
    orders = [trainer.batch_indices(step)[0] for step in range(trainer.total_steps)]
    adapter.remove()
    return torch.cat(losses).tolist(), recalls, seconds, orders


def timed(seconds: dict[str, float], name: str, work: Callable) -> object:
    """Do `work` and add its time to `seconds[name]`."""
    start = time.perf_counter()
    result = work()
    seconds[name] += time.perf_counter() - start
    return result


def compare(config: ExperimentConfig, towers: Towers, batch: int) -> dict[str, object]:
    """Train one cell both ways and return times, ratios and the largest difference of the losses."""
    cell = prepare_training(config, towers)
    losses, recalls, seconds, orders = pecls_way(cell)
    released_losses, released_recalls, released = released_way(cell, orders, batch)
    ours = seconds["train"] + seconds["test"]
    theirs = released["train"] + released["test"]
    return {
        "dataset": config.dataset,
        "language": config.language,
        "steps": len(orders),
        "largest difference of losses": max(abs(a - b) for a, b in zip(losses, released_losses, strict=True)),
        "largest difference of recalls": max(abs(a - b) for a, b in zip(recalls, released_recalls, strict=True)),
        "seconds": {"pecl": seconds, "released": released},
        "ratio, first cell of a grid": theirs / (ours + seconds["images once"]),
        "ratio, every later cell": theirs / ours,
    }


def main() -> None:
    """Compare and print; `--json` prints one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default="scenes")
    parser.add_argument("--language", default="de")
    parser.add_argument("--epochs", default=50)
    parser.add_argument("--batch", default=50, type=int, help="of the released way's evaluations (default: 50)")
    parser.add_argument("--json", action="store_true")
    parsed = parser.parse_args()
    values = {"dataset": parsed.dataset, "language": parsed.language, "epochs": parsed.epochs, "dropout": False}
    config = make_config(values)
    with tempfile.TemporaryDirectory() as cache:
        os.environ["PECL_CACHE_DIR"] = cache  # an empty cache: what another run has kept would make the first cell free
        found = compare(config, load_towers(config.profile), parsed.batch)
    if parsed.json:
        print(json.dumps(found, indent=2))
        return
    for name, value in found.items():
        print(f"{name:30} {value:.2f}" if name.startswith("ratio") else f"{name:30} {value}")


if __name__ == "__main__":
    main()
