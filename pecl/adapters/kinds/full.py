"""Full fine-tuning on slots: each slot has a copy of the whole tower, except for a pooler, which nothing uses.

The upper bound that the small adapters are compared with. S slots cost S towers of memory.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from pecl.adapters.kind import COPY_OF_LAYER, AdapterConfig, Placement
from pecl.adapters.kinds.head import SlotLinear
from pecl.adapters.kinds.layer_norm import SlotLayerNorm
from pecl.adapters.slots import SlotCopy, SlotModule
from pecl.encoders.text import MultilingualTextEncoder
from pecl.errors import ConfigError
from pecl.machine import FP32


@dataclass(frozen=True)
class FullConfig(AdapterConfig):
    """All weights of the tower."""

    kind: ClassVar[str] = "full"
    level: ClassVar[int] = COPY_OF_LAYER

    def placements(self, tower: MultilingualTextEncoder) -> list[Placement]:
        """Return a copy of each layer that has parameters. Raise ConfigError for one that cannot be copied."""
        if tower.precision != FP32:
            raise ConfigError(f"full: expected the precision fp32, which trains all weights, got {tower.precision}")

        placements = []
        for path, module in tower.named_modules():
            if not any(True for _ in module.parameters(recurse=False)) or path.startswith("backbone.pooler."):
                continue
            if type(module) not in COPIES:
                class_names = ", ".join(layer.__name__ for layer in COPIES)
                raise ConfigError(f"full: {path} is a {type(module).__name__}, expected one of {class_names}")
            placements.append(Placement(path, COPIES[type(module)]))

        return placements


class SlotEmbedding(SlotCopy):
    """An embedding with weight (S, V, d)."""

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Map ids (B, L), or (1, L) when they are the same for all rows, to (B, L, d)."""
        return self.rows.embed(ids, self.weight)

    def merged(self, slot: int) -> nn.Embedding:
        """Return an embedding with the slot's weight."""
        weight = self.weight[slot].detach().clone()
        return nn.Embedding.from_pretrained(weight, padding_idx=self.base.padding_idx)


COPIES: dict[type[nn.Module], type[SlotModule]] = {
    nn.Linear: SlotLinear,
    nn.LayerNorm: SlotLayerNorm,
    nn.Embedding: SlotEmbedding,
}
