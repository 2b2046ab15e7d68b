"""Packing: the tokens of a padded batch as one sequence without padding, so that no layer computes what nobody reads.

A training batch of ten captions is a quarter padding. Every layer but attention works on single tokens, so it may as
well see them in one row, (1, T, d). Attention alone needs to know the rows: `attention_by_row` unpacks queries, keys
and values to the padded batch, attends there as ever, and packs the result. It is registered under a name of its own
with transformers, which hands it the `packing` that the tower passes to the backbone.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward

if TYPE_CHECKING:
    from transformers import PreTrainedModel
from pecl.encoders.devices import to_device
from pecl.encoders.positions import first_position

ATTENTION_BY_ROW = "pecl_attention_by_row"

# Architectures that take position ids and hand further arguments to their attention
_CAN_PACK = frozenset({"bert", "roberta", "xlm-roberta"})


class Packing:
    """Where the T tokens of a padded batch are.

    Args:
        attention_mask: (B, L), 1 for tokens and 0 for padding; every row has a token. On the CPU, or the CPU waits.
        device: where the batch is computed; the mask's own unless given.
    """

    def __init__(self, attention_mask: torch.Tensor, device: torch.device | None = None) -> None:
        device = device or attention_mask.device
        self.rows, self.length = attention_mask.shape
        place = attention_mask.flatten().nonzero().squeeze(1)
        self.place = to_device(place, device)  # (T,): of each token among the B * L positions
        mask = to_device(attention_mask.bool(), device)
        self.mask = mask[:, None, None, :]  # (B, 1, 1, L): what each position may attend to

    def pack(self, padded: torch.Tensor) -> torch.Tensor:
        """Return the tokens of (B, L, ...) as one row, (1, T, ...)."""
        return padded.flatten(0, 1).index_select(0, self.place).unsqueeze(0)

    def unpack(self, packed: torch.Tensor) -> torch.Tensor:
        """Return (1, T, ...) as a padded batch, (B, L, ...), with zeros in the padding."""
        padded = packed.new_zeros(self.rows * self.length, *packed.shape[2:])
        return padded.index_copy(0, self.place, packed.squeeze(0)).unflatten(0, (self.rows, self.length))


def attention_by_row(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    packing: Packing,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Attend within each row of a packed batch: transformers' SDPA function on the padded one.

    Args:
        module: the self-attention layer.
        query: (1, h, T, d_head).
        key: (1, h, T, d_head).
        value: (1, h, T, d_head).
        attention_mask: ignored; `packing` knows the rows.
        packing: of the batch.
        kwargs: the SDPA function's further arguments.

    Returns:
        (1, T, h, d_head) and None.
    """
    # (1, h, T, d_head) -> (B, L, h, d_head) -> (B, h, L, d_head)
    query, key, value = (packing.unpack(states.transpose(1, 2)).transpose(1, 2) for states in (query, key, value))
    attended, _ = sdpa_attention_forward(module, query, key, value, packing.mask, **kwargs)  # (B, L, h, d_head)
    return packing.pack(attended), None


AttentionInterface.register(ATTENTION_BY_ROW, attention_by_row)


def can_pack(backbone: PreTrainedModel) -> bool:
    """Return whether `backbone` is of an architecture and attention that `encode_packed` knows, and as it was made.

    A layer whose `forward` somebody has replaced, as OpenDelta's soft prompt does, may look at rows.
    """
    if backbone.config.model_type not in _CAN_PACK or backbone.config._attn_implementation != "sdpa":
        return False
    return not any("forward" in vars(module) for module in backbone.modules())


def attendable(backbone: PreTrainedModel, attention_mask: torch.Tensor, is_padded: bool) -> torch.Tensor | None:
    """Return the mask (B, L) as `backbone` would make it of two dimensions, without reading it to see if it is needed.

    Args:
        backbone: one that `can_pack`; the mask of another is returned as it is, to be read there.
        attention_mask: (B, L), 1 for tokens and 0 for padding.
        is_padded: whether it has a 0.

    Returns:
        (B, 1, L, L) bool, or None where all may be attended to.
    """
    if not can_pack(backbone):
        return attention_mask
    if not is_padded:
        return None
    return attention_mask.bool()[:, None, None, :].expand(-1, 1, attention_mask.shape[1], -1)


def encode_packed(backbone: PreTrainedModel, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
    """Return the last hidden states (B, L, d) of a padded batch, with zeros in the padding.

    Args:
        backbone: one that `can_pack`.
        input_ids: (B, L) int64; on the CPU, as the mask, or the CPU waits.
        attention_mask: (B, L), 1 for tokens and 0 for padding; the tokens come first.
    """
    device = next(backbone.parameters()).device
    packing = Packing(attention_mask, device)
    first = first_position(backbone.config)
    positions = (torch.arange(packing.length, device=device) + first).expand(packing.rows, -1)  # (B, L)
    with _attention(backbone.config, ATTENTION_BY_ROW):
        output = backbone(
            input_ids=packing.pack(to_device(input_ids, device)),  # (1, T)
            position_ids=packing.pack(positions),  # (1, T)
            attention_mask=positions.new_zeros(1, 1, 1, 1),  # four dimensions: used as it is, so no mask is made
            packing=packing,
        )
    return packing.unpack(output.last_hidden_state)  # (B, L, d)


@contextmanager
def _attention(config: Any, name: str) -> Iterator[None]:
    before = config._attn_implementation
    config._attn_implementation = name
    try:
        yield
    finally:
        config._attn_implementation = before
