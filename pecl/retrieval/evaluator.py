"""`RetrievalEvaluator`: recall of texts against a fixed gallery, in both directions.

The primary metric, `METRIC`, is the paper's. The gallery is images, or English captions where a set's images are not
at hand.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from pecl.retrieval.measures import DIRECTIONS, METRIC, RECALL_AT
from pecl.retrieval.ranks import RetrievalMetrics, correct_ranks, correspondence, cosine_similarity, metrics

NEAREST = 5  # gallery items that an evaluation keeps for each text


@dataclass(frozen=True)
class Evaluation:
    """One evaluation.

    Attributes:
        metrics: of both directions, by name.
        ranks: for each query of a direction the rank of its best correct item.
        nearest: for each text the places of the `NEAREST` gallery items most similar to it, nearest first.
    """

    metrics: dict[str, RetrievalMetrics]
    ranks: dict[str, list[int]]
    nearest: list[list[int]]

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
        """Return recall@1 of some of the queries of each direction against the whole gallery, and its mean."""
        recalls = {
            f"{name} recall@1": sum(self.ranks[name][i] == 1 for i in chosen) / len(chosen)
            for name, chosen in queries.items()
        }
        return {**recalls, METRIC: sum(recalls.values()) / len(recalls)}


class RetrievalEvaluator:
    """Evaluates texts against a gallery that never changes.

    Args:
        gallery: (G, D) embeddings of the gallery.
        query_item: for each text the index of its gallery item; several texts may share one.
        kind: `images` or `english`; names the directions.
    """

    primary_metric = METRIC

    def __init__(self, gallery: torch.Tensor, query_item: Sequence[int], kind: str = "images") -> None:
        self.gallery = gallery
        self.kind = kind
        self._texts_to_gallery = correspondence(query_item, range(len(gallery)))  # (Q, G)

    def __call__(self, texts: torch.Tensor) -> Evaluation:
        """Return the evaluation of text embeddings (Q, D), in the order of `query_item`, on the gallery's device."""
        similarity = cosine_similarity(texts.to(self.gallery.device), self.gallery)  # (Q, G)
        gallery_first, texts_first = DIRECTIONS[self.kind]
        directions = {
            gallery_first: (similarity.T.contiguous(), self._texts_to_gallery.T.contiguous()),
            texts_first: (similarity, self._texts_to_gallery),
        }
        return Evaluation(
            metrics={name: metrics(*matrices) for name, matrices in directions.items()},
            ranks={name: correct_ranks(*matrices)[:, 0].tolist() for name, matrices in directions.items()},
            nearest=similarity.sort(dim=1, descending=True, stable=True).indices[:, :NEAREST].tolist(),
        )
