"""Packing: the tokens of a padded batch as one sequence without padding, so that no layer computes padding.

A training batch of ten captions is a quarter padding. Every layer but attention works on single
tokens, so it can take them in one row, (1, T, d). Only attention needs the rows: `attend`
unpacks queries, keys and values to padded batches, attends there as usual, and packs the result.
Its cost grows with the square of the padded length, so on a CPU each group of rows of similar
length is a batch. On other devices launches cost more, so all rows are one batch.
"""

from dataclasses import dataclass

import torch

from pecl.encoders.memory import to_device

# A row starts another batch if the square of its length is below this share of that of the batch's
# longest row.
_LIKE = 0.75


@dataclass(frozen=True, eq=False)
class RowBatch:
    """G rows of a packed batch that attention computes as one padded batch of length L."""

    rows: torch.Tensor  # (G,) int64 on the CPU: indices in the whole batch
    length: int  # length L of the longest row
    # (t,): places of their tokens among the T packed ones; None for all, in order
    tokens: torch.Tensor | None
    positions: torch.Tensor  # (t,): places of these tokens among the G * L positions
    mask: torch.Tensor  # (G, 1, 1 or L, L) bool: the positions that each position attends to

    def unpack(self, packed: torch.Tensor) -> torch.Tensor:
        """Return the tokens of these rows among (T, ...) as a padded batch, (G, L, ...), with zeros in the padding."""
        padded = packed.new_zeros(len(self.rows) * self.length, *packed.shape[1:])
        tokens = packed if self.tokens is None else packed.index_select(0, self.tokens)
        return padded.index_copy_(0, self.positions, tokens).unflatten(0, (len(self.rows), self.length))

    def pack_into(self, packed: torch.Tensor, padded: torch.Tensor) -> None:
        """Write the tokens of a padded batch (G, L, ...) to their places in `packed` (T, ...)."""
        tokens = padded.flatten(0, 1).index_select(0, self.positions)
        if self.tokens is None:
            packed.copy_(tokens)
        else:
            packed.index_copy_(0, self.tokens, tokens)


class Packing:
    """The places of the T tokens of a padded batch with mask (B, L). Each row has tokens, and they come first.

    If the mask is not on the CPU, the CPU waits for it. The batch is on `device`, by default the
    mask's. With `causal`, a position attends only to itself and the positions before it.
    """

    def __init__(
        self,
        attention_mask: torch.Tensor,
        device: torch.device | None = None,
        *,
        causal: bool = False,
    ) -> None:
        self.device = device or attention_mask.device
        self.causal = causal
        self.rows, self.length = attention_mask.shape
        positions = to_device(attention_mask.flatten().nonzero().squeeze(1), self.device)
        mask = seen_by(to_device(attention_mask.bool(), self.device), causal)
        self.whole = RowBatch(torch.arange(self.rows), self.length, None, positions, mask)
        self.batches = [self.whole] if self.device.type != "cpu" else self._of_like_length(attention_mask)

    def _of_like_length(self, attention_mask: torch.Tensor) -> list[RowBatch]:
        lengths = attention_mask.sum(1)  # (B,)
        order = lengths.argsort(descending=True, stable=True)
        parts, first = [], 0

        for i, length in enumerate(ordered := lengths[order].tolist()):
            if length**2 < _LIKE * ordered[first] ** 2:
                parts.append(order[first:i])
                first = i

        parts.append(order[first:])
        if len(parts) == 1:
            return [self.whole]

        starts = lengths.cumsum(0) - lengths  # (B,): place of each row's first token among all tokens
        return [self._batch(rows, lengths[rows], starts[rows]) for rows in parts]

    def _batch(self, rows: torch.Tensor, lengths: torch.Tensor, starts: torch.Tensor) -> RowBatch:
        positions = torch.arange(int(lengths.max()))  # (L,)
        mask = positions < lengths[:, None]  # (G, L)
        flat_positions = mask.flatten().nonzero().squeeze(1)
        return RowBatch(
            rows, len(positions), (starts[:, None] + positions)[mask], flat_positions, seen_by(mask, self.causal)
        )

    def pack(self, padded: torch.Tensor) -> torch.Tensor:
        """Return the tokens of (B, L, ...) as one row, (1, T, ...)."""
        return padded.flatten(0, 1).index_select(0, self.whole.positions).unsqueeze(0)

    def unpack(self, packed: torch.Tensor) -> torch.Tensor:
        """Return (1, T, ...) as a padded batch, (B, L, ...), with zeros in the padding."""
        return self.whole.unpack(packed.squeeze(0))


def seen_by(mask: torch.Tensor, causal: bool) -> torch.Tensor:
    """Return the positions that each position attends to, (B, 1, 1 or L, L) bool, given the tokens (B, L) bool."""
    visible = mask[:, None, None, :]
    if causal:
        return visible & torch.ones_like(mask[0]).expand(mask.shape[1], -1).tril()
    return visible
