"""The prompted pass: the adapter puts vectors into the sequence of input embeddings."""

import torch

from pecl.encoders.memory import to_device
from pecl.encoders.passes.inputs import PassInputs, PassTower
from pecl.encoders.passes.padded import encode
from pecl.encoders.pooling import pool
from pecl.errors import not_none


def prompted(tower: PassTower, inputs: PassInputs) -> torch.Tensor:
    """Embed the words, lengthen the sequence by the prompts, and run all of it."""
    adapter = not_none(tower.adapter, "the tower's adapter")
    input_ids = to_device(inputs.input_ids, tower.device)  # (B, L)
    mask = to_device(inputs.attention_mask, tower.device)  # (B, L)
    extended = adapter.extend_inputs(input_ids, mask)  # (B, P + L, d)
    words, mask, pooled = not_none(extended, "the prompted inputs")
    return pool(tower.pooling, encode(tower, words, mask, inputs.is_padded), pooled, tower.dtype)
