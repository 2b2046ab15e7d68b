"""Layers with one weight per slot, applied to rows, or to the tokens of a packed batch, grouped by slot.

The rows of a fleet come slot by slot, so its tokens are one consecutive segment per slot; rows of a mixed batch are
first sorted by slot. Segments of equal length take one batched matmul. Others take one matmul each on a CPU, without a
copy of the batch. On another device they are padded to the longest and take one batched matmul, so that the number of
launches does not grow with the slots. All sizes are known on the CPU, which therefore never waits for the device.
"""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch.nn import functional as F

from pecl.encoders.memory import to_device


class SlotGroups:
    """N items (rows, or tokens) grouped by slot.

    Args:
        slots: (N,) int64 on the CPU, the slot of each item; two slots or more.
        num_slots: S.
        device: device of items and weights.
    """

    def __init__(self, slots: torch.Tensor, num_slots: int, device: torch.device) -> None:
        self.index = to_device(slots, device)  # (N,)
        used, counts = slots.unique(return_counts=True)
        self.slots: list[int] = used.tolist()
        self.sizes: list[int] = counts.tolist()
        self._used = None if len(self.slots) == num_slots else to_device(used, device)  # (U,)

        # Items that are not in order are sorted by slot, and the results back
        self._order = self._inverse = None
        if not bool((slots.diff() >= 0).all()):
            order = slots.argsort(stable=True)  # (N,): the items by slot
            self._order = to_device(order, device)
            self._inverse = to_device(order.argsort(), device)

        # On a device, groups of several sizes are padded to the largest
        self.equal = len(set(self.sizes)) == 1
        self._padded = self._unpadded = None
        if not self.equal and device.type != "cpu":
            largest = max(self.sizes)
            starts = counts.cumsum(0) - counts
            # A shorter group repeats its own first item: an item of another slot might not be finite.
            within = torch.arange(largest).expand(len(counts), -1)  # (U, M)
            within = torch.where(within < counts[:, None], within, 0)
            self._padded = to_device((starts[:, None] + within).flatten(), device)  # (U * M,)
            is_item = torch.arange(largest)[None, :] < counts[:, None]  # (U, M)
            self._unpadded = to_device(is_item.flatten().nonzero().squeeze(1), device)  # (N,): indices in U * M

    def linear(self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        """Apply each item's own linear layer: x (N, L, i), weight (S, o, i), bias (S, o) or None -> (N, L, o)."""
        if not self.equal and self._padded is None:
            return self.each((x,), F.linear, *((weight,) if bias is None else (weight, bias)))
        x = x if self._order is None else x.index_select(0, self._order)
        shape = x.shape[:2]
        if self._padded is not None:
            x = x.index_select(0, self._padded)

        num_groups = len(self.slots)
        length = x.shape[1]
        if self._used is not None:
            weight = weight.index_select(0, self._used)
            bias = None if bias is None else bias.index_select(0, self._used)
        out = torch.bmm(x.reshape(num_groups, -1, x.shape[-1]), weight.mT)  # (U, N / U * L, o)
        out = out if bias is None else out + bias.unsqueeze(1)

        out = out.reshape(-1, length, weight.shape[1])
        if self._unpadded is not None:
            out = out.index_select(0, self._unpadded)
        out = out if self._inverse is None else out.index_select(0, self._inverse)
        return out.reshape(*shape, weight.shape[1])

    def add_linear(self, out: torch.Tensor, x: torch.Tensor, weight: torch.Tensor, scale: float) -> torch.Tensor:
        """Return `out` (N, L, o) + scale * `linear(x, weight)`; on a CPU, items in order take one call per slot."""
        if self.equal or self._padded is not None or self._order is not None:
            return out + self.linear(scale * x, weight, None)
        return self.each((out, x), partial(add_linear, scale=scale), weight)

    def each(
        self, items: Sequence[torch.Tensor], layer: Callable[..., torch.Tensor], *parameters: torch.Tensor
    ) -> torch.Tensor:
        """Apply `layer(*items, *parameters)` to the items and parameters of each slot; results are in the items' order.

        Args:
            items: each (N, L, i).
            layer: gives (n, L, o).
            parameters: each (S, ...).

        Returns:
            (N, L, o).
        """
        ordered = items if self._order is None else [tensor.index_select(0, self._order) for tensor in items]
        by_slot = [parameter.unbind() for parameter in parameters]
        groups = zip(*(tensor.split(self.sizes) for tensor in ordered), strict=True)
        results = [
            layer(*group, *(parameter[slot] for parameter in by_slot))
            for slot, group in zip(self.slots, groups, strict=True)
        ]
        out = torch.cat(results)
        return out if self._inverse is None else out.index_select(0, self._inverse)


def add_linear(out: torch.Tensor, x: torch.Tensor, weight: torch.Tensor, scale: float) -> torch.Tensor:
    """Return `out` (..., o) + scale * x (..., i) W^T in one call, given W (o, i)."""
    return torch.addmm(out.flatten(0, -2), x.flatten(0, -2), weight.mT, alpha=scale).view_as(out)
