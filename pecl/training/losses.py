"""Losses on tensors: the contrastive loss and the alignments of translation-based alignment (arXiv 2305.03510, sec. 3).

All take embeddings (B, D) that are not normalised, row i of one matching row i of the other, and return a scalar.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn import functional as F


@dataclass(frozen=True)
class ContrastiveLoss:
    """Symmetric in-batch cross-entropy: 1/2 [CE(s a b^T, I) + CE(s b a^T, I)] with L2-normalised a and b.

    Attributes:
        logit_scale: s, the inverse temperature; fixed.
    """

    logit_scale: float = 100.0

    def __call__(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        """Return the loss of two sets of embeddings, each (B, D)."""
        logits = self.logit_scale * F.normalize(a, dim=-1) @ F.normalize(b, dim=-1).T  # (B, B)
        labels = torch.arange(len(logits), device=logits.device)
        return (F.cross_entropy(logits, labels) + F.cross_entropy(logits.T, labels)) / 2


def mse(query: torch.Tensor, anchor: torch.Tensor) -> torch.Tensor:
    """Return the mean over all elements of the squared difference of un-normalised embeddings (B, D)."""
    return F.mse_loss(query, anchor)


def cosine_mse(query: torch.Tensor, anchor: torch.Tensor) -> torch.Tensor:
    """Return the mean over all elements of the squared difference of L2-normalised embeddings (B, D)."""
    return F.mse_loss(F.normalize(query, dim=-1), F.normalize(anchor, dim=-1))


def _given(images: torch.Tensor | None) -> torch.Tensor:
    """Return the images of a loss that cannot do without them."""
    if images is None:
        raise ValueError("images: expected embeddings (B, D) for a loss with images, got None")
    return images


_contrastive = ContrastiveLoss()

# name -> loss(query, anchor, images); images are (B, D), or None in training on text alone
ALIGNMENTS: dict[str, Callable[[torch.Tensor, torch.Tensor, torch.Tensor | None], torch.Tensor]] = {
    "mse": lambda query, anchor, images: mse(query, anchor),
    "contrastive": lambda query, anchor, images: _contrastive(query, anchor),
    "contrastive_with_image": lambda query, anchor, images: _contrastive(_given(images), anchor),
    "cosine_mse": lambda query, anchor, images: cosine_mse(query, anchor),
}


@dataclass(frozen=True)
class AlignmentObjective:
    """total = image_weight * contrastive(image, query) + alignment_weight * sum of alignments(query, anchor).

    Attributes:
        alignments: names from `ALIGNMENTS`; several are added.
        alignment_weight: lambda.
        image_weight: 1 in the paper; 0 trains on text alone.
        logit_scale: inverse temperature of the image-query term.
    """

    alignments: tuple[str, ...] = ("mse",)
    alignment_weight: float = 0.03
    image_weight: float = 1.0
    logit_scale: float = 100.0

    def __call__(self, query: torch.Tensor, anchor: torch.Tensor | None, images: torch.Tensor | None) -> torch.Tensor:
        """Return the loss of a batch.

        Args:
            query: (B, D) embeddings of the queries.
            anchor: (B, D) of the anchors, or None in a route without one.
            images: (B, D) of the images, or None when `image_weight` is 0.
        """
        loss = query.new_zeros(())
        if self.image_weight:
            loss = loss + self.image_weight * ContrastiveLoss(self.logit_scale)(_given(images), query)
        if anchor is not None:
            aligned = sum(ALIGNMENTS[name](query, anchor, images) for name in self.alignments)
            loss = loss + self.alignment_weight * aligned
        return loss
