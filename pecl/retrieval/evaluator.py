"""`RetrievalEvaluator`: recall of texts against a fixed gallery, in both directions.

The primary metric, `METRIC`, is the paper's. The gallery is images, or English captions if the images of a data set are
missing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from pecl.retrieval.measures import DIRECTIONS, METRIC, RECALL_AT
from pecl.retrieval.ranks import RetrievalMetrics, best_ranks, compare, correct_ranks, cosine_blocks, metrics

NEAREST = 5  # gallery items that an evaluation records for each text


@dataclass(frozen=True)
class Evaluation:
    """One evaluation, with metrics and ranks by the name of the direction."""

    metrics: dict[str, RetrievalMetrics]
    ranks: dict[str, list[int]]  # for each query the rank of its best correct item
    nearest: list[list[int]]  # for each text the indices of the `NEAREST` most similar gallery items, nearest first

    @property
    def mean_recall_at_1(self) -> float:
        """Mean over both directions of recall@1."""
        return sum(direction.recall[1] for direction in self.metrics.values()) / len(self.metrics)

    @property
    def mean_recall(self) -> float:
        """Mean over both directions of recall@1, 5 and 10."""
        values = [direction.recall[k] for direction in self.metrics.values() for k in RECALL_AT]
        return sum(values) / len(values)

    def subset(self, queries: Mapping[str, Sequence[int]]) -> dict[str, float]:
        """Return recall@1 of some queries (indices by direction) against the whole gallery, and the mean.

        Raises:
            ValueError: a direction has no query.
        """
        recalls = {}
        for name, chosen in queries.items():
            if not len(chosen):
                raise ValueError(f"{name}: expected at least one query, got none")
            recalls[f"{name} recall@1"] = sum(self.ranks[name][i] == 1 for i in chosen) / len(chosen)

        return {**recalls, METRIC: sum(recalls.values()) / len(recalls)}


class RetrievalEvaluator:
    """Evaluates texts against a gallery that never changes.

    Memory grows with Q + G, not with Q x G: see `pecl.retrieval.ranks`.

    Args:
        gallery: (G, D) embeddings of the gallery.
        query_item: for each text the index of its gallery item; several texts may share one, and each item needs one.
        kind: `images` or `english`; names the directions.
        corrections: (G,) numbers that are subtracted from all similarities to a gallery item, see
            `pecl.retrieval.hubs`. They change only the direction from texts to the gallery.

    Raises:
        ValueError: another kind is named, or the gallery is empty.
    """

    def __init__(
        self,
        gallery: torch.Tensor,
        query_item: Sequence[int],
        kind: str = "images",
        corrections: torch.Tensor | None = None,
    ) -> None:
        if kind not in DIRECTIONS:
            raise ValueError(f"kind: expected one of {', '.join(DIRECTIONS)}, got {kind!r}")
        if not len(gallery):
            raise ValueError("gallery: expected at least one item, got none")

        self.gallery = gallery
        self.kind = kind
        self._corrections = corrections
        self._item = torch.tensor(query_item)  # (Q,)

    def __call__(self, texts: torch.Tensor) -> Evaluation:
        """Return the evaluation of text embeddings (Q, D), in the order of `query_item`.

        Raises:
            ValueError: there are not as many embeddings as texts, a text or a gallery item has no counterpart, or an
                embedding holds a value that is not a number.
        """
        self._check(texts)
        device = self.gallery.device
        blocks = cosine_blocks(texts.detach().to(device), self.gallery, corrections=self._corrections)
        comparison = compare(blocks, self._item.to(device), NEAREST)

        gallery_first, texts_first = DIRECTIONS[self.kind]
        text = torch.arange(len(texts))
        directions = {  # name -> ranks of the pairs, query of each pair, number of ranked items
            gallery_first: (correct_ranks(comparison.ahead_of_text, self._item), self._item, len(texts)),
            texts_first: (comparison.ahead_of_item + 1, text, len(self.gallery)),
        }
        return Evaluation(
            metrics={name: metrics(*direction) for name, direction in directions.items()},
            ranks={name: best_ranks(ranks, query).tolist() for name, (ranks, query, _) in directions.items()},
            nearest=comparison.nearest.tolist(),
        )

    def _check(self, texts: torch.Tensor) -> None:
        if len(texts) != len(self._item):
            raise ValueError(f"expected an embedding of each of {len(self._item)} texts, got {len(texts)}")
        outside = (self._item < 0) | (self._item >= len(self.gallery))
        if bool(outside.any()):
            raise ValueError(f"text {int(outside.nonzero()[0])} has no correct item in the gallery")
        without = self._item.bincount(minlength=len(self.gallery)) == 0
        if bool(without.any()):
            raise ValueError(f"gallery item {int(without.nonzero()[0])} has no correct text")
