"""The steps of a pass through a backbone: embed the tokens, run some of the layers, end, pool; padded or packed.

They work for the architectures of `families`. An encoder of another architecture, or one whose attention or layers
somebody has replaced, is run as a whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

import torch

from pecl.encoders.attention import ATTENTION_BY_ROW
from pecl.encoders.devices import to_device
from pecl.encoders.dropout import DropoutSeeds
from pecl.encoders.families import TextFamily, family_of
from pecl.encoders.packing import Packing, seen_by
from pecl.errors import not_none

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_KNOWN_ATTENTION = ("sdpa", "eager")


def can_pack(backbone: PreTrainedModel) -> bool:
    """Return whether `backbone` is of a family and attention that `encode_packed` knows, and as it was made.

    A layer whose `forward` somebody has replaced, as OpenDelta's soft prompt does, may look at rows.
    """
    return backbone.config._attn_implementation == "sdpa" and knows_attention(backbone)


def knows_attention(backbone: PreTrainedModel) -> bool:
    """Return whether `attend` can take the place of the attention of `backbone`, which is as it was made."""
    config = backbone.config
    if family_of(config) is None or config._attn_implementation not in _KNOWN_ATTENTION:
        return False
    return not any("forward" in vars(module) for module in backbone.modules())


def attendable(backbone: PreTrainedModel, attention_mask: torch.Tensor, is_padded: bool) -> torch.Tensor | None:
    """Return the positions that each position attends to, without reading the mask to see if one is needed.

    The result is (B, 1, L, L) bool, or None where all may be attended to. The mask (B, L) of a backbone that cannot be
    packed and has not our attention is returned as it is, to be read there.
    """
    ours = backbone.config._attn_implementation == ATTENTION_BY_ROW  # transformers knows no mask for it
    if not ours and not can_pack(backbone):
        return attention_mask
    causal = _family(backbone).causal
    if not is_padded and not ours and not causal:
        return None
    return seen_by(attention_mask.bool(), causal).expand(-1, 1, attention_mask.shape[1], -1)


def _family(backbone: PreTrainedModel) -> TextFamily:
    return not_none(family_of(backbone.config), "the backbone's family")


def packing_of(backbone: PreTrainedModel, attention_mask: torch.Tensor) -> Packing:
    """Return the packing of a batch with `attention_mask` (B, L) for `backbone`, which `can_pack`."""
    return Packing(attention_mask, next(backbone.parameters()).device, causal=_family(backbone).causal)


def embed_packed(backbone: PreTrainedModel, input_ids: torch.Tensor, packing: Packing) -> torch.Tensor:
    """Return the input (1, T, d) of the first layer for the tokens of a padded batch (B, L)."""
    device, family = packing.device, _family(backbone)
    first = family.first_position(backbone.config)
    positions = (torch.arange(packing.length, device=device) + first).expand(packing.rows, -1)  # (B, L)
    ids = packing.pack(to_device(input_ids, device))  # (1, T)
    return family.embed(backbone, packing.pack(positions), ids, None)


def run_layers(
    backbone: PreTrainedModel,
    hidden: torch.Tensor,
    packing: Packing | None,
    start: int = 0,
    stop: int | None = None,
    mask: torch.Tensor | None = None,
    only_last: bool = False,
) -> torch.Tensor:
    """Take hidden states through the layers from `start` to before `stop`, and behind the last to the end.

    The states are (1, T, d) with a packing, else (B, L, d); `mask` is that of a padded batch, as `attendable` returns
    it. With `only_last`, the result is only the last position (B, 1, d) of a padded batch, where the family can.
    """
    family, more = _family(backbone), {} if packing is None else {"packing": packing}
    layers = family.layers_of(backbone)
    top = family.top if only_last and stop is None and start < len(layers) else None
    with our_attention(backbone) if more else nullcontext():
        for layer in layers[start : stop if top is None else -1]:
            hidden = layer(hidden, mask, **more)
    hidden = hidden if top is None else top(layers[-1], hidden, mask)
    return family.finish(backbone, hidden) if stop is None or stop == len(layers) else hidden


def encode_padded(
    backbone: PreTrainedModel,
    mask: torch.Tensor | None,
    input_ids: torch.Tensor | None = None,
    words: torch.Tensor | None = None,
    *,
    only_last: bool = False,
) -> torch.Tensor:
    """Return the last hidden states (B, L, d) of a padded batch by any encoder; `only_last` as in `run_layers`.

    The batch is on the backbone's device: `input_ids` (B, L) int64, or word embeddings `words` (B, L, d) instead.
    `mask` is as `attendable` returns it.
    """
    if mask is not None and mask.dim() == 2:
        inputs = {"input_ids": input_ids} if words is None else {"inputs_embeds": words}
        return backbone(**inputs, attention_mask=mask).last_hidden_state
    family, given = _family(backbone), not_none(input_ids if words is None else words, "input_ids or words")
    first = family.first_position(backbone.config)
    positions = torch.arange(first, first + given.shape[1], device=given.device).unsqueeze(0)  # (1, L)
    hidden = family.embed(backbone, positions, input_ids, words)
    return run_layers(backbone, hidden, None, mask=mask, only_last=only_last)


def encode_packed(
    backbone: PreTrainedModel,
    input_ids: torch.Tensor,
    attention_mask: torch.Tensor,
    seeds: DropoutSeeds,
    states: torch.Tensor | None = None,
    start: int = 0,
) -> torch.Tensor:
    """Return the last hidden states (B, L, d) of a padded batch, with zeros in the padding.

    The batch (B, L), whose tokens come first, is on the CPU, or the CPU waits. The tower's dropouts get the places of
    the tokens through `seeds`. `states` (1, T, d) are those that layer `start` is given, where they are known.
    """
    packing = packing_of(backbone, attention_mask)
    with seeds.packed(packing):
        states = embed_packed(backbone, input_ids, packing) if states is None else states
        hidden = run_layers(backbone, states, packing, start)
    return packing.unpack(hidden)  # (B, L, d)


@contextmanager
def our_attention(backbone: PreTrainedModel) -> Iterator[None]:
    """Let the layers of `backbone` attend by `attention_by_row` in the body."""
    config = backbone.config
    before = config._attn_implementation
    config._attn_implementation = ATTENTION_BY_ROW
    try:
        yield
    finally:
        config._attn_implementation = before


def mean_pooling(hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Return the mean of `hidden` (B, L, d) over the positions where `mask` (B, L) is 1, summed in float32 or wider."""
    wide = torch.promote_types(hidden.dtype, torch.float32)
    weights = mask.unsqueeze(-1).to(wide)  # (B, L, 1)
    return ((hidden.to(wide) * weights).sum(1) / weights.sum(1)).to(hidden.dtype)  # (B, d)


def cls_pooling(hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Return the vector (B, d) of the first position of `hidden` (B, L, d)."""
    return hidden[:, 0]  # (B, d)


def last_token_pooling(hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Return the vector (B, d) of the last position of `hidden` (B, L, d) where `mask` (B, L) is 1."""
    positions = torch.arange(mask.shape[1], device=mask.device)  # (L,)
    last = (mask * positions).argmax(1)  # (B,)
    rows = torch.arange(hidden.shape[0], device=hidden.device)  # `len` would fix B in an exported graph
    return hidden[rows, last]  # (B, d)


POOLINGS: dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "mean": mean_pooling,
    "cls": cls_pooling,
    "lasttoken": last_token_pooling,
}
