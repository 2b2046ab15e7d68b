"""The end of a padded pass whose tower pools only the last position, as SigLIP's does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from pecl.encoders import layers
from pecl.errors import not_none

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def run_to_last_position(
    backbone: PreTrainedModel, hidden: torch.Tensor, mask: torch.Tensor | None, start: int = 0
) -> torch.Tensor:
    """Run states (B, L, d) through the layers from `start` on, and return the last position (B, 1, d) of the last one.

    The last layer needs a query, an output and a feed-forward layer only at that position.
    """
    family = layers.known_family(backbone)
    last = len(family.layers_of(backbone)) - 1
    hidden = layers.run_layers(backbone, hidden, start=start, stop=last, mask=mask)
    top = not_none(family.top, "the family's last layer for one position")
    return family.finish(backbone, top(family.layers_of(backbone)[last], hidden, mask))
