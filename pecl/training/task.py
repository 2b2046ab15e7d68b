"""`SlotTask`: what a slot learns; and the seeds of what is drawn at random on the way."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from pecl.encoders.batches import TokenIds
from pecl.encoders.embeddings import Embeddings
from pecl.files import sha256_bytes
from pecl.training.losses import AlignmentObjective


def derived_seed(seed: int, purpose: str, number: int) -> int:
    """Return a seed for one purpose and one step or epoch, independent of all the others."""
    return int(sha256_bytes(f"{seed}/{purpose}/{number}".encode())[:15], 16)


@dataclass(frozen=True)
class SlotTask:
    """What a slot learns from n pairs, which lie in memory or, as a `TokenStore` and `Embeddings`, in files.

    Attributes:
        query: token ids of the n queries.
        anchor: token ids of the n anchors (a student anchor: gradients flow through it), their embeddings (n, D)
            (a frozen anchor), or None.
        images: (n, D) image embeddings, or None in training on text alone.
        objective: the loss.
        lr: learning rate at the first step.
        seed: of the order of the pairs, and of dropout (tasks of one slot use the first one's).
    """

    query: TokenIds
    anchor: TokenIds | torch.Tensor | Embeddings | None
    images: torch.Tensor | Embeddings | None
    objective: AlignmentObjective
    lr: float
    seed: int

    def __len__(self) -> int:
        return len(self.query)

    @property
    def texts(self) -> list[TokenIds]:
        """The columns that a step takes through the tower: the queries, and anchors that are texts."""
        anchor = self.anchor
        return [self.query] if anchor is None or isinstance(anchor, torch.Tensor | Embeddings) else [self.query, anchor]
