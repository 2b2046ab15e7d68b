"""The steps of a pass through a backbone: embed the tokens, run layers, apply the final LayerNorm, pool.

They work on padded and on packed batches, for the architectures in `families`. An encoder of another architecture, or
with replaced attention or layers, is run as a whole. `CachedLayers` caches the outputs of the frozen layers below an
adapter, once per text.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

import torch

from pecl.encoders.attention import ATTENTION_BY_ROW
from pecl.encoders.batches import TokenIds, batches
from pecl.encoders.dropout import DropoutSeeds
from pecl.encoders.families import TextFamily, family_of
from pecl.encoders.memory import to_device
from pecl.encoders.packing import Packing, seen_by
from pecl.errors import not_none
from pecl.files.progress import Bar

if TYPE_CHECKING:
    from transformers import PreTrainedModel

logger = logging.getLogger(__name__)

_KNOWN_ATTENTION = ("sdpa", "eager")
# States of some 14,000 captions of the mini tower, or 5,000 of XLM-R Large; pooled vectors of ten times as many.
CACHED_BYTES = 512 << 20
_BATCH = 64


def can_pack(backbone: PreTrainedModel) -> bool:
    """Return whether `encode_packed` supports the family and attention of `backbone`, and no `forward` was replaced.

    A replaced `forward` of a layer, such as that of OpenDelta's soft prompt, may depend on rows.
    """
    return backbone.config._attn_implementation == "sdpa" and knows_attention(backbone)


def knows_attention(backbone: PreTrainedModel) -> bool:
    """Return whether `attend` can replace the attention of `backbone`: no `forward` in it was replaced."""
    config = backbone.config
    if family_of(config) is None or config._attn_implementation not in _KNOWN_ATTENTION:
        return False
    return not any("forward" in vars(module) for module in backbone.modules())


def attendable(backbone: PreTrainedModel, attention_mask: torch.Tensor, is_padded: bool) -> torch.Tensor | None:
    """Return the positions that each position attends to: (B, 1, L, L) bool, or None if all attend to all.

    `is_padded` says whether the mask (B, L) has padding, so that the CPU need not wait for its values. A backbone that
    cannot be packed and does not have our attention gets the mask (B, L) itself.
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
    """Return the packing of a batch with `attention_mask` (B, L), for a backbone that `can_pack` accepts."""
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
    """Run hidden states through the layers `start` to `stop` - 1, and after the last through the final LayerNorm.

    The states are (1, T, d) with a packing, else (B, L, d); `mask` is that of a padded batch, as `attendable` returns
    it. With `only_last`, a padded batch gives only the last position (B, 1, d), if the family supports that.
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
    backbone: PreTrainedModel, given: torch.Tensor, attention_mask: torch.Tensor, is_padded: bool, only_last: bool
) -> torch.Tensor:
    """Return the last hidden states (B, L, d) of a padded batch, with any encoder; `only_last` as in `run_layers`.

    The batch is on the backbone's device: token ids (B, L) int64, or word embeddings (B, L, d). See `attendable` for
    the mask (B, L).
    """
    input_ids, words = (given, None) if given.dim() == 2 else (None, given)
    mask = attendable(backbone, attention_mask, is_padded)
    if mask is not None and mask.dim() == 2:
        inputs = {"input_ids": given} if words is None else {"inputs_embeds": given}  # not all take `inputs_embeds`
        return backbone(**inputs, attention_mask=mask).last_hidden_state
    family = _family(backbone)
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

    Each row of the batch (B, L) begins with its tokens. If the batch is not on the CPU, the CPU waits for it. `seeds`
    tells the tower's dropouts the places of the tokens. `states` (1, T, d) are the input of layer `start`, if known.
    """
    packing = packing_of(backbone, attention_mask)
    with seeds.packed(packing):
        states = embed_packed(backbone, input_ids, packing) if states is None else states
        hidden = run_layers(backbone, states, packing, start)
    return packing.unpack(hidden)  # (B, L, d)


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


def mean_pooling(hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Return the mean of `hidden` (B, L, d) over the positions where `mask` (B, L) is 1, summed in float32 or wider."""
    wide = torch.promote_types(hidden.dtype, torch.float32)
    weights = mask.unsqueeze(-1).to(wide)  # (B, L, 1)
    return ((hidden.to(wide) * weights).sum(1) / weights.sum(1)).to(hidden.dtype)  # (B, d)


def last_token_pooling(hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Return the vector (B, d) of the last position of `hidden` (B, L, d) where `mask` (B, L) is 1."""
    positions = torch.arange(mask.shape[1], device=mask.device)  # (L,)
    last = (mask * positions).argmax(1)  # (B,)
    rows = torch.arange(hidden.shape[0], device=hidden.device)  # `len` would fix B in an exported graph
    return hidden[rows, last]  # (B, d)


POOLINGS: dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "mean": mean_pooling,
    "cls": lambda hidden, mask: hidden[:, 0],  # (B, d): the first position's
    "lasttoken": last_token_pooling,
}


