"""From the vectors of a text's tokens to one vector: the poolings by name."""

from collections.abc import Callable

import torch


def mean_pooling(hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Return the mean of `hidden` (B, L, d) over the positions where `mask` (B, L) is 1, summed in float32 or wider."""
    wide = torch.promote_types(hidden.dtype, torch.float32)
    weights = mask.unsqueeze(-1).to(wide)  # (B, L, 1)
    return ((hidden.to(wide) * weights).sum(1) / weights.sum(1)).to(hidden.dtype)  # (B, d)


def cls_pooling(hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Return the vector (B, d) of the first position of `hidden` (B, L, d)."""
    return hidden[:, 0]  # (B, d)


def last_token_pooling(hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Return the vector (B, d) of the last position of `hidden` (B, L, d) where `mask` (B, L) is 1."""
    positions = torch.arange(mask.shape[1], device=mask.device)  # (L,)
    last = (mask * positions).argmax(1)  # (B,)
    rows = torch.arange(hidden.shape[0], device=hidden.device)  # `len` would fix B in an exported graph
    return hidden[rows, last]  # (B, d)


POOLINGS: dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "mean": mean_pooling,
    "cls": cls_pooling,
    "lasttoken": last_token_pooling,
}
