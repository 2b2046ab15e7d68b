"""LoRA on slots: h = W x + (alpha / r) B A x, with A and B of each row's own slot.

Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", ICLR 2022, equation 3. A starts Kaiming-uniform and
B at zero, so a fresh layer is the identity.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from pecl.adapters.kind import LINEAR_ROLES, WEIGHT_OF_LAYER, AdapterConfig, Placement, layers_option
from pecl.adapters.slots import SlotModule, SlotRows, innermost, uniform, with_parameters
from pecl.encoders.text import MultilingualTextEncoder
from pecl.errors import ConfigError
from pecl.options import option


@dataclass(frozen=True)
class LoraConfig(AdapterConfig):
    """Low-rank updates of linear layers."""

    kind: ClassVar[str] = "lora"
    level: ClassVar[int] = WEIGHT_OF_LAYER
    r: int = option(8, "rank, at most the layer's smaller width", low=1)
    lora_alpha: float = option(16.0, "the update is scaled by lora_alpha / r")
    lora_dropout: float = option(0.0, "probability of dropping an input of A in training with dropout", low=0, high=1)
    target_modules: tuple[str, ...] = option(
        ("query", "value"), "roles of the adapted layers", choices=LINEAR_ROLES, pattern=True
    )
    layers: str | None = layers_option()

    def placements(self, tower: MultilingualTextEncoder) -> list[Placement]:
        """Return a low-rank layer for each target."""
        return self.at_roles(tower, self.target_modules, lambda base, rows: SlotLora(base, rows, self))


class SlotLora(SlotModule):
    """A linear layer with S low-rank updates: lora_A (S, r, i), lora_B (S, o, r)."""

    def __init__(self, base: nn.Module, rows: SlotRows, config: LoraConfig) -> None:
        super().__init__(base, rows)
        weight = innermost(base).weight  # (o, i)
        if not 1 <= config.r <= min(weight.shape):
            raise ConfigError(f"lora: r: expected 1 to {min(weight.shape)}, the layer's smaller width, got {config.r}")
        self.scaling = config.lora_alpha / config.r
        self.dropout = nn.Dropout(config.lora_dropout)
        self.dropout.training = self.training
        self.lora_A = self.slot_parameter(config.r, weight.shape[1], like=weight)
        self.lora_B = self.slot_parameter(weight.shape[0], config.r, like=weight)

    def reset_slot(self, slot: int, generator: torch.Generator) -> None:
        """A: Kaiming-uniform with a = sqrt(5), which is U(-1/sqrt(i), 1/sqrt(i)); B: zeros."""
        shape = self.lora_A.shape[1:]
        self.lora_A.data[slot] = uniform(shape, 1 / math.sqrt(shape[1]), generator)
        self.lora_B.data[slot] = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, L, i) to (B, L, o)."""
        low = self.rows.linear(self.dropout(x), self.lora_A)  # (B, L, r)
        return self.rows.add_linear(self.base(x), low, self.lora_B, self.scaling)  # (B, L, o)

    def merged(self, slot: int) -> nn.Linear:
        """Return a linear layer with the weight W + scaling * B A, computed in float32 or wider."""
        plain = self.plain_base(slot)
        wide = torch.promote_types(plain.weight.dtype, torch.float32)
        update = self.scaling * self.lora_B[slot].to(wide) @ self.lora_A[slot].to(wide)  # (o, i)
        return with_parameters(plain, plain.weight.to(wide) + update, plain.bias)
