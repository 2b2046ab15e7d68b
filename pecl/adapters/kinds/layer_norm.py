"""A copy per slot of the LayerNorms after attention and feed-forward, in every layer.

The released code unfreezes them next to LoRA, adapter and compacter. The copies start at the tower's own values, so a
fresh layer is the identity.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn
from torch.nn import functional as F

from pecl.adapters.kind import COPY_OF_LAYER, NORM_ROLES, AdapterConfig, Placement, layers_option
from pecl.adapters.slots import SlotCopy
from pecl.encoders.text import MultilingualTextEncoder
from pecl.options import option


@dataclass(frozen=True)
class LayerNormConfig(AdapterConfig):
    """Trainable LayerNorms."""

    kind: ClassVar[str] = "layernorm"
    level: ClassVar[int] = COPY_OF_LAYER
    target_modules: tuple[str, ...] = option(NORM_ROLES, "roles of the LayerNorms", choices=NORM_ROLES)
    layers: str | None = layers_option()

    def placements(self, tower: MultilingualTextEncoder) -> list[Placement]:
        """Return a copy for each LayerNorm of the targets."""
        return self.at_roles(tower, self.target_modules, SlotLayerNorm)


class SlotLayerNorm(SlotCopy):
    """A LayerNorm with weight (S, d) and bias (S, d)."""

    bias: nn.Parameter

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalise (B, L, d) over d, then scale and shift by each row's slot."""
        shape, eps = self.base.normalized_shape, self.base.eps
        if self.rows.groups is None or (self.rows.one_by_one and x.device.type == "cpu"):  # on GPUs, launches cost more

            def layer(rows: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
                return F.layer_norm(rows, shape, weight, bias, eps)

            return self.rows.each(x, layer, self.weight, self.bias)
        scale, shift = self.rows.spread(self.weight, x), self.rows.spread(self.bias, x)
        return torch.addcmul(shift, F.layer_norm(x, shape, eps=eps), scale)  # (B, L, d)
