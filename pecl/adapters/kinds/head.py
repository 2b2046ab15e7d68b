"""Every slot its own copy of a whole linear layer: the tower's head, or the backbone's pooler.

Copies start at the tower's own values, so a fresh layer is the identity.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from pecl.adapters.kind import COPY_OF_LAYER, AdapterConfig, Placement
from pecl.adapters.roles import paths_of
from pecl.adapters.slots import SlotModule, SlotRows, with_parameters
from pecl.encoders.text import MultilingualTextEncoder
from pecl.errors import ConfigError
from pecl.options import option


@dataclass(frozen=True)
class HeadConfig(AdapterConfig):
    """The linear layer behind the pooling, trained."""

    kind: ClassVar[str] = "head"
    level: ClassVar[int] = COPY_OF_LAYER
    lr_scale: float = option(1.0, "the head's learning rate is the run's times this", low=0)

    def placements(self, tower: MultilingualTextEncoder) -> list[Placement]:
        """Return the copies of the head's linear layers: usually one.

        Raises:
            ConfigError: the head has none.
        """
        layers = tower.head.named_modules(prefix="head")
        placements = [Placement(path, SlotLinear) for path, layer in layers if isinstance(layer, nn.Linear)]
        if not placements:
            raise ConfigError(f"head: the text tower {tower.name!r} has no linear layer behind its pooling")
        return placements


@dataclass(frozen=True)
class PoolerConfig(AdapterConfig):
    """The backbone's pooler, which the release's run_cross.py unfreezes.

    The embeddings do not depend on it (they are pooled from the tokens), so no gradient reaches it: it only counts.
    A backbone that was built without one, as pecl does, gets nothing.
    """

    kind: ClassVar[str] = "pooler"
    level: ClassVar[int] = COPY_OF_LAYER

    def placements(self, tower: MultilingualTextEncoder) -> list[Placement]:
        """Return the copy of the pooler, where there is one."""
        if getattr(tower.backbone, "pooler", None) is None:
            return []
        return [Placement(f"backbone.{path}", SlotLinear) for path in paths_of(tower.backbone, "pooler")]


class SlotLinear(SlotModule):
    """A linear layer with weight (S, o, i) and bias (S, o)."""

    def __init__(self, base: nn.Linear, rows: SlotRows) -> None:
        super().__init__(base, rows)
        self.weight = self.slot_parameter(*base.weight.shape, like=base.weight)
        self.bias = None if self.base.bias is None else self.slot_parameter(*base.bias.shape, like=base.bias)

    def reset_slot(self, slot: int, generator: torch.Generator) -> None:
        """Copy the tower's own weight and bias."""
        for name, parameter in self.slot_parameters().items():
            parameter.data[slot] = getattr(self.base, name).detach()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, L, i) to (B, L, o), or (B, i) to (B, o)."""
        return self.rows.linear(x, self.weight, self.bias)

    def merged(self, slot: int) -> nn.Linear:
        """Return a linear layer with the slot's weight and bias."""
        return with_parameters(self.base, self.weight[slot], None if self.bias is None else self.bias[slot])
