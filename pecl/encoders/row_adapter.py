"""`RowAdapter`: the interface of a text tower to the adapters on it."""

from typing import NamedTuple, Protocol

import torch


class PromptedInputs(NamedTuple):
    """A sequence lengthened by P prompt vectors."""

    embeddings: torch.Tensor  # (B, P + L, d)
    attention_mask: torch.Tensor  # (B, P + L)
    pooling_mask: torch.Tensor  # (B, P + L): the positions that the mean is taken over


class RowAdapter(Protocol):
    """The part that a set of adapters takes in one pass of the tower."""

    @property
    def works_on_tokens(self) -> bool:
        """Whether the slots treat every token alike, in whatever row it is."""
        ...

    @property
    def first_layer(self) -> int:
        """The lowest layer that has a parameter, or whose input one changes; the number of layers for the head's."""
        ...

    def select(self, slots: torch.Tensor | None, rows: int) -> None:
        """Set the slot of each of the `rows` rows: (rows,) int64; None where there is one slot."""

    def pack(self, lengths: torch.Tensor | None) -> None:
        """Announce the selected rows' tokens in one row, with `lengths` (rows,) on the CPU; None ends that."""

    def extend_inputs(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> PromptedInputs | None:
        """Return the prompted sequence of (B, L) token ids, or None when no prompt takes part."""
