"""Packing: the tokens of a padded batch as one sequence without padding, so that no layer computes padding.

A training batch of ten captions is a quarter padding. Every layer but attention works on single tokens, so it may as
well see them in one row, (1, T, d). Only attention needs to know the rows: `attention_by_row` unpacks queries, keys
and values to padded batches, attends there as ever, and packs the result. Its cost grows with the square of
the padded length, so on a CPU rows of like length are a batch each; elsewhere, where launches count, all are one. It is
registered under a name of its own with transformers, which hands it the `packing` that the tower passes to the
backbone. A padded batch whose rows draw their own dropout goes through it as well, without a packing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from pecl.encoders.devices import to_device
from pecl.encoders.dropout import RowDropout

ATTENTION_BY_ROW = "pecl_attention_by_row"

# A batch of rows of like length ends where a row's square is below this share of the longest row's.
_LIKE = 0.75


@dataclass(frozen=True, eq=False)
class RowBatch:
    """G rows of a packed batch that attention computes as one padded batch of length L."""

    rows: torch.Tensor  # (G,) int64 on the CPU: places in the whole batch
    length: int  # length L of the longest row
    tokens: torch.Tensor | None  # (t,): places of their tokens among the T packed ones; None for all, in order
    place: torch.Tensor  # (t,): places of these tokens among the G * L positions
    mask: torch.Tensor  # (G, 1, 1 or L, L) bool: the positions that each position attends to

    def unpack(self, packed: torch.Tensor) -> torch.Tensor:
        """Return the tokens of these rows among (T, ...) as a padded batch, (G, L, ...), with zeros in the padding."""
        padded = packed.new_zeros(len(self.rows) * self.length, *packed.shape[1:])
        own = packed if self.tokens is None else packed.index_select(0, self.tokens)
        return padded.index_copy_(0, self.place, own).unflatten(0, (len(self.rows), self.length))

    def pack_into(self, packed: torch.Tensor, padded: torch.Tensor) -> None:
        """Write the tokens of a padded batch (G, L, ...) to their places in `packed` (T, ...)."""
        own = padded.flatten(0, 1).index_select(0, self.place)
        if self.tokens is None:
            packed.copy_(own)
        else:
            packed.index_copy_(0, self.tokens, own)


class Packing:
    """The places of the T tokens of a padded batch, by its mask (B, L): each row has tokens, and they come first.

    The mask is on the CPU, or the CPU waits; the batch is on `device`, the mask's own unless given. With `causal`, a
    position attends only to itself and the positions before it.
    """

    def __init__(
        self, attention_mask: torch.Tensor, device: torch.device | None = None, *, causal: bool = False
    ) -> None:
        self.device = device or attention_mask.device
        self.causal = causal
        self.rows, self.length = attention_mask.shape
        place = attention_mask.flatten().nonzero().squeeze(1)
        self.place = to_device(place, self.device)  # (T,): each token's place among the B * L positions
        self.batches = self._batches(attention_mask)

    def _batches(self, attention_mask: torch.Tensor) -> list[RowBatch]:
        """Return the rows as padded batches: of like length each on a CPU, all in one elsewhere."""
        if self.device.type != "cpu":
            mask = seen_by(to_device(attention_mask.bool(), self.device), self.causal)
            return [RowBatch(torch.arange(self.rows), self.length, None, self.place, mask)]
        lengths = attention_mask.sum(1)  # (B,)
        order = lengths.argsort(descending=True, stable=True)
        parts, first = [], 0
        for i, length in enumerate(ordered := lengths[order].tolist()):
            if length**2 < _LIKE * ordered[first] ** 2:
                parts.append(order[first:i])
                first = i
        parts.append(order[first:])
        if len(parts) == 1:
            parts = [torch.arange(self.rows)]
        starts = lengths.cumsum(0) - lengths  # (B,): each row's first place among the tokens
        return [self._batch(rows, lengths[rows], starts[rows], len(parts) == 1) for rows in parts]

    def _batch(self, rows: torch.Tensor, lengths: torch.Tensor, starts: torch.Tensor, is_only: bool) -> RowBatch:
        positions = torch.arange(int(lengths.max()))  # (L,)
        mask = positions < lengths[:, None]  # (G, L)
        tokens = None if is_only else (starts[:, None] + positions)[mask]
        place = mask.flatten().nonzero().squeeze(1)
        return RowBatch(rows, len(positions), tokens, place, seen_by(mask, self.causal))

    def pack(self, padded: torch.Tensor) -> torch.Tensor:
        """Return the tokens of (B, L, ...) as one row, (1, T, ...)."""
        return padded.flatten(0, 1).index_select(0, self.place).unsqueeze(0)

    def unpack(self, packed: torch.Tensor) -> torch.Tensor:
        """Return (1, T, ...) as a padded batch, (B, L, ...), with zeros in the padding."""
        padded = packed.new_zeros(self.rows * self.length, *packed.shape[2:])
        return padded.index_copy(0, self.place, packed.squeeze(0)).unflatten(0, (self.rows, self.length))


def seen_by(mask: torch.Tensor, causal: bool) -> torch.Tensor:
    """Return the positions that each position attends to, (B, 1, 1 or L, L) bool, given the tokens (B, L) bool."""
    seen = mask[:, None, None, :]
    return seen & torch.ones_like(mask[0]).expand(mask.shape[1], -1).tril() if causal else seen


class _ToBatches(torch.autograd.Function):
    """(T, ...) to the padded batches (G, L, ...) of a packing. No token is in two, so a gradient is written once."""

    @staticmethod
    def forward(ctx: Any, packed: torch.Tensor, batches: list[RowBatch]) -> tuple[torch.Tensor, ...]:  # ty: ignore
        ctx.batches, ctx.tokens = batches, len(packed)
        return tuple(batch.unpack(packed) for batch in batches)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, None]:
        return _packed(ctx.batches, ctx.tokens, grads), None


class _FromBatches(torch.autograd.Function):
    """The reverse: padded batches (G, L, ...) to (T, ...); padding has no gradient."""

    @staticmethod
    def forward(ctx: Any, batches: list[RowBatch], tokens: int, *padded: torch.Tensor) -> torch.Tensor:  # ty: ignore
        ctx.batches = batches
        return _packed(batches, tokens, padded)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        return None, None, *(batch.unpack(grads[0]) for batch in ctx.batches)


def _packed(batches: list[RowBatch], tokens: int, padded: Sequence[torch.Tensor]) -> torch.Tensor:
    packed = padded[0].new_empty(tokens, *padded[0].shape[2:])
    for batch, own in zip(batches, padded, strict=True):
        batch.pack_into(packed, own)
    return packed


def attention_by_row(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    packing: Packing | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Attend within each row of a packed batch, by `attend` on padded ones; a padded batch is taken as it is.

    Queries, keys and values of a packed batch are (1, h, T, d_head); the result is (1, T, h, d_head). `attention_mask`
    is that of a padded batch.
    """
    if packing is None:
        return attend(module, query, key, value, attention_mask, **kwargs)
    batches = packing.batches
    # (1, h, T, d_head) -> (T, h, d_head) -> (G, L, h, d_head) of each batch
    states = [_ToBatches.apply(one.transpose(1, 2).squeeze(0), batches) for one in (query, key, value)]
    attended = []
    for batch, *own in zip(batches, *states, strict=True):
        q, k, v = (one.transpose(1, 2) for one in own)  # (G, h, L, d_head)
        attended.append(attend(module, q, k, v, batch.mask, rows=batch, **kwargs)[0])  # (G, L, h, d_head)
    return _FromBatches.apply(batches, query.shape[2], *attended).unsqueeze(0), None


