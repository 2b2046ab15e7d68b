"""`SlotTask`: the pairs and objective of one slot. `derived_seed`: the seeds of random draws."""

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
    """Captioned images that train next to text without images: each step takes a batch of both.

    Attributes:
        captions: token ids of the m captions.
        images: (m, D) embeddings of their images.
    """

    captions: TokenIds
    images: torch.Tensor | Embeddings

    def batch(self, step: int, size: int, seed: int) -> list[int]:
        """Return the indices of at most `size` pairs for `step`; each epoch visits every pair once, in a new order."""
        size = min(size, len(self.captions))
        epoch, place = divmod(step, len(self.captions) // size)
        order = torch.randperm(
            len(self.captions), generator=torch.Generator().manual_seed(derived_seed(seed, "photographs", epoch))
        )
        return order[place * size : (place + 1) * size].tolist()


@dataclass(frozen=True)
class SlotTask:
    """The n training pairs of a slot, in memory or in files (`TokenStore`, `Embeddings`).

    Attributes:
        query: token ids of the n queries.
        anchor: token ids of the n anchors (a student anchor: gradients flow through it), their embeddings (n, D)
            (a frozen anchor), or None.
        images: (n, D) image embeddings, or None in training on text.
        objective: the loss.
        lr: peak learning rate (after warm-up).
        seed: of the order of the pairs, and of dropout (tasks of one slot use the first one's).
        photographs: captioned images for the image-text loss, or None.
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
        """The text columns that a step encodes: queries, and anchors that are texts."""
        anchor = self.anchor
        return [self.query] if anchor is None or isinstance(anchor, torch.Tensor | Embeddings) else [self.query, anchor]
