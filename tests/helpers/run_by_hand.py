"""A training written out a second time, as plainly as it can be, so that a result can be held against it.

It reads the table of captions itself, has its own table of routes, embeds texts in padded batches without packing, and
takes its steps with `torch.optim.Adam`. It shares the towers and the initial values of the adapter with the library.
Every step takes all training pairs, so their order does not matter; dropout is off.
"""

import csv
import math
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch.nn import functional as F

from helpers.small_experiment import tiny_towers
from pecl.adapters.adapter import attach
from pecl.adapters.kinds.layer_norm import LayerNormConfig
from pecl.adapters.kinds.lora import LoraConfig

# route -> column of the query, of the anchor, and of the query in the released pairing; {} is the language
COLUMNS = {
    "baseline1": ("{}", None, "{}_to_en"),
    "baseline2": ("{}_to_en", None, "{}"),
    "method1": ("{}", "en", "{}_to_en"),
    "method2": ("{}", "en_to_{}", None),
    "method3": ("{}_to_en", "en", "{}"),
}
PARTS = ("val", "test")


@dataclass
class ByHand:
    """What a run should report of one language; ranks are {direction: rank of each query}."""

    losses: list[tuple[int, float]]
    scores: list[tuple[int, float]]
    best_step: int
    ranks: dict[str, dict[str, dict[str, list[int]]]]  # part -> zero_shot, final or best -> direction
    best: dict[str, torch.Tensor]  # parameters of the adapter

    def check(self, result):
        """Assert that `result` reports this: every point of the curve, every recall and every rank."""
        curve = result.curve
        assert [step for step, _ in curve.loss] == [step for step, _ in self.losses]
        for (_, found), (_, expected) in zip(curve.loss, self.losses, strict=True):
            assert math.isclose(found, expected, rel_tol=2e-4), (curve.loss, self.losses)
        for (step, found), (expected_step, expected) in zip(curve.val_mean_recall_at_1, self.scores, strict=True):
            assert (step, round(found, 6)) == (expected_step, round(expected, 6))
        assert result.best_step == self.best_step
        assert recorded_ranks(result) == self.ranks["test"]
        for part in PARTS:
            assert set(result.metrics[part]) == {"zero_shot", "final", "best"}
            for moment, ranks in self.ranks[part].items():
                found = result.measured(part, moment)
                assert math.isclose(found.mean_recall_at_1, mean_recall(ranks, [1]), abs_tol=1e-6), (part, moment)
                assert math.isclose(found.mean_recall, mean_recall(ranks, [1, 5, 10]), abs_tol=1e-6), (part, moment)


def recorded_ranks(result):
    """Return the ranks of the test part of a result, in the form of `ByHand.ranks`."""
    directions = result.all_ranks["test"][result.stages[-1]]
    return {
        stage: {direction: list(result.ranks(direction, stage=stage)) for direction in directions}
        for stage in result.stages
    }


def mean_recall(ranks, counts):
    """Return the mean over directions and `counts` of the share of queries whose rank is within the count."""
    shares = [sum(rank <= k for rank in row) / len(row) for row in ranks.values() for k in counts]
    return sum(shares) / len(shares)


def ranks_of(texts, gallery, names=("image_to_text", "text_to_image")):
    """Return the rank of every item's own counterpart in both directions, of embeddings (N, D) in the same order."""
    cosines = (F.normalize(texts, dim=1) @ F.normalize(gallery, dim=1).T).tolist()
    columns = [list(column) for column in zip(*cosines, strict=True)]
    return {
        name: [sum(value >= row[i] for value in row) for i, row in enumerate(rows)]
        for name, rows in zip(names, (columns, cosines), strict=True)
    }


def embed(tower, texts):
    """Return the embeddings (N, D) of `texts` by slot 0, with gradients."""
    batch = tower.pad(tower.tokenize(texts), range(len(texts)))
    return tower(batch.input_ids, batch.attention_mask)


def contrastive(a, b):
    """Return the symmetric cross-entropy of cosines times 100."""
    logits = 100 * F.normalize(a, dim=1) @ F.normalize(b, dim=1).T
    own = logits.diagonal()
    return ((logits.logsumexp(1) - own).mean() + (logits.logsumexp(0) - own).mean()) / 2


