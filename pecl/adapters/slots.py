"""Slots: parameters of S adapters along a leading dimension, and the slot of each row of a batch.

One frozen backbone thus serves one language (S = 1), a batch of mixed languages (slot = language), or a fleet of
training runs (slot = run) with the same code. If all rows share one slot, a layer is computed like a plain layer.
Otherwise rows, or the tokens of a packed batch, are grouped by slot (see `groups`).
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, TypeVar, cast

import torch
from torch import nn
from torch.nn import functional as F

from pecl.adapters.groups import SlotGroups, add_linear
from pecl.encoders.bfloat16 import Bfloat16Linear
from pecl.encoders.row_adapter import PromptedInputs
from pecl.errors import WeightsError
from pecl.language.lexicon import Lexicon

Layer = TypeVar("Layer", bound=nn.Module)


class SlotRows:
    """The slot of each row in the current pass; shared by all slot modules of one adapter."""

    one_by_one: ClassVar[bool] = True  # on the CPU, `each` may take the rows slot by slot

    def __init__(self, num_slots: int, dtype: torch.dtype | None = None) -> None:
        self.num_slots = num_slots
        self.dtype = dtype  # type of the slots' parameters; None: that of their layers
        self.single = 0  # the slot of every row, if all share one
        self.groups: SlotGroups | None = None  # groups of rows, with several slots
        self.tokens: SlotGroups | None = None  # groups of tokens, in a packed batch
        self._slots = torch.zeros(0, dtype=torch.long)  # (B,) on the CPU
        self._device = torch.device("cpu")

    @property
    def index(self) -> torch.Tensor | None:
        """The slot of each row, (B,) int64 on the device, or None: slot `single` for every row."""
        return None if self.groups is None else self.groups.index

    @property
    def slots_of_tokens(self) -> torch.Tensor | None:
        """The slot of each token, (B, 1), or (1, T) in a packed batch; None: slot `single` for every token."""
        if self.tokens is not None:
            return self.tokens.index.unsqueeze(0)
        return None if self.index is None else self.index.unsqueeze(1)

    def select(self, slots: torch.Tensor | None, rows: int, device: torch.device | None = None) -> None:
        """Set the slots of the next pass.

        Args:
            slots: (rows,) int64; the CPU waits for it if it is on another device. None for the only slot.
            rows: number of rows.
            device: device of the pass; that of `slots` unless given.

        Raises:
            ValueError: `slots` has another length than `rows`, names a slot that does not exist, or is None though
                there are several slots, or none.
        """
        self.single = 0
        self.groups = None
        self.tokens = None

        if slots is None:
            if self.num_slots != 1:
                raise ValueError(
                    f"slots: expected one for each row, since the tower has {self.num_slots} slots, got none"
                )
            return

        if slots.shape != (rows,):
            raise ValueError(f"slots: expected the shape ({rows},), one slot for each row, got {tuple(slots.shape)}")
        device = device or slots.device
        slots = slots.cpu()
        low = int(slots.min())
        high = int(slots.max())
        if low < 0 or high >= self.num_slots:
            raise ValueError(f"slots: expected 0 to {self.num_slots - 1}, got {low} to {high}")

        if low == high:  # all rows share one slot
            self.single = low
            return
        self.groups = SlotGroups(slots, self.num_slots, device)
        self._slots = slots
        self._device = device

    def pack(self, lengths: torch.Tensor | None) -> None:
        """Expect the tokens of all rows packed in one row, (1, T, i), from now on.

        Args:
            lengths: (B,) int64 on the CPU, the tokens of each row; None: expect unpacked rows again.
        """
        self.tokens = None
        if lengths is not None and self.groups is not None:
            self.tokens = SlotGroups(self._slots.repeat_interleave(lengths), self.num_slots, self._device)

    def take(self, parameter: torch.Tensor) -> torch.Tensor:
        """Return each row's own parameters: (S, ...) -> (B, ...), or (1, ...) when all rows share one slot."""
        if self.index is None:
            return self.one(parameter).unsqueeze(0)
        return parameter[self.index]

    def one(self, parameter: torch.Tensor) -> torch.Tensor:
        """Return the parameters of the slot that all rows share: (S, ...) -> (...).

        A single slot is viewed without its dimension, not selected: the gradient of a view costs nothing.
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
        groups = self._groups(x)
        weight, bias = weight.to(x.dtype), None if bias is None else bias.to(x.dtype)  # states may be bfloat16
        if groups is None:
            return F.linear(x, self.one(weight), None if bias is None else self.one(bias))
        return groups.linear(_items(x), weight, bias).view(*x.shape[:-1], -1)

    def embed(self, ids: torch.Tensor, tables: torch.Tensor) -> torch.Tensor:
        """Return rows of each item's own table: ids (B, L), or (1, L) for all rows, tables (S, N, r) -> (B, L, r)."""
        slots = self.slots_of_tokens
        if slots is None:
            return F.embedding(ids, self.one(tables))
        return F.embedding(ids + slots * tables.shape[1], tables.flatten(0, 1))

    def spread(self, parameter: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Return the parameters of each row's slot, (S, o), in a shape that broadcasts with `x` (B, L, o) or (B, o)."""
        groups, parameter = self._groups(x), parameter.to(x.dtype)
        if groups is None:
            return self.one(parameter)
        rows = parameter.index_select(0, groups.index)  # (B, o), or (T, o) of a packed batch
        return rows if x.dim() == 2 else rows.unsqueeze(0 if groups is self.tokens else 1)

    def each(self, x: torch.Tensor, layer: Callable[..., torch.Tensor], *parameters: torch.Tensor) -> torch.Tensor:
        """Apply `layer(rows, *parameters)` slot by slot, with the slot's own parameters out of (S, ...)."""
        groups = self._groups(x)
        if groups is None:
            return layer(x, *(self.one(parameter) for parameter in parameters))
        return groups.each((_items(x),), layer, *parameters).view(*x.shape[:-1], -1)

    def _groups(self, x: torch.Tensor) -> SlotGroups | None:
        """Return the groups of the items of `x`: tokens of a packed batch (1, T, i), or rows (B, L, i) or (B, i).

        A pooler's input for a packed batch is (1, i). Its output is never read, so any slot will do.
        """
        if self.tokens is None:
            return self.groups
        return self.tokens if x.dim() == 3 else None

    def add_linear(self, out: torch.Tensor, x: torch.Tensor, weight: torch.Tensor, scale: float) -> torch.Tensor:
        """Return `out` (B, L, o) + scale * `linear(x, weight)`, in one call where possible."""
        groups, weight = self._groups(x), weight.to(x.dtype)
        if groups is None:
            return add_linear(out, x, self.one(weight), scale)
        return groups.add_linear(_items(out), _items(x), weight, scale).view(out.shape)


def _items(x: torch.Tensor) -> torch.Tensor:
    """Return (B, L, i) as it is, and (1, T, i) or (B, i) as items of length 1: (T, 1, i) or (B, 1, i)."""
    if x.dim() == 2:
        return x.unsqueeze(1)
    if x.dim() == 3 and x.shape[0] == 1:
        return x.transpose(0, 1)
    return x


class SlotModule(nn.Module):
    """A frozen layer of the tower (`base`) and, next to it, parameters for S slots.

    A subclass makes its parameters with `slot_parameter`, fills one slot's in `reset_slot`, and computes in `forward`.
    Its buffers are integers that belong to a slot like its parameters, (S, ...) int32, but are not trained. `base` may
    itself be a SlotModule: adapters stack. A module without a plain equivalent gives the reason in `cannot_merge`. A
    module that does not treat each token by itself sets `needs_rows`, and never gets a packed batch. A module that
    chooses tokens from the training texts sets `counts_tokens` and implements `choose` and `translate`.
    """

    base: Any  # a layer, whose kind the subclass knows, or another SlotModule
    cannot_merge: ClassVar[str] = ""
    needs_rows: ClassVar[bool] = False
    counts_tokens: ClassVar[bool] = False

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

    def slot_tensors(self) -> dict[str, torch.Tensor]:
        """Return this module's own parameters and buffers by name."""
        return {**self.slot_parameters(), **dict(self.named_buffers(recurse=False))}

    def choose(self, slot: int, counts: Mapping[int, int]) -> None:
        """Prepare a fresh `slot` for texts in which each token id occurs `counts` times."""
        raise NotImplementedError

    def translate(self, slot: int, counts: Mapping[int, int], lexicon: Lexicon) -> None:
        """Initialise `slot` from a lexicon of token ids; `counts` has the frequencies of the language's ids."""
        raise NotImplementedError

    def reset_slot(self, slot: int, generator: torch.Generator) -> None:
        """Fill the parameters of `slot` with their initial values, drawing from `generator` (on the CPU)."""
        raise NotImplementedError

    def rearrange(self, slots: Sequence[int], new: int) -> None:
        """Keep the parameters of `slots`, in that order, and append `new` uninitialised slots."""
        for tensor in self.slot_tensors().values():
            fresh = tensor.data.new_empty(new, *tensor.shape[1:])
            tensor.data = torch.cat([tensor.data[list(slots)], fresh])  # (len(slots) + new, ...)
            tensor.grad = None

    def restore(self) -> None:
        """Undo the module's changes to `base`; called when it is taken off the tower."""

    def plain_base(self, slot: int) -> Any:
        """Return the layer below as a plain layer: the tower's own, or the modules below merged for `slot`."""
        return self.base.merged(slot) if isinstance(self.base, SlotModule) else self.base

    def merged(self, slot: int) -> nn.Module:
        """Return a plain layer that is equivalent to this one for `slot`.

        Raises:
            WeightsError: this kind of module has no such layer; the message has the reason.
        """
        raise WeightsError(f"this adapter cannot be merged into the tower: {self.cannot_merge}")


class SlotCopy(SlotModule):
    """A slot module whose parameters are copies of the layer's own: weight (S, ...), and bias (S, ...) or None."""

    weight: nn.Parameter
    bias: nn.Parameter | None

    def __init__(self, base: nn.Module, rows: SlotRows) -> None:
        super().__init__(base, rows)
        for name in ("weight", "bias"):
            tensor = getattr(base, name, None)
            self.register_parameter(name, None if tensor is None else self.slot_parameter(*tensor.shape, like=tensor))

    def reset_slot(self, slot: int, generator: torch.Generator) -> None:
        """Copy the tower's own parameters."""
        for name, parameter in self.slot_parameters().items():
            parameter.data[slot] = getattr(self.base, name).detach()

    def merged(self, slot: int) -> Any:
        """Return a layer of the same kind with the slot's parameters."""
        return with_parameters(self.base, self.weight[slot], None if self.bias is None else self.bias[slot])


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
    plain = cast(Layer, layer.widened()) if isinstance(layer, Bfloat16Linear) else layer
    changed = copy.deepcopy(plain)
    for parameter, value in ((changed.get_parameter("weight"), weight), (changed.bias, bias)):
        if isinstance(parameter, nn.Parameter) and value is not None:
            parameter.data = value.detach().to(parameter, copy=True)
    return changed
