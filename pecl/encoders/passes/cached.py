"""Passes that begin with cached states of the layers below the adapter; see `CachedLayers`."""

import torch

from pecl.encoders import layers
from pecl.encoders.cached_layers import CachedLayers
from pecl.encoders.memory import to_device
from pecl.encoders.passes.inputs import PassInputs, PassTower
from pecl.encoders.passes.last_position import run_to_last_position
from pecl.encoders.passes.packed import announced_packing, pool_packed
from pecl.encoders.pooling import pool
from pecl.errors import not_none


def pooled_from_cache(tower: PassTower, inputs: PassInputs) -> torch.Tensor:
    """Return cached pooled vectors: the adapter comes after all layers."""
    return _cache_of(tower).of(inputs.input_ids, inputs.attention_mask)


def packed_from_cache(tower: PassTower, inputs: PassInputs) -> torch.Tensor:
    """Run packed states through the layers from the adapter's lowest on."""
    cache = _cache_of(tower)
    states = cache.of(inputs.input_ids, inputs.attention_mask).unsqueeze(0)  # (1, T, d)
    with announced_packing(tower, inputs) as packing:
        hidden = layers.run_layers(tower.backbone, states, packing, cache.first)
    return pool_packed(tower, inputs, packing, hidden)


def padded_from_cache(tower: PassTower, inputs: PassInputs) -> torch.Tensor:
    """Run padded states through the layers from the adapter's lowest on: it needs whole rows, or padding is read."""
    cache = _cache_of(tower)
    backbone = tower.backbone
    states = cache.of(inputs.input_ids, inputs.attention_mask).unsqueeze(0)  # (1, T, d)
    hidden = layers.packing_of(backbone, inputs.attention_mask).unpack(states)  # (B, L, d)

    mask = to_device(inputs.attention_mask, tower.device)  # (B, L)
    attended = layers.attendable(backbone, mask, inputs.is_padded)

    if tower.reads_last:
        hidden = run_to_last_position(backbone, hidden, attended, cache.first)
    else:
        hidden = layers.run_layers(backbone, hidden, start=cache.first, mask=attended)

    return pool(tower.pooling, hidden, mask, tower.dtype)


def _cache_of(tower: PassTower) -> CachedLayers:
    return not_none(tower.cached_layers, "the tower's cache")
