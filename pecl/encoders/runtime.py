"""`Runtime`: another package that computes the layers of a tower in place of PyTorch. An application sets it."""

from typing import Any, Protocol

import torch


class Runtime(Protocol):
    """A package with a compiled form of a tower's backbone.

    A text tower calls it as a pass, with itself and the inputs of the pass, for the input (B, d) of its head. An image
    tower calls it with pixels (B, 3, H, W), for features (B, F).
    """

    name: str  # package and version, which are recorded
    precision: str  # fp32 or bf16

    def __call__(self, *inputs: Any, **options: Any) -> torch.Tensor:
        """Compute the backbone."""
        ...
