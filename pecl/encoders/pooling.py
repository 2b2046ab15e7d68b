"""Poolings: from the hidden states of a text's positions to one vector."""

from collections.abc import Callable

import torch


def mean_pooling(hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Return the mean of `hidden` (B, L, d) over the positions where `mask` (B, L) is 1, summed in float32 or wider."""
    wide = torch.promote_types(hidden.dtype, torch.float32)
    weights = mask.unsqueeze(-1).to(wide)  # (B, L, 1)
    return ((hidden.to(wide) * weights).sum(1) / weights.sum(1)).to(hidden.dtype)  # (B, d)


def last_token_pooling(hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Return the vector (B, d) of the last position of `hidden` (B, L, d) where `mask` (B, L) is 1."""
    positions = torch.arange(mask.shape[1], device=mask.device)  # (L,)
    last = (mask * positions).argmax(1)  # (B,)
    # `len` would fix B in an exported graph
    rows = torch.arange(hidden.shape[0], device=hidden.device)
    return hidden[rows, last]  # (B, d)


POOLINGS: dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "mean": mean_pooling,
    "cls": lambda hidden, mask: hidden[:, 0],  # (B, d): the first position's
    "lasttoken": last_token_pooling,
}


def pool(name: str, hidden: torch.Tensor, mask: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Return the pooled vectors (B, d) of type `dtype`.

    The states are (B, L, d), or (B, 1, d) of the last position alone; the mask is (B, L).
    """
    return POOLINGS[name](hidden.to(dtype), mask[:, -hidden.shape[1] :])
