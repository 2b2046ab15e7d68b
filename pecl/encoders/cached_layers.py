"""`CachedLayers`: a cache of the outputs of the frozen layers below an adapter, computed once for each text.

An adapter in the topmost layers leaves those below as they are in the plain tower, and without dropout these give the
same states in every step and at every validation. They are computed once, in batches that depend on nothing but the
texts (so that a training that was killed ends with the same bits), and held in memory up to a limit. Those of further
texts are computed in each pass. If the adapter lies behind all layers, such as a head by itself, the pooled vector
of a text is cached, not the states of its tokens.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import torch

from pecl.encoders.batches import TokenIds, batches
from pecl.encoders.devices import to_device
from pecl.encoders.layers import POOLINGS, embed_packed, packing_of, run_layers
from pecl.files.progress import Bar

if TYPE_CHECKING:
    from transformers import PreTrainedModel

logger = logging.getLogger(__name__)

# States of some 14,000 captions of the mini tower, or 5,000 of XLM-R Large; pooled vectors of ten times as many.
CACHED_BYTES = 512 << 20
_BATCH = 64


class CachedLayers:
    """Hidden states of texts behind the layers below `first`, which have no parameters of an adapter.

    Args:
        backbone: one that `can_pack`, in evaluation mode.
        first: the lowest layer that is not among them, from 1; the number of layers for pooled vectors.
        pooling: name of a pooling.
        limit: bytes that are cached at most.
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
        """Compute and cache the states of texts from the beginning of each list, as far as there is room."""
        rows = [row for token_ids in lists for row in self._new(token_ids)]
        with Bar(total=len(rows), desc="layers below", unit="text", leave=False) as bar:
            for batch in batches([list(row) for row in rows], _BATCH, self.backbone.config.pad_token_id, 1.0):
                made = self._compute(batch.input_ids, batch.attention_mask).cpu()
                for place, states in zip(batch.indices.tolist(), self._split(made, batch.attention_mask), strict=True):
                    self._states[rows[place]] = states
                bar.update(len(batch.indices))
        logger.info("states below layer %d: %d texts, %d MiB", self.first, len(self), self.bytes >> 20)

    def _new(self, token_ids: TokenIds) -> Iterator[tuple[int, ...]]:
        """Yield the texts that have room, and note them."""
        for text in token_ids:
            row = tuple(text)
            if row in self._states:
                continue
            size = (1 if self.pools else len(row)) * self._bytes_of_token
            if self.bytes + size > self.limit:
                return
            self.bytes += size
            self._states[row] = torch.empty(0)
            yield row

    def of(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Return the states of a batch's tokens in one row, (T, d), or its pooled vectors, (B, d); without gradients.

        The batch (B, L) is on the CPU, or the CPU waits.
        """
        lengths = attention_mask.sum(1).tolist()
        rows = [tuple(row[:length]) for row, length in zip(input_ids.tolist(), lengths, strict=True)]
        found = [self._states.get(row) for row in rows]
        kept = [states for states in found if states is not None]
        there = to_device(torch.cat(kept), self._device) if kept else None
        if there is not None and len(kept) == len(found):
            return there
        missing = [i for i, states in enumerate(found) if states is None]
        computed = self._compute(input_ids[missing], attention_mask[missing])
        made = iter(self._split(computed, attention_mask[missing]))
        ready = iter(() if there is None else there.split([len(states) for states in kept]))
        return torch.cat([next(made) if states is None else next(ready) for states in found])

    @torch.no_grad()
    def _compute(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Return the values to keep of padded texts: the states (T, d) of their tokens, or pooled vectors (B, d)."""
        packing = packing_of(self.backbone, attention_mask)
        hidden = run_layers(self.backbone, embed_packed(self.backbone, input_ids, packing), packing, stop=self.first)
        if self.pools:
            return self._pool(packing.unpack(hidden), to_device(attention_mask, self._device))
        return hidden.squeeze(0)

    def _split(self, computed: torch.Tensor, attention_mask: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Split the output of `_compute` into the part (L, d) or (1, d) of each text."""
        return computed.split(1 if self.pools else attention_mask.sum(1).tolist())