def _parts(rows, shots, seed):
    if "part" in rows[0]:
        return {part: [i for i, row in enumerate(rows) if row["part"] == part] for part in ("train", *PARTS)}
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed)).tolist()
    return {"train": order[:shots], "val": order[shots : 2 * shots], "test": order[2 * shots :]}


class _Language:
    """Columns, galleries and frozen anchors of one language of a run."""

    def __init__(self, values, language, towers, text):
        query, anchor, released = (name and name.format(language) for name in COLUMNS[values.get("route", "method1")])
        with open(values["dataset"], newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        parts = _parts(rows, values["shots"], values.get("split_seed", 42))
        tested = released if values.get("test_query") == "official-run-cross" else query
        self.queries = {"val": [rows[i][query] for i in parts["val"]], "test": [rows[i][tested] for i in parts["test"]]}
        learned = text or {column: [rows[i][column] for i in parts["train"]] for column in rows[0]}
        self.query, self.anchor = learned[query], learned[anchor] if anchor else None
        folder = Path(values["dataset"]).parent
        embeddings = towers.image.encode_image(
            (Image.open(folder / row["image"]).convert("RGB") for row in rows), normalize=False
        )
        self.images = embeddings[parts["train"]]
        self.names, self.galleries = (
            ("image_to_text", "text_to_image"),
            {part: embeddings[parts[part]] for part in PARTS},
        )
        if values.get("gallery") == "english":
            self.names = ("english_to_text", "text_to_english")
            self.galleries = {part: embed(towers.text, [rows[i]["en"] for i in parts[part]]) for part in PARTS}
        self.frozen = None
        if self.anchor and values.get("anchor") == "frozen":
            self.frozen = embed(towers.text, self.anchor)

    def loss(self, tower, values):
        query = embed(tower, self.query)
        loss = values["image_weight"] * contrastive(self.images, query) if values["image_weight"] else 0.0
        if self.anchor is None:
            return loss
        anchor = embed(tower, self.anchor) if self.frozen is None else self.frozen
        alignment = values.get("alignment", "mse")
        aligned = {"mse": lambda: ((query - anchor) ** 2).mean(), "contrastive": lambda: contrastive(query, anchor)}
        return loss + values["alignment_weight"] * aligned[alignment]()

    def ranks(self, tower, part):
        return ranks_of(embed(tower, self.queries[part]), self.galleries[part], self.names)


def run_by_hand(values, languages=None, text=None):
    """Return a `ByHand` for each language of a training with the config `values`.

    Args:
        values: of the config, as the fixture `small` gives them; dropout is off and each step takes all pairs.
        languages: codes that learn one adapter together; by default the one of `values`.
        text: columns that are trained on in place of the training pairs, by their name in the table.
    """
    assert values["dropout"] is False
    languages = languages or [values["language"]]
    towers = tiny_towers()
    tower = towers.text
    tower.packing = False
    with torch.no_grad():
        learners = [_Language(values, code, towers, text) for code in languages]
        ranks = [{part: {"zero_shot": one.ranks(tower, part)} for part in PARTS} for one in learners]
    adapter = attach(tower, [LoraConfig(r=values["rank"]), LayerNormConfig()], seeds=[values.get("seed", 1)])
    optimizer = torch.optim.Adam(adapter.parameters(), lr=values["lr"])
    steps = values["epochs"]
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=steps)
    best, best_score, best_step, losses, scores, recent = {}, -1.0, 0, [], [], []
    for step in range(1, steps + 1):
        loss = sum(one.loss(tower, values) for one in learners)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        cosine.step()
        recent.append(loss.item())
        if step % values["eval_every"] and step != steps:
            continue
        with torch.no_grad():
            validated = [mean_recall(one.ranks(tower, "val"), [1]) for one in learners]
        score = sum(validated) / len(validated)
        losses.append((step, sum(recent) / len(recent)))
        scores.append((step, score))
        recent = []
        if score >= best_score:
            best, best_score, best_step = adapter.slot_state(0), score, step
    _measure(learners, tower, ranks, "final")
    adapter.load_slot_state(0, best)
    _measure(learners, tower, ranks, "best")
    return [ByHand(losses, scores, best_step, of_language, best) for of_language in ranks]


@torch.no_grad()
def _measure(learners, tower, ranks, moment):
    for one, of_language in zip(learners, ranks, strict=True):
        for part in PARTS:
            of_language[part][moment] = one.ranks(tower, part)
