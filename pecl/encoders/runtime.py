"""`Runtime`: another package that computes the layers of a tower in place of PyTorch. An application sets it."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

import torch

from pecl.machine import one_thread


class Runtime(Protocol):
    """A package with a compiled form of a tower's backbone.

    A text tower calls it as a pass, with itself and the inputs of the pass, for the input (B, d) of its head. An image
    tower calls it with pixels (B, 3, H, W), for features (B, F).
    """

    name: str  # package and version, which are recorded
    precision: str  # fp32 or bf16

    def computes(self, tower: Any) -> bool:
        """Whether it has a compiled form of the tower with its adapter; PyTorch computes the others."""
        ...

    def __call__(self, *inputs: Any, **options: Any) -> torch.Tensor:
        """Compute the backbone."""
        ...


def threads_beside(runtime: Runtime | None) -> AbstractContextManager[None]:
    """Let PyTorch compute with one thread within the body if a runtime computes the layers.

    Little is left to PyTorch, such as the head. Its threads would wait for more work in a busy loop, on the cores that
    the runtime's threads need.
    """
    return nullcontext() if runtime is None else one_thread()
