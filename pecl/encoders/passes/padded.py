"""The padded pass: every row of the batch is as long as the longest."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

import torch

from pecl.encoders import layers
from pecl.encoders.memory import to_device
from pecl.encoders.passes.inputs import PassInputs, PassTower
from pecl.encoders.passes.last_position import run_to_last_position
from pecl.encoders.pooling import pool

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def padded(tower: PassTower, inputs: PassInputs) -> torch.Tensor:
    """Embed and run the whole batch, padding included."""
    input_ids = to_device(inputs.input_ids, tower.device)  # (B, L)
    mask = to_device(inputs.attention_mask, tower.device)  # (B, L)
    hidden = encode(tower, input_ids, mask, inputs.is_padded)
    return pool(tower.pooling, hidden, mask, tower.dtype)


def encode(
    tower: PassTower,
    given: torch.Tensor,
    mask: torch.Tensor,
    is_padded: bool,
) -> torch.Tensor:
    """Return the last hidden states as `encode_padded` does.

    Attention is pecl's own where it draws the rows' own dropout, or where the backward pass of
    PyTorch's is slow.
    """
    draws = tower.training and tower.dropout_seeds.seeds is not None
    is_slow = tower.holds_bfloat16 and torch.is_grad_enabled()
    is_ours = (draws or is_slow) and layers.knows_attention(tower.backbone)
    with layers.our_attention(tower.backbone) if is_ours else nullcontext():
        return encode_padded(tower.backbone, given, mask, is_padded, tower.reads_last)


def encode_padded(
    backbone: PreTrainedModel,
    given: torch.Tensor,
    attention_mask: torch.Tensor,
    is_padded: bool,
    only_last: bool,
) -> torch.Tensor:
    """Return the last hidden states (B, L, d) of a padded batch, with any encoder.

    Args:
        backbone: the encoder; one of no known family, or with another attention, is called as a whole.
        given: token ids (B, L) int64, or word embeddings (B, L, d), on the backbone's device.
        attention_mask: (B, L), on the same device.
        is_padded: whether the mask has padding.
        only_last: return only the last position, (B, 1, d).
    """
    input_ids, words = (given, None) if given.dim() == 2 else (None, given)
    mask = layers.attendable(backbone, attention_mask, is_padded)
    if mask is not None and mask.dim() == 2:
        inputs = {"input_ids": given} if words is None else {"inputs_embeds": given}  # not all take `inputs_embeds`
        return backbone(**inputs, attention_mask=mask).last_hidden_state

    hidden = layers.embed(backbone, input_ids, words)
    if only_last:
        return run_to_last_position(backbone, hidden, mask)
    return layers.run_layers(backbone, hidden, mask=mask)
