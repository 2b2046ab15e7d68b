"""A linear layer per slot: the tower's head, as a copy or as a low-rank change, or the backbone's pooler.

Copies start at the tower's own values and changes at zero, so a fresh layer is the identity.
"""

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch
from torch import nn

from pecl.adapters.kind import COPY_OF_LAYER, AdapterConfig, Placement, paths_of
from pecl.adapters.slots import SlotCopy, SlotModule, SlotRows, innermost, uniform, with_parameters
from pecl.encoders.text import MultilingualTextEncoder
from pecl.errors import ConfigError
from pecl.options import option


@dataclass(frozen=True)
class HeadConfig(AdapterConfig):
    """The linear layer after the pooling: trained as a whole, or by a low-rank change."""

    kind: ClassVar[str] = "head"
    level: ClassVar[int] = COPY_OF_LAYER
    rank: int | None = option(None, "rank of the change of the layer (default: the whole layer is trained)", low=1)
    lr_scale: float = option(1.0, "the head's learning rate is the run's times this", low=0)

    def placements(self, tower: MultilingualTextEncoder) -> list[Placement]:
        """Return the copies of the head's linear layers, usually one. Raise ConfigError if it has none."""
        layers = tower.head.named_modules(prefix="head")
        make = SlotLinear if self.rank is None else partial(SlotLowRankLinear, rank=self.rank)
        placements = [Placement(path, make) for path, layer in layers if isinstance(layer, nn.Linear)]
        if not placements:
            raise ConfigError(f"head: the text tower {tower.name!r} has no linear layer after its pooling")
        return placements


@dataclass(frozen=True)
class PoolerConfig(AdapterConfig):
    """The backbone's pooler, which the release's run_cross.py unfreezes.

    The embeddings do not depend on it (they are pooled from the tokens), so no gradient reaches it: it only adds to the
    number of parameters. A backbone without a pooler, as pecl builds it, gets none.
    """

    kind: ClassVar[str] = "pooler"
    level: ClassVar[int] = COPY_OF_LAYER

    def placements(self, tower: MultilingualTextEncoder) -> list[Placement]:
        """Return the copy of the pooler, if there is one."""
        if getattr(tower.backbone, "pooler", None) is None:
            return []
        return [Placement(f"backbone.{path}", SlotLinear) for path in paths_of(tower.backbone, "pooler")]


class SlotLinear(SlotCopy):
    """A linear layer with weight (S, o, i) and bias (S, o)."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, L, i) to (B, L, o), or (B, i) to (B, o)."""
        return self.rows.linear(x, self.weight, self.bias)


class SlotLowRankLinear(SlotModule):
    """A linear layer W x + b with S changes up (down x) + shift: down (S, r, i), up (S, o, r), shift (S, o)."""

    def __init__(self, base: nn.Linear, rows: SlotRows, rank: int) -> None:
        super().__init__(base, rows)
        weight = innermost(base).weight  # (o, i)
        if rank > min(weight.shape):
            raise ConfigError(f"head: rank: expected 1 to {min(weight.shape)}, the layer's smaller width, got {rank}")
        self.down = self.slot_parameter(rank, weight.shape[1], like=weight)
        self.up = self.slot_parameter(weight.shape[0], rank, like=weight)
        self.shift = self.slot_parameter(weight.shape[0], like=weight)

    def reset_slot(self, slot: int, generator: torch.Generator) -> None:
        """Draw `down` from U(-1/sqrt(i), 1/sqrt(i)); `up` and `shift` are zero."""
        shape = self.down.shape[1:]
        self.down.data[slot] = uniform(shape, shape[1] ** -0.5, generator)
        self.up.data[slot] = 0
        self.shift.data[slot] = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, L, i) to (B, L, o), or (B, i) to (B, o)."""
        return self.base(x) + self.rows.linear(self.rows.linear(x, self.down), self.up, self.shift)

    def merged(self, slot: int) -> nn.Linear:
        """Return a linear layer with the weight W + up down and the bias b + shift, computed in float32 or wider."""
        plain = self.plain_base(slot)
        wide = torch.promote_types(plain.weight.dtype, torch.float32)
        weight = plain.weight.to(wide) + self.up[slot].to(wide) @ self.down[slot].to(wide)  # (o, i)
        bias = self.shift[slot].to(wide) if plain.bias is None else plain.bias.to(wide) + self.shift[slot].to(wide)
        merged = with_parameters(plain, weight, bias)
        if plain.bias is None:
            merged.bias = nn.Parameter(bias.detach().to(weight.dtype))
        return merged
