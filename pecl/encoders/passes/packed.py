"""The packed pass: the tokens of all rows in one row, so that no layer computes padding."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from pecl.encoders import layers
from pecl.encoders.memory import to_device
from pecl.encoders.packing import Packing
from pecl.encoders.passes.inputs import PassInputs, PassTower
from pecl.encoders.pooling import pool


def packed(tower: PassTower, inputs: PassInputs) -> torch.Tensor:
    """Embed and run the tokens alone."""
    with announced_packing(tower, inputs) as packing:
        states = layers.embed_packed(tower.backbone, inputs.input_ids, packing)  # (1, T, d)
        hidden = layers.run_layers(tower.backbone, states, packing)  # (1, T, d)
    return pool_packed(tower, inputs, packing, hidden)


@contextmanager
def announced_packing(tower: PassTower, inputs: PassInputs) -> Iterator[Packing]:
    """Yield the packing of a batch; within the body, the adapter and the dropouts expect packed rows."""
    packing = layers.packing_of(tower.backbone, inputs.attention_mask)
    adapter = tower.adapter
    if adapter is not None:
        adapter.pack(inputs.attention_mask.sum(1).cpu())

    try:
        with tower.dropout_seeds.packed(packing):
            yield packing
    finally:
        if adapter is not None:
            adapter.pack(None)


def pool_packed(
    tower: PassTower,
    inputs: PassInputs,
    packing: Packing,
    hidden: torch.Tensor,
) -> torch.Tensor:
    """Return the pooled vectors (B, d) of packed states (1, T, d)."""
    mask = to_device(inputs.attention_mask, packing.device)  # (B, L)
    return pool(tower.pooling, packing.unpack(hidden), mask, tower.dtype)
