"""The inputs of a pass: a batch of token ids, and the parts of the tower that a pass uses."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import torch

from pecl.encoders.cached_layers import CachedLayers
from pecl.encoders.dropout import DropoutSeeds
from pecl.encoders.row_adapter import RowAdapter
from pecl.encoders.runtime import Runtime


class PassTower(Protocol):
    """The parts of a text tower that a pass uses; see `MultilingualTextEncoder`."""

    backbone: Any
    adapter: RowAdapter | None
    cached_layers: CachedLayers | None
    dropout_seeds: DropoutSeeds
    packing: bool
    pooling: str
    training: bool

    @property
    def active_runtime(self) -> Runtime | None:
        """The package that computes the pass in place of PyTorch."""
        ...

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        ...

    @property
    def dtype(self) -> torch.dtype:
        """Type of the head's input."""
        ...

    @property
    def holds_bfloat16(self) -> bool:
        """Whether the states between layers are bfloat16."""
        ...

    @property
    def reads_last(self) -> bool:
        """Whether only the last position of the last layer is read."""
        ...

    @property
    def may_pack(self) -> bool:
        """Whether the backbone and the adapter treat every token alike, whichever row it is in."""
        ...


@dataclass(frozen=True, eq=False)
class PassInputs:
    """A padded batch, on the CPU or on the tower's device. On that device, the CPU waits for `tokens`."""

    input_ids: torch.Tensor  # (B, L) int64
    attention_mask: torch.Tensor  # (B, L), 1 for tokens and 0 for padding

    @cached_property
    def tokens(self) -> int:
        """The number of tokens, padding not counted."""
        return int(self.attention_mask.sum())

    @property
    def is_padded(self) -> bool:
        """Whether a row is shorter than the longest."""
        return self.tokens < self.attention_mask.numel()


Pass = Callable[[PassTower, PassInputs], torch.Tensor]  # -> (B, d), the input of the head
