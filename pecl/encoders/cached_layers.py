"""`CachedLayers`: a cache of the outputs of the frozen layers below an adapter, computed once per text."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

import torch

from pecl.encoders.batches import TokenIds, batches
from pecl.encoders.layers import embed_packed, known_family, packing_of, run_layers, state_dtype
from pecl.encoders.memory import to_device
from pecl.encoders.pooling import pool
from pecl.files.progress import Bar

if TYPE_CHECKING:
    from transformers import PreTrainedModel

logger = logging.getLogger(__name__)

# States of some 14,000 captions of the mini tower, or 5,000 of XLM-R Large; pooled vectors of ten
# times as many.
CACHED_BYTES = 512 << 20
_BATCH = 64


class LayerStates(NamedTuple):
    """The states of a cache, and what they depend on: the lowest layer, the pooling, and the frozen tensors below it.

    Each tensor stands with its version, which counts the changes of its values, and its address.
    """

    first: int
    pooling: str
    tensors: list[tuple[torch.Tensor, int, int]]
    # token ids of a text -> (L or 1, d) on the CPU, in their order
    states: dict[tuple[int, ...], torch.Tensor]

    def has_layers_of(self, other: LayerStates) -> bool:
        """Return whether both depend on the same layers."""
        if (self.first, self.pooling, len(self.tensors)) != (other.first, other.pooling, len(other.tensors)):
            return False
        pairs = zip(self.tensors, other.tensors, strict=True)
        return all(
            tensor is other_tensor and state == other_state for (tensor, *state), (other_tensor, *other_state) in pairs
        )


class CachedLayers:
    """A cache of the hidden states of texts, as the frozen layers below layer `first` give them.

    An adapter in the top layers does not change the layers below it. Without dropout, these give
    the same states in every step and at every validation. The states are computed once and held in
    memory up to a limit; those of further texts are computed in each pass. The batches depend only
    on the texts, so a training that is resumed after a kill ends with the same bits. If the adapter
    comes after all layers, such as a head alone, the cache holds the pooled vector of a text in
    place of the states of its tokens.

    Args:
        backbone: one that `can_pack` accepts, in evaluation mode.
        first: the lowest layer that is not cached, from 1; the number of layers for pooled vectors.
        pooling: name of a pooling.
        limit: largest size of the cache, in bytes.
        earlier: the states of another cache, which are taken if they are those of the same texts and layers.
    """

    def __init__(
        self,
        backbone: PreTrainedModel,
        first: int,
        pooling: str,
        limit: int = CACHED_BYTES,
        earlier: LayerStates | None = None,
    ) -> None:
        self.backbone = backbone
        self.first = first
        self.limit = limit
        self.pools = first == backbone.config.num_hidden_layers  # whether pooled vectors are cached
        self._pooling = pooling
        self.bytes = 0  # of the cached states
        like = next(backbone.parameters())
        dtype = like.dtype if self.pools else state_dtype(backbone) or like.dtype
        self._device = like.device
        self._dtype = like.dtype
        self._bytes_of_token = dtype.itemsize * backbone.config.hidden_size
        self._states: dict[tuple[int, ...], torch.Tensor] = {}  # as in `LayerStates`
        self._earlier = earlier

    @property
    def states(self) -> LayerStates:
        """The cached states, for a later cache of the same texts."""
        layers = known_family(self.backbone).layers_of(self.backbone)[self.first :]
        above = {id(tensor) for layer in layers for tensor in chain(layer.parameters(), layer.buffers())}
        all_tensors = chain(self.backbone.parameters(), self.backbone.buffers())
        below = [tensor for tensor in all_tensors if id(tensor) not in above]
        tensors = [(tensor, tensor._version, tensor.data_ptr()) for tensor in below]
        return LayerStates(self.first, self._pooling, tensors, self._states)

    def __len__(self) -> int:
        return len(self._states)

    def add(self, lists: Iterable[TokenIds]) -> None:
        """Compute and cache the states of the first texts of each list, as many as the limit allows.

        The last bits of a state depend on the texts of its batch. So earlier states are taken only
        if they are those of exactly these texts.
        """
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

        earlier = self._earlier
        if earlier is not None and list(earlier.states) == list(self._states) and earlier.has_layers_of(self.states):
            self._states = earlier.states
            logger.info("cached states below layer %d: %d texts, from the previous run", self.first, len(self))
            return

        with Bar(total=len(rows), desc="layers below", unit="text", leave=False) as bar:
            for batch in batches([list(row) for row in rows], _BATCH, self.backbone.config.pad_token_id, 1.0):
                computed = self._compute(batch.input_ids, batch.attention_mask).cpu()
                states_of_texts = self._split(computed, batch.attention_mask)
                for index, states in zip(batch.indices.tolist(), states_of_texts, strict=True):
                    self._states[rows[index]] = states
                bar.update(len(batch.indices))

        logger.info("cached states below layer %d: %d texts, %d MiB", self.first, len(self), self.bytes >> 20)

    def of(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Return the states (T, d) of a batch's tokens, or its pooled vectors (B, d), without gradients.

        If the batch (B, L) is not on the CPU, the CPU waits for it.
        """
        lengths = attention_mask.sum(1).tolist()
        rows = [tuple(row[:length]) for row, length in zip(input_ids.tolist(), lengths, strict=True)]
        states_of_rows = [self._states.get(row) for row in rows]
        cached = [states for states in states_of_rows if states is not None]
        cached_states = None
        if cached:
            cached_states = to_device(torch.cat(cached), self._device)

        missing = [i for i, states in enumerate(states_of_rows) if states is None]
        if cached_states is not None and not missing:
            return cached_states

        computed = self._compute(input_ids[missing], attention_mask[missing])
        computed_parts = iter(self._split(computed, attention_mask[missing]))
        cached_parts = iter(() if cached_states is None else cached_states.split([len(states) for states in cached]))
        return torch.cat([next(computed_parts) if states is None else next(cached_parts) for states in states_of_rows])

    @torch.no_grad()
    def _compute(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Return the values to cache for padded texts: the states (T, d) of their tokens, or pooled vectors (B, d)."""
        packing = packing_of(self.backbone, attention_mask)
        hidden = run_layers(self.backbone, embed_packed(self.backbone, input_ids, packing), packing, stop=self.first)
        if self.pools:
            return pool(self._pooling, packing.unpack(hidden), to_device(attention_mask, self._device), self._dtype)
        return hidden.squeeze(0)

    def _split(
        self,
        computed: torch.Tensor,
        attention_mask: torch.Tensor,
    ) -> tuple[torch.Tensor, ...]:
        """Split the output of `_compute` into the part (L, d) or (1, d) of each text."""
        return computed.split(1 if self.pools else attention_mask.sum(1).tolist())
