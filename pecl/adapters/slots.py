"""Slots: parameters of S adapters along a leading dimension, and which of them each row of a batch uses.

One frozen backbone so serves one language (S = 1), a batch of mixed languages (slot = language), or a fleet of
training runs (slot = run) with the same code. The layout of the rows decides how a linear layer is computed:

- one slot for all rows: as a plain linear layer;
- S equal consecutive groups, in slot order (a fleet): one batched matmul over S;
- anything else (a mixed batch): one batched matmul over the rows, each with its own copy of its slot's weight, or,
  where the copies would be larger than the rows themselves, one matmul for each slot on the rows that use it.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, ClassVar, TypeVar

import torch
from torch import nn
from torch.nn import functional as F

from pecl.encoders.bfloat16 import Bfloat16Linear
from pecl.encoders.devices import to_device
from pecl.encoders.text import PromptedInputs
from pecl.errors import WeightsError

Layer = TypeVar("Layer", bound=nn.Module)


class SlotRows:
    """The slot of each row of the running pass; shared by all slot modules of one adapter."""

    def __init__(self, num_slots: int, dtype: torch.dtype | None = None) -> None:
        self.num_slots = num_slots
        self.dtype = dtype  # of the slots' parameters; None: that of the layers that they are at
        self.index: torch.Tensor | None = None  # (B,) int64 on the device, or None: slot `single` for every row
        self.single = 0
        self.grouped = False  # rows are num_slots equal consecutive groups, in slot order
        # Of a mixed batch alone, on the device: slot -> places of its rows; and where each row lies among all of these.
        self.rows_of: dict[int, torch.Tensor] = {}
        self.place: torch.Tensor | None = None  # (B,)

    def select(self, slots: torch.Tensor | None, rows: int, device: torch.device | None = None) -> None:
        """Set the slots of the next pass.

        Args:
            slots: (rows,) int64, on the CPU unless it may wait for the device; None for slot 0 everywhere.
            rows: number of rows.
            device: where the pass is computed; that of `slots` unless given.

        Raises:
            ValueError: `slots` has another length than `rows`, or names a slot that does not exist.
        """
        self.index, self.single, self.grouped, self.rows_of, self.place = None, 0, False, {}, None
        if slots is None:
            return
        if slots.shape != (rows,):
            raise ValueError(f"slots: expected the shape ({rows},), one slot for each row, got {tuple(slots.shape)}")
        slots, device = slots.cpu(), device or slots.device
        low, high = int(slots.min()), int(slots.max())
        if low < 0 or high >= self.num_slots:
            raise ValueError(f"slots: expected 0 to {self.num_slots - 1}, got {low} to {high}")
        if low == high:
            self.single = low
            return
        self.index = to_device(slots, device)
        if rows % self.num_slots == 0:
            groups = torch.arange(self.num_slots).repeat_interleave(rows // self.num_slots)
            self.grouped = torch.equal(slots, groups)
        if not self.grouped:
            used, counts = slots.unique(return_counts=True)
            order = slots.argsort(stable=True)  # (B,): the rows by slot
            places = to_device(order, device).split(counts.tolist())
            self.rows_of = dict(zip(used.tolist(), places, strict=True))
            self.place = to_device(order.argsort(), device)

    def take(self, parameter: torch.Tensor) -> torch.Tensor:
        """Return each row's own parameters: (S, ...) -> (B, ...), or (1, ...) when all rows share one slot."""
        if self.index is None:
            return self.one(parameter).unsqueeze(0)
        return parameter[self.index]

    def one(self, parameter: torch.Tensor) -> torch.Tensor:
        """Return the parameters of the slot that all rows share: (S, ...) -> (...).

        An only slot is not selected but seen without its dimension, whose gradient costs nothing.
        """
        return parameter.squeeze(0) if self.num_slots == 1 else parameter[self.single]

    def linear(self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
        """Apply to each row the linear layer of its slot.

        Args:
            x: (B, L, i) or (B, i).
            weight: (S, o, i).
            bias: (S, o) or None.

        Returns:
            (B, L, o) or (B, o).
        """
        if self.index is None:
            return F.linear(x, self.one(weight), None if bias is None else self.one(bias))
        if not self.grouped and weight[0].numel() > x[0].numel():
            return self._linear_by_slot(x, weight, bias)
        if self.grouped:
            groups = x.reshape(self.num_slots, -1, x.shape[-1])  # (S, B/S * L, i)
        else:
            groups = x.reshape(len(x), -1, x.shape[-1])  # (B, L, i)
            weight, bias = weight[self.index], None if bias is None else bias[self.index]  # (B, o, i), (B, o)
        out = torch.bmm(groups, weight.mT)
        out = out if bias is None else out + bias.unsqueeze(1)
        return out.reshape(*x.shape[:-1], weight.shape[1])  # (B, L, o)

    def add_linear(self, out: torch.Tensor, x: torch.Tensor, weight: torch.Tensor, scale: float) -> torch.Tensor:
        """Return `out` (B, L, o) + scale * `linear(x, weight)`; with one slot for all rows, in one call."""
        if self.index is not None:
            return out + scale * self.linear(x, weight)
        tokens = out.flatten(0, -2), x.flatten(0, -2)  # (B * L, o), (B * L, i)
        return torch.addmm(*tokens, self.one(weight).mT, alpha=scale).view_as(out)

    def _linear_by_slot(self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        parts = [
            F.linear(x[rows], weight[slot], None if bias is None else bias[slot]) for slot, rows in self.rows_of.items()
        ]
        return torch.cat(parts)[self.place]  # (B, L, o)


class SlotModule(nn.Module):
    """A frozen layer of the tower (`base`) and, beside it, parameters for S slots.

    A subclass makes its parameters with `slot_parameter`, fills one slot's in `reset_slot`, and computes in `forward`.
    `base` may itself be a SlotModule: adapters stack. One that has no plain equivalent says why in `cannot_merge`; one
    that does not treat every token by itself sets `needs_rows`, so that it never meets a packed batch.
    """

    base: Any  # a layer, whose kind the subclass knows, or another SlotModule
    cannot_merge: ClassVar[str] = ""
    needs_rows: ClassVar[bool] = False

    def __init__(self, base: nn.Module, rows: SlotRows) -> None:
        super().__init__()
        self.base = base
        self.rows = rows
        self.training = base.training  # a new module is in training mode, whatever the tower around it

    def slot_parameter(self, *shape: int, like: torch.Tensor) -> nn.Parameter:
        """Return an uninitialised parameter (S, *shape) on the device of `like`, with its type or the rows' own."""
        dtype = self.rows.dtype or like.dtype
        return nn.Parameter(torch.empty(self.rows.num_slots, *shape, dtype=dtype, device=like.device))

    def slot_parameters(self) -> dict[str, nn.Parameter]:
        """Return this module's own parameters by name, those of `base` left out."""
        return dict(self.named_parameters(recurse=False))

    def reset_slot(self, slot: int, generator: torch.Generator) -> None:
        """Fill the parameters of `slot` with their initial values, drawing from `generator` (on the CPU)."""
        raise NotImplementedError

    def rearrange(self, slots: Sequence[int], new: int) -> None:
        """Keep the parameters of `slots`, in that order, and append `new` uninitialised slots."""
        for parameter in self.slot_parameters().values():
            fresh = parameter.data.new_empty(new, *parameter.shape[1:])
            parameter.data = torch.cat([parameter.data[list(slots)], fresh])  # (len(slots) + new, ...)
            parameter.grad = None

    def restore(self) -> None:
        """Undo what the module changed on `base`; called when it is taken off the tower."""

    def plain_base(self, slot: int) -> Any:
        """Return the layer below without slots: the tower's own, or the modules' below merged for `slot`."""
        return self.base.merged(slot) if isinstance(self.base, SlotModule) else self.base

    def merged(self, slot: int) -> nn.Module:
        """Return a plain layer that computes what this one does for `slot`.

        Raises:
            WeightsError: this kind of module has no such layer; the message says why.
        """
        raise WeightsError(f"this adapter cannot be merged into the tower: {self.cannot_merge}")


class SlotPrompt(SlotModule):
    """A slot module at the word embeddings that puts vectors into the input sequence."""

    needs_rows = True

    length: int  # number P of vectors

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        """Map token ids (B, L) to word embeddings (B, L, d)."""
        return self.base(input_ids)

    def extend(self, inputs: PromptedInputs) -> PromptedInputs:
        """Put the vectors of each row's slot into its sequence."""
        raise NotImplementedError


def insert(inputs: PromptedInputs, vectors: torch.Tensor, place: int, pooled: bool) -> PromptedInputs:
    """Return `inputs` with `vectors` in front of position `place`, attended to and, if `pooled`, part of the mean.

    Args:
        inputs: sequences of length L.
        vectors: (1, P, d) or (B, P, d).
        place: 0 to L.
        pooled: whether the mean over tokens includes the vectors.
    """
    embeddings, attention_mask, pooling_mask = inputs  # (B, L, d), (B, L), (B, L)
    vectors = vectors.expand(embeddings.shape[0], -1, -1)  # (B, P, d); `len` would fix B in an exported graph
    ones = attention_mask.new_ones(vectors.shape[:2])  # (B, P)

    def between(sequence: torch.Tensor, middle: torch.Tensor) -> torch.Tensor:
        return torch.cat([sequence[:, :place], middle, sequence[:, place:]], dim=1)  # (B, P + L, ...)

    return PromptedInputs(
        between(embeddings, vectors),
        between(attention_mask, ones),
        between(pooling_mask, ones if pooled else torch.zeros_like(ones)),
    )


def innermost(module: nn.Module) -> Any:
    """Return the tower's own layer, whose kind the caller knows, below any slot modules."""
    while isinstance(module, SlotModule):
        module = module.base
    return module


def uniform(shape: torch.Size, bound: float, generator: torch.Generator) -> torch.Tensor:
    """Draw U(-bound, bound) on the CPU, so that a seed gives the same start on every device."""
    return torch.empty(shape).uniform_(-bound, bound, generator=generator)


def normal(shape: torch.Size, std: float, generator: torch.Generator) -> torch.Tensor:
    """Draw N(0, std^2) on the CPU."""
    return torch.empty(shape).normal_(0, std, generator=generator)


def with_parameters(layer: Layer, weight: torch.Tensor, bias: torch.Tensor | None) -> Layer:
    """Return a copy of a linear layer or LayerNorm with other values; `layer` stays as it is.

    The copy of a `Bfloat16Linear` is a plain layer in float32, since bfloat16 would lose much of a small change.
    """
    changed = copy.deepcopy(layer.widened() if isinstance(layer, Bfloat16Linear) else layer)
    for parameter, value in ((changed.get_parameter("weight"), weight), (changed.bias, bias)):
        if isinstance(parameter, nn.Parameter) and value is not None:
            parameter.data = value.detach().to(parameter, copy=True)
    return changed
