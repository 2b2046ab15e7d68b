"""BitFit on slots: every bias of the transformer layers is trained, nothing else.

Ben Zaken, Goldberg, Ravfogel, "BitFit: Simple Parameter-efficient Fine-tuning for Transformer-based Masked
Language-models", ACL 2022. A slot holds the change of the bias, so a fresh module is the identity.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from pecl.adapters.kind import BIAS_OF_LAYER, LINEAR_ROLES, NORM_ROLES, AdapterConfig, Placement, layers_option
from pecl.adapters.slots import SlotModule, SlotRows, innermost, with_parameters
from pecl.encoders.text import MultilingualTextEncoder
from pecl.options import option


@dataclass(frozen=True)
class BitFitConfig(AdapterConfig):
    """Trainable biases."""

    kind: ClassVar[str] = "bitfit"
    level: ClassVar[int] = BIAS_OF_LAYER
    target_modules: tuple[str, ...] = option(
        LINEAR_ROLES + NORM_ROLES, "roles of the adapted layers", choices=LINEAR_ROLES + NORM_ROLES
    )
    layers: str | None = layers_option()

    def placements(self, tower: MultilingualTextEncoder) -> list[Placement]:
        """Return a bias for each target."""
        return self.at_roles(tower, self.target_modules, SlotBias)


class SlotBias(SlotModule):
    """A linear layer or LayerNorm with S additions to its bias: bias_offset (S, o)."""

    def __init__(self, base: nn.Module, rows: SlotRows) -> None:
        super().__init__(base, rows)
        bias = innermost(base).bias
        self.bias_offset = self.slot_parameter(*bias.shape, like=bias)

    def reset_slot(self, slot: int, generator: torch.Generator) -> None:
        """Fill with zeros."""
        self.bias_offset.data[slot] = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, L, i) to (B, L, o)."""
        return self.base(x) + self.rows.spread(self.bias_offset, x)  # (B, L, o)

    def merged(self, slot: int) -> nn.Module:
        """Return a layer of the same kind with the slot's bias."""
        plain = self.plain_base(slot)
        return with_parameters(plain, plain.weight, plain.bias + self.bias_offset[slot])
