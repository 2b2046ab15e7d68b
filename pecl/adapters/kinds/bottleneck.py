"""Bottleneck adapter on slots: h + W_up f(W_down h + b_down) + b_up, with h the output of a frozen linear layer.

Houlsby et al., "Parameter-Efficient Transfer Learning for NLP", ICML 2019, placed and sized as in the method's release
(OpenDelta's `AdapterModel`): after the dense layers that end attention and feed-forward, before the residual sum.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from pecl.adapters.kind import ACTIVATIONS, LINEAR_ROLES, AdapterConfig, Placement, layers_option
from pecl.adapters.slots import SlotModule, SlotRows, innermost, normal
from pecl.encoders.text import MultilingualTextEncoder
from pecl.errors import ConfigError
from pecl.options import option


@dataclass(frozen=True)
class BottleneckConfig(AdapterConfig):
    """Small two-layer networks after linear layers."""

    kind: ClassVar[str] = "bottleneck"
    bottleneck_dim: int = option(24, "width m between the two layers", low=1)
    non_linearity: str = option("gelu_new", "function between the two layers", choices=tuple(ACTIVATIONS))
    identity_start: bool = option(True, "start W_up at zero; false draws it from N(0, 0.01^2), as OpenDelta does")
    target_modules: tuple[str, ...] = option(
        ("attention_output", "output"), "roles of the adapted layers", choices=LINEAR_ROLES, pattern=True
    )
    layers: str | None = layers_option()

    def placements(self, tower: MultilingualTextEncoder) -> list[Placement]:
        """Return a bottleneck for each target."""
        return self.at_roles(tower, self.target_modules, lambda base, rows: SlotBottleneck(base, rows, self))


class SlotBottleneck(SlotModule):
    """A linear layer with S bottlenecks after it: down (S, m, d), (S, m); up (S, d, m), (S, d)."""

    cannot_merge = "a bottleneck adapter is not linear"

    def __init__(self, base: nn.Module, rows: SlotRows, config: BottleneckConfig) -> None:
        super().__init__(base, rows)
        weight, m = innermost(base).weight, config.bottleneck_dim  # (d, i)
        d = weight.shape[0]
        if m > d:
            raise ConfigError(f"bottleneck: bottleneck_dim: expected 1 to the layer's width {d}, got {m}")
        self.activation = ACTIVATIONS[config.non_linearity]
        self.identity_start = config.identity_start
        self.down_weight = self.slot_parameter(m, d, like=weight)
        self.down_bias = self.slot_parameter(m, like=weight)
        self.up_weight = self.slot_parameter(d, m, like=weight)
        self.up_bias = self.slot_parameter(d, like=weight)

    def reset_slot(self, slot: int, generator: torch.Generator) -> None:
        """Weights: N(0, 0.01^2), or zeros for W_up when it starts as the identity; biases: zeros."""
        self.down_weight.data[slot] = normal(self.down_weight.shape[1:], 0.01, generator)
        up = 0.0 if self.identity_start else normal(self.up_weight.shape[1:], 0.01, generator)
        self.up_weight.data[slot] = up
        self.down_bias.data[slot] = 0
        self.up_bias.data[slot] = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, L, i) to (B, L, d)."""
        hidden = self.base(x)  # (B, L, d)
        low = self.activation(self.rows.linear(hidden, self.down_weight, self.down_bias))  # (B, L, m)
        return hidden + self.rows.linear(low, self.up_weight, self.up_bias)  # (B, L, d)
