"""Attention functions for the towers' layers. The config of a layer names its function; `ATTENTIONS` holds them.

All take the arguments of transformers' own attention functions. transformers also hands on the
extra arguments that the tower passes to a layer: the `packing` of a packed batch, or the `prefix`
of an adapter.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from pecl.encoders.dropout import RowDropout
from pecl.encoders.packing import Packing, RowBatch

ATTENTION_BY_ROW = "pecl_attention_by_row"
ATTENTION_WITH_PREFIX = "pecl_sdpa_with_prefix"

_VECTOR = 16  # float32 numbers in a vector of AVX512
_ROWS = 8  # texts below which padding costs as much as it gains


def sdpa(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    scaling: float,
    dropout: float = 0.0,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Attend with PyTorch's `scaled_dot_product_attention`; arguments and result as in `attend`."""
    if _pays_to_pad(key):
        key, value, attention_mask = _in_whole_vectors(key, value, attention_mask)
    attended = F.scaled_dot_product_attention(query, key, value, attention_mask, dropout_p=dropout, scale=scaling)
    return attended.transpose(1, 2).contiguous(), None


def _pays_to_pad(key: torch.Tensor) -> bool:
    """Return whether attention to keys (B, h, K, d_head) is faster if padding makes K a multiple of `_VECTOR`.

    On a CPU, PyTorch's fused kernel computes the exponentials of a row in vectors, and those that are left over one by
    one, which takes up to three times as long as a further vector (PyTorch 2.13, AVX512, captions). In float32 the
    products of matrices take so much longer that a pass gains nothing.
    """
    return (
        not torch.compiler.is_compiling()  # first: an exported graph has lengths without a value
        and not torch.is_grad_enabled()
        and key.dtype == torch.bfloat16
        and key.device.type == "cpu"
        and len(key) >= _ROWS
        and key.shape[2] % _VECTOR >= _VECTOR // 2
        and torch.backends.cpu.get_cpu_capability() == "AVX512"
    )


def _in_whole_vectors(
    key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return keys, values (B, h, K', d_head) and mask (..., K') with K' the next multiple of `_VECTOR`."""
    padding = -key.shape[2] % _VECTOR
    if mask is None:
        mask = key.new_ones(1, 1, 1, key.shape[2], dtype=torch.bool)
    masked = False if mask.dtype == torch.bool else torch.finfo(mask.dtype).min
    return (
        F.pad(key, (0, 0, 0, padding)),
        F.pad(value, (0, 0, 0, padding)),
        F.pad(mask, (0, padding), value=masked),
    )


class _ToBatches(torch.autograd.Function):
    """(T, ...) to the padded batches (G, L, ...) of a packing. A token is in only one of them and gets one gradient."""

    @staticmethod
    def forward(ctx: Any, packed: torch.Tensor, batches: list[RowBatch]) -> tuple[torch.Tensor, ...]:  # ty: ignore
        ctx.batches = batches
        ctx.tokens = len(packed)
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
    for batch, states in zip(batches, padded, strict=True):
        batch.pack_into(packed, states)
    return packed


def attend(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    scaling: float,
    packing: Packing | None = None,
    rows: RowBatch | None = None,
    prefix: torch.Tensor | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Attend as `sdpa` does, but within each row of a packed batch, and with the per-row dropout of `module`, if any.

    For gradients in bfloat16 on a CPU it multiplies matrices itself: the backward pass of PyTorch's
    fused kernel is 4 to 8 times slower on captions (PyTorch 2.13).

    Queries are (B, h, L, d_head), keys and values (B, h, K, d_head), the result (B, L, h, d_head).
    `attention_mask` is (B, 1, 1 or L, K), bool or added to the scores; without it, each position
    attends to all. In a packed batch, all three are (1, h, T, d_head) and the result is (1, T, h,
    d_head): `attend` runs once per padded batch in `packing`, with that batch as `rows`. `prefix`
    (B, 2, h, P, d_head) has keys and values to put before those of a padded batch.
    """
    if packing is not None:
        batches = packing.batches
        attended = []
        # (1, h, T, d_head) -> (T, h, d_head) -> (G, L, h, d_head) of each batch
        states = [_ToBatches.apply(state.transpose(1, 2).squeeze(0), batches) for state in (query, key, value)]
        for batch, *batch_states in zip(batches, *states, strict=True):
            q, k, v = (state.transpose(1, 2) for state in batch_states)  # (G, h, L, d_head)
            result, _ = attend(module, q, k, v, batch.mask, scaling=scaling, rows=batch, **kwargs)
            attended.append(result)  # (G, L, h, d_head)
        return _FromBatches.apply(batches, query.shape[2], *attended).unsqueeze(0), None

    if prefix is not None:
        prefix = prefix.to(key.dtype)
        key = torch.cat([prefix[:, 0], key], dim=2)  # (B, h, P + L, d_head)
        value = torch.cat([prefix[:, 1], value], dim=2)  # (B, h, P + L, d_head)
        if attention_mask is not None:
            visible = True if attention_mask.dtype == torch.bool else 0.0
            attention_mask = F.pad(attention_mask, (prefix.shape[3], 0), value=visible)  # (B, 1, L, P + L)

    dropout = getattr(module, "dropout", None)
    drawing = dropout if isinstance(dropout, RowDropout) and dropout.draws_now else None
    is_slow = query.dtype == torch.bfloat16 and query.device.type == "cpu" and torch.is_grad_enabled()
    if drawing is None and not is_slow:
        return sdpa(module, query, key, value, attention_mask, scaling=scaling, **kwargs)

    scores = (query * scaling) @ key.mT  # (B, h, L, K)
    if attention_mask is not None:
        # added to the scores: one pass over them, none over their gradient
        if attention_mask.dtype == torch.bool:
            least = torch.finfo(scores.dtype).min
            attention_mask = torch.zeros_like(attention_mask, dtype=scores.dtype).masked_fill_(~attention_mask, least)
        scores.add_(attention_mask)

    weights = scores.softmax(-1)
    return ((weights if drawing is None else drawing(weights, rows)) @ value).transpose(1, 2), None


ATTENTIONS: dict[str, Callable[..., tuple[torch.Tensor, None]]] = {
    "sdpa": sdpa,
    ATTENTION_BY_ROW: attend,
    ATTENTION_WITH_PREFIX: attend,
}


def register_with_transformers() -> None:
    """Register pecl's own functions with transformers, so that its layers find them by name."""
    from transformers import AttentionInterface  # imported here: a `Bert` tower does not need it

    for name in (ATTENTION_BY_ROW, ATTENTION_WITH_PREFIX):
        AttentionInterface.register(name, ATTENTIONS[name])
