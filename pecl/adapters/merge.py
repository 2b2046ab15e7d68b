"""A plain text tower that computes what an adapter does for one slot, without the adapter's overhead."""

from __future__ import annotations

import copy

from torch import nn

from pecl.adapters.adapter import Adapter
from pecl.encoders.text import MultilingualTextEncoder


def merge_slot(adapter: Adapter, slot: int) -> MultilingualTextEncoder:
    """Return a new tower with the parameters of `slot` in its weights; adapter and tower stay as they are.

    Layers that the adapter does not change share their memory with the tower.

    Raises:
        WeightsError: a module of the adapter cannot be merged; the message says why.
    """
    tower = adapter.tower
    # What deepcopy finds here it takes as the copy; it comes from above, so of a stack it takes the outermost module.
    memo = {id(module): module.merged(slot) for _, module, _ in adapter.modules}
    memo |= {id(tensor): nn.Parameter(tensor.detach(), requires_grad=False) for tensor in tower.parameters()}
    memo |= {id(buffer): buffer for buffer in tower.buffers()}
    return MultilingualTextEncoder(
        copy.deepcopy(tower.backbone, memo),
        tower.tokenizer,
        copy.deepcopy(tower.head, memo),
        name=tower.name,
        text_prefix=tower.text_prefix + "".join(config.text_prompt for config in adapter.configs),
        max_length=tower.max_length,
        pooling=tower.pooling,
    )
