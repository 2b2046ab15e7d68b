"""Adapters in exported graphs: each row of a batch takes its own copy of its slot's parameters."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace
from typing import Any

import torch

from pecl.adapters.adapter import Adapter
from pecl.adapters.slots import SlotRows


class GatheredRows(SlotRows):
    """Slot rows in which each row takes its own copy of its slot's parameters: a graph without branches."""

    one_by_one = False

    def choose(self, slots: torch.Tensor | None) -> None:
        """Set the slots (B,) of the next pass, which are symbolic in a graph."""
        groups: Any = SimpleNamespace(index=slots)
        self.groups = groups

    def linear(self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
        """Apply to each row, (B, L, i) or (B, i), the linear layer of its slot; see `SlotRows.linear`."""
        row_weights = self.take(weight)  # (B, o, i)
        out = torch.matmul(x if x.ndim == 3 else x.unsqueeze(1), row_weights.mT)  # (B, L, o), or (B, 1, o)
        out = out if bias is None else out + self.take(bias).unsqueeze(1)
        return out if x.ndim == 3 else out.squeeze(1)

    def add_linear(self, out: torch.Tensor, x: torch.Tensor, weight: torch.Tensor, scale: float) -> torch.Tensor:
        """Return `out` + scale * `linear(x, weight)`."""
        return out + scale * self.linear(x, weight)


@contextmanager
def replaced_rows(adapter: Adapter, rows: SlotRows) -> Iterator[None]:
    """Let the modules of an adapter take their parameters by `rows` within the body; then they are as before."""
    with ExitStack() as stack:
        for _, module, _ in adapter.modules:
            stack.callback(setattr, module, "rows", module.rows)
            module.rows = rows
        yield
