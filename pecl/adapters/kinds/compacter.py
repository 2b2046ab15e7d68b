"""Compacter on slots: a bottleneck whose two weights are sums of Kronecker products.

Karimi Mahabadi, Henderson, Ruder, "Compacter: Efficient Low-Rank Hypercomplex Adapter Layers", NeurIPS 2021, equations
4 and 5: H = sum over s of A_s (n, n) Kronecker B_s (i/n, o/n), with B_s = left_s right_s of rank k. As in the method's
release (OpenDelta's `CompacterModel`), every layer has its own trained A (the paper shares them across layers).
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from pecl.adapters.kind import ACTIVATIONS, LINEAR_ROLES, AdapterConfig, Placement, layers_option
from pecl.adapters.slots import SlotModule, SlotRows, innermost, normal, uniform
from pecl.encoders.text import MultilingualTextEncoder
from pecl.errors import ConfigError
from pecl.options import option


@dataclass(frozen=True)
class CompacterConfig(AdapterConfig):
    """Bottlenecks of parameterised hypercomplex multiplication (PHM) layers, after linear layers."""

    kind: ClassVar[str] = "compacter"
    reduction_factor: int = option(16, "the width between the two layers is m = d // reduction_factor", low=1)
    phm_dim: int = option(4, "number n of Kronecker products; divides d and m", low=1)
    phm_rank: int = option(1, "rank k of the second factor of each product", low=1)
    non_linearity: str = option("relu", "function between the two layers", choices=tuple(ACTIVATIONS))
    identity_start: bool = option(True, "start the second layer at zero; false draws it as OpenDelta does")
    target_modules: tuple[str, ...] = option(
        ("attention_output", "output"), "roles of the adapted layers", choices=LINEAR_ROLES, pattern=True
    )
    layers: str | None = layers_option()

    def placements(self, tower: MultilingualTextEncoder) -> list[Placement]:
        """Return a compacter for each target."""
        return self.at_roles(tower, self.target_modules, lambda base, rows: SlotCompacter(base, rows, self))


def phm_weight(rule: torch.Tensor, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """Return the weight of PHM layers, to be used as x @ weight.mT.

    Args:
        rule: (S, n, n, n), A_s.
        left: (S, n, i/n, k).
        right: (S, n, k, o/n).

    Returns:
        (S, o, i): weight[:, c * o/n + q, a * i/n + p] = sum over s of rule[:, s, a, c] (left right)[:, s, p, q].
    """
    product = torch.einsum("zsac,zspq->zcqap", rule, left @ right)  # (S, n, o/n, n, i/n)
    return product.flatten(3).flatten(1, 2)  # (S, o, i)


class SlotCompacter(SlotModule):
    """A linear layer with S pairs of PHM layers after it: for down (i = d, o = m) and up (i = m, o = d).

    Each pair has a rule (S, n, n, n), left (S, n, i/n, k), right (S, n, k, o/n) and bias (S, o).
    """

    cannot_merge = "a compacter is not linear"

    def __init__(self, base: nn.Module, rows: SlotRows, config: CompacterConfig) -> None:
        super().__init__(base, rows)
        weight = innermost(base).weight  # (d, i)
        n = config.phm_dim
        d = weight.shape[0]
        m = d // config.reduction_factor
        if m == 0 or d % n or m % n:
            raise ConfigError(
                f"compacter: phm_dim: expected a divisor of the layer's width {d} and of the width between the layers "
                f"{d} // {config.reduction_factor} = {m}, got {n}"
            )

        self.activation = ACTIVATIONS[config.non_linearity]
        self.identity_start = config.identity_start
        for name, i, o in (("down", d, m), ("up", m, d)):
            shapes = {
                "rule": (n, n, n),
                "left": (n, i // n, config.phm_rank),
                "right": (n, config.phm_rank, o // n),
                "bias": (o,),
            }
            for part, shape in shapes.items():
                self.register_parameter(f"{name}_{part}", self.slot_parameter(*shape, like=weight))

    def reset_slot(self, slot: int, generator: torch.Generator) -> None:
        """Factors: Glorot-uniform with gain sqrt(2); rules: N(0, 0.01^2); biases: zeros; identity: left of up zeros."""
        for name in ("down", "up"):
            rule, left, right, bias = self._layer(name)
            for factor in (left, right):
                rows, columns = factor.shape[-2:]
                bound = math.sqrt(2) * math.sqrt(6 / (rows + columns))
                factor.data[slot] = uniform(factor.shape[1:], bound, generator)
            rule.data[slot] = normal(rule.shape[1:], 0.01, generator)
            bias.data[slot] = 0

        if self.identity_start:
            _, left, _, _ = self._layer("up")
            left.data[slot] = 0

    def _layer(self, name: str) -> tuple[nn.Parameter, nn.Parameter, nn.Parameter, nn.Parameter]:
        return tuple(getattr(self, f"{name}_{part}") for part in ("rule", "left", "right", "bias"))

    def _phm(self, x: torch.Tensor, name: str) -> torch.Tensor:
        *factors, bias = self._layer(name)
        return self.rows.linear(x, phm_weight(*factors), bias)  # (B, L, o)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, L, i) to (B, L, d)."""
        hidden = self.base(x)  # (B, L, d)
        low = self.activation(self._phm(hidden, "down"))  # (B, L, m)
        return hidden + self._phm(low, "up")  # (B, L, d)