def attend(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    scaling: float,
    rows: RowBatch | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Attend as transformers' SDPA function does, with the dropout of `module` where rows draw their own.

    In bfloat16 on a CPU it multiplies matrices in place of PyTorch's fused kernel, whose backward pass is 4 to 8 times
    slower on captions (PyTorch 2.13).

    Queries are (B, h, L, d_head), keys and values (B, h, K, d_head), the result (B, L, h, d_head). `attention_mask` is
    (B, 1, 1 or L, K), bool or added to the scores; without one all positions are seen. `rows` says which rows of a
    packed batch these are; it is None for a padded one.
    """
    dropout = getattr(module, "dropout", None)
    drawing = dropout if isinstance(dropout, RowDropout) and dropout.draws_now else None
    if drawing is None and (query.dtype != torch.bfloat16 or query.device.type != "cpu"):
        return sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling, **kwargs)
    scores = (query * scaling) @ key.mT  # (B, h, L, K)
    if attention_mask is not None:
        if attention_mask.dtype == torch.bool:  # to be added: one pass over the scores, and none over their gradient
            least = torch.finfo(scores.dtype).min
            attention_mask = torch.zeros_like(attention_mask, dtype=scores.dtype).masked_fill_(~attention_mask, least)
        scores.add_(attention_mask)
    weights = scores.softmax(-1)
    return ((weights if drawing is None else drawing.of_attention(weights, rows)) @ value).transpose(1, 2), None


AttentionInterface.register(ATTENTION_BY_ROW, attention_by_row)
