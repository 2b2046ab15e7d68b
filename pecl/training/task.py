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
class ImageTask:
    """Pairs with a photograph beside text that has none: each step learns from a batch of either.

    Attributes:
        captions: token ids of the m captions.
        images: (m, D) embeddings of their images.
    """

    captions: TokenIds
    images: torch.Tensor | Embeddings

    def batch(self, step: int, size: int, seed: int) -> list[int]:
        """Return the pairs of `step`, `size` or all of them: every pair once in an order of its own, and so again."""
        size = min(size, len(self.captions))
        epoch, place = divmod(step, len(self.captions) // size)
        order = torch.randperm(
            len(self.captions), generator=torch.Generator().manual_seed(derived_seed(seed, "photographs", epoch))
        )
        return order[place * size : (place + 1) * size].tolist()


@dataclass(frozen=True)
class SlotTask:
    """What a slot learns from n pairs, which lie in memory or, as a `TokenStore` and `Embeddings`, in files.

    Attributes:
        query: token ids of the n queries.
        anchor: token ids of the n anchors (a student anchor: gradients flow through it), their embeddings (n, D)
            (a frozen anchor), or None.
        images: (n, D) image embeddings, or None in training on text.
        objective: the loss.
        lr: peak learning rate (after warm-up).
        seed: of the order of the pairs, and of dropout (tasks of one slot use the first one's).
        photographs: further pairs, which the image-text loss is of; None without.
    """

    query: TokenIds
    anchor: TokenIds | torch.Tensor | Embeddings | None
    images: torch.Tensor | Embeddings | None
    objective: AlignmentObjective
    lr: float
    seed: int
    photographs: ImageTask | None = None

    def __len__(self) -> int:
        return len(self.query)

    @property
    def texts(self) -> list[TokenIds]:
        """The columns that a step takes through the tower: the queries, and anchors that are texts."""
        anchor = self.anchor
        return [self.query] if anchor is None or isinstance(anchor, torch.Tensor | Embeddings) else [self.query, anchor]
