"""The steps of a pass through a backbone: embed the tokens, run layers, apply the final LayerNorm.

They work on padded and on packed batches, for the architectures in `families`. An encoder of
another architecture, or with replaced attention or layers, is run as a whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

import torch
from torch import nn

from pecl.encoders.attention import ATTENTION_BY_ROW
from pecl.encoders.families import TextFamily, family_of
from pecl.encoders.memory import to_device
from pecl.encoders.packing import Packing, seen_by
from pecl.errors import not_none

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_KNOWN_ATTENTION = ("sdpa", "eager")


def can_pack(backbone: PreTrainedModel) -> bool:
    """Return whether the packed pass supports the family and attention of `backbone`, and no `forward` was replaced.

    A replaced `forward` of a layer, such as that of OpenDelta's soft prompt, may depend on rows.
    """
    return backbone.config._attn_implementation == "sdpa" and knows_attention(backbone)


def knows_attention(backbone: PreTrainedModel) -> bool:
    """Return whether `attend` can replace the attention of `backbone`: no `forward` in it was replaced."""
    config = backbone.config
    if family_of(config) is None or config._attn_implementation not in _KNOWN_ATTENTION:
        return False
    return not _has_replaced_forward(backbone)


def _has_replaced_forward(backbone: nn.Module) -> bool:
    """Return whether a module within `backbone` has a `forward` of its own, in place of that of its class.

    A pass calls this twice, so that it follows every change of a module. `backbone.modules()` gives
    the same modules, but also builds their names and takes five times as long.
    """
    waiting: list[nn.Module | None] = [backbone]
    while waiting:
        module = waiting.pop()
        if module is not None:
            attributes = module.__dict__
            if "forward" in attributes:
                return True
            waiting.extend(attributes["_modules"].values())

    return False


def attendable(
    backbone: PreTrainedModel,
    attention_mask: torch.Tensor,
    is_padded: bool,
) -> torch.Tensor | None:
    """Return the positions that each position attends to: (B, 1, L, L) bool, or None if all attend to all.

    `is_padded` states whether the mask (B, L) has padding, so that the CPU need not wait for its
    values. A backbone that cannot be packed and does not have our attention gets the mask (B, L) itself.
    """
    # transformers has no mask for it
    is_by_row = backbone.config._attn_implementation == ATTENTION_BY_ROW
    if not is_by_row and not can_pack(backbone):
        return attention_mask
    causal = known_family(backbone).causal
    if not is_padded and not is_by_row and not causal:
        return None
    return seen_by(attention_mask.bool(), causal).expand(-1, 1, attention_mask.shape[1], -1)


def known_family(backbone: PreTrainedModel) -> TextFamily:
    """Return the family of a backbone whose attention is known."""
    return not_none(family_of(backbone.config), "the backbone's family")


def packing_of(backbone: PreTrainedModel, attention_mask: torch.Tensor) -> Packing:
    """Return the packing of a batch with `attention_mask` (B, L), for a backbone that `can_pack` accepts."""
    return Packing(attention_mask, next(backbone.parameters()).device, causal=known_family(backbone).causal)


def embed_packed(
    backbone: PreTrainedModel,
    input_ids: torch.Tensor,
    packing: Packing,
) -> torch.Tensor:
    """Return the input (1, T, d) of the first layer for the tokens of a padded batch (B, L)."""
    device = packing.device
    family = known_family(backbone)
    first = family.first_position(backbone.config)
    positions = (torch.arange(packing.length, device=device) + first).expand(packing.rows, -1)  # (B, L)
    ids = packing.pack(to_device(input_ids, device))  # (1, T)
    return _as_states(backbone, family.embed(backbone, packing.pack(positions), ids, None))


def embed(
    backbone: PreTrainedModel,
    input_ids: torch.Tensor | None,
    words: torch.Tensor | None,
) -> torch.Tensor:
    """Return the input (B, L, d) of the first layer for token ids (B, L), or for word embeddings (B, L, d)."""
    sequence = not_none(input_ids if words is None else words, "token ids or words")
    family = known_family(backbone)
    first = family.first_position(backbone.config)
    positions = torch.arange(first, first + sequence.shape[1], device=sequence.device).unsqueeze(0)  # (1, L)
    return _as_states(backbone, family.embed(backbone, positions, input_ids, words))


def state_dtype(backbone: PreTrainedModel) -> torch.dtype | None:
    """Return the type of the states between layers; None for that of the weights."""
    return getattr(backbone, "state_dtype", None)


def _as_states(backbone: PreTrainedModel, embedded: torch.Tensor) -> torch.Tensor:
    dtype = state_dtype(backbone)
    return embedded if dtype is None else embedded.to(dtype)


def run_layers(
    backbone: PreTrainedModel,
    hidden: torch.Tensor,
    packing: Packing | None = None,
    start: int = 0,
    stop: int | None = None,
    mask: torch.Tensor | None = None,
) -> torch.Tensor:
    """Run hidden states through the layers `start` to `stop` - 1, and after the last through the final LayerNorm.

    The states are (1, T, d) with a packing, else (B, L, d); `mask` is that of a padded batch, as
    `attendable` returns it.
    """
    family = known_family(backbone)
    layers = family.layers_of(backbone)
    arguments = {} if packing is None else {"packing": packing}
    with our_attention(backbone) if arguments else nullcontext():
        for layer in layers[start:stop]:
            hidden = layer(hidden, mask, **arguments)

    is_last = stop is None or stop == len(layers)
    return family.finish(backbone, hidden) if is_last else hidden


@contextmanager
def our_attention(backbone: PreTrainedModel) -> Iterator[None]:
    """Use `attend` in all layers of `backbone` within the body."""
    config = backbone.config
    before = config._attn_implementation
    config._attn_implementation = ATTENTION_BY_ROW
    try:
        yield
    finally:
        config._attn_implementation = before
