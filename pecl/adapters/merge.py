"""Text towers that share the weights of another: merged with one slot of its adapter, or plain."""

import copy
from typing import Any

import torch
from torch import nn

from pecl.adapters.adapter import Adapter
from pecl.encoders.text import MultilingualTextEncoder
from pecl.errors import ConfigError, WeightsError


def merge_slot(adapter: Adapter, slot: int) -> MultilingualTextEncoder:
    """Return a new tower with the parameters of `slot` in its weights; adapter and tower stay as they are.

    Layers that the adapter does not change share their memory with the tower.

    Raises:
        WeightsError: a module of the adapter cannot be merged, or merged weights are not finite; the message says why.
    """
    # deepcopy takes a module in here as the copy; it comes from above, so it takes the outermost module of a stack
    memo: dict[int, Any] = {}
    for path, module, _ in adapter.modules:
        memo[id(module)] = merged = module.merged(slot)
        if not all(bool(torch.isfinite(weight).all()) for weight in merged.parameters()):
            raise WeightsError(
                f"the merged weights of {path} are not finite numbers: the adapter's values are too large"
            )
    return _copy(adapter.tower, memo, "".join(config.text_prompt for config in adapter.configs))


def second_tower(tower: MultilingualTextEncoder) -> MultilingualTextEncoder:
    """Return a second tower with the same weights in memory: an adapter on one of the two leaves the other plain.

    It has the fingerprint of the first, that of the weights before they were rounded to bfloat16 or trimmed. Raise
    ConfigError if the tower has an adapter.
    """
    if tower.adapter is not None:
        raise ConfigError("the text tower has an adapter already; call its remove() first")
    return _copy(tower, {}, fingerprint=tower.fingerprint)


def _copy(
    tower: MultilingualTextEncoder, memo: dict[int, Any], text_prompt: str = "", fingerprint: str | None = None
) -> MultilingualTextEncoder:
    """Return a copy of `tower` in which `memo` has copies of modules by the id of the original; weights are shared."""
    memo |= {id(tensor): nn.Parameter(tensor.detach(), requires_grad=False) for tensor in tower.parameters()}
    memo |= {id(buffer): buffer for buffer in tower.buffers()}
    return MultilingualTextEncoder(
        copy.deepcopy(tower.backbone, memo),
        tower.tokenizer,
        copy.deepcopy(tower.head, memo),
        name=tower.name,
        text_prefix=tower.text_prefix + text_prompt,
        max_length=tower.max_length,
        pooling=tower.pooling,
        clean=tower.clean,
        respells=tower.respells,
        fingerprint=fingerprint,
    )