class CachedLayers:
    """A cache of the hidden states of texts, as the frozen layers below layer `first` give them.

    An adapter in the top layers does not change the layers below it. Without dropout, these give the same states in
    every step and at every validation. The states are computed once and held in memory up to a limit; those of further
    texts are computed in each pass. The batches depend only on the texts, so a training that is resumed after a kill
    ends with the same bits. If the adapter comes after all layers, such as a head alone, the cache holds the pooled
    vector of a text in place of the states of its tokens.

    Args:
        backbone: one that `can_pack` accepts, in evaluation mode.
        first: the lowest layer that is not cached, from 1; the number of layers for pooled vectors.
        pooling: name of a pooling.
        limit: largest size of the cache, in bytes.
    """

    def __init__(self, backbone: PreTrainedModel, first: int, pooling: str, limit: int = CACHED_BYTES) -> None:
        self.backbone, self.first, self.limit = backbone, first, limit
        self.pools = first == backbone.config.num_hidden_layers  # whether pooled vectors are cached
        self._pool = POOLINGS[pooling]
        self.bytes = 0  # of the cached states
        like = next(backbone.parameters())
        self._device, self._bytes_of_token = like.device, like.element_size() * backbone.config.hidden_size
        self._states: dict[tuple[int, ...], torch.Tensor] = {}  # token ids of a text -> (L or 1, d) on the CPU

    def __len__(self) -> int:
        return len(self._states)

    def add(self, lists: Iterable[TokenIds]) -> None:
        """Compute and cache the states of the first texts of each list, as many as the limit allows."""
        rows: list[tuple[int, ...]] = []  # those that have room
        for token_ids in lists:
            for row in map(tuple, token_ids):
                size = (1 if self.pools else len(row)) * self._bytes_of_token
                if row in self._states:
                    continue
                if self.bytes + size > self.limit:
                    break
                self.bytes += size
                self._states[row] = torch.empty(0)
                rows.append(row)
        with Bar(total=len(rows), desc="layers below", unit="text", leave=False) as bar:
            for batch in batches([list(row) for row in rows], _BATCH, self.backbone.config.pad_token_id, 1.0):
                made = self._compute(batch.input_ids, batch.attention_mask).cpu()
                for place, states in zip(batch.indices.tolist(), self._split(made, batch.attention_mask), strict=True):
                    self._states[rows[place]] = states
                bar.update(len(batch.indices))
        logger.info("cached states below layer %d: %d texts, %d MiB", self.first, len(self), self.bytes >> 20)

    def of(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Return the states (T, d) of a batch's tokens, or its pooled vectors (B, d), without gradients.

        If the batch (B, L) is not on the CPU, the CPU waits for it.
        """
        lengths = attention_mask.sum(1).tolist()
        rows = [tuple(row[:length]) for row, length in zip(input_ids.tolist(), lengths, strict=True)]
        found = [self._states.get(row) for row in rows]
        kept = [states for states in found if states is not None]
        there = to_device(torch.cat(kept), self._device) if kept else None
        missing = [i for i, states in enumerate(found) if states is None]
        if there is not None and not missing:
            return there
        computed = self._compute(input_ids[missing], attention_mask[missing])
        made = iter(self._split(computed, attention_mask[missing]))
        ready = iter(() if there is None else there.split([len(states) for states in kept]))
        return torch.cat([next(made) if states is None else next(ready) for states in found])

    @torch.no_grad()
    def _compute(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Return the values to cache for padded texts: the states (T, d) of their tokens, or pooled vectors (B, d)."""
        packing = packing_of(self.backbone, attention_mask)
        hidden = run_layers(self.backbone, embed_packed(self.backbone, input_ids, packing), packing, stop=self.first)
        if self.pools:
            return self._pool(packing.unpack(hidden), to_device(attention_mask, self._device))
        return hidden.squeeze(0)

    def _split(self, computed: torch.Tensor, attention_mask: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Split the output of `_compute` into the part (L, d) or (1, d) of each text."""
        return computed.split(1 if self.pools else attention_mask.sum(1).tolist())
