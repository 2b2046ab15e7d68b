"""`RowAdapter`: the interface between a text tower and its adapters."""

from typing import NamedTuple, Protocol

import torch


class PromptedInputs(NamedTuple):
    """A sequence lengthened by P prompt vectors."""

    embeddings: torch.Tensor  # (B, P + L, d)
    attention_mask: torch.Tensor  # (B, P + L)
    pooling_mask: torch.Tensor  # (B, P + L): the positions that the mean is taken over


class RowAdapter(Protocol):
    """The calls that a text tower makes to its set of adapters in each pass."""

    @property
    def works_on_tokens(self) -> bool:
        """Whether the slots treat every token alike, whichever row it is in."""
        ...

    @property
    def has_prompts(self) -> bool:
        """Whether an adapter lengthens the sequence of input embeddings, see `extend_inputs`."""
        ...

    @property
    def first_layer(self) -> int:
        """The lowest layer that an adapter changes, or whose input it changes; the number of layers for the head."""
        ...

    def select(self, slots: torch.Tensor | None, rows: int) -> None:
        """Set the slot of each of the `rows` rows: (rows,) int64; None where there is one slot."""

    def pack(self, lengths: torch.Tensor | None) -> None:
        """Announce that the selected rows come packed, with `lengths` (rows,) on the CPU; None: not packed any more."""

    def extend_inputs(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
    ) -> PromptedInputs | None:
        """Return the prompted sequence of (B, L) token ids, or None if no adapter is a prompt."""
