"""The moving average of weights: what a training ends with where its last steps are noisy."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import torch


class Average:
    """The exponential moving average of parameters: a <- decay a + (1 - decay) p after each step.

    Args:
        parameters: what is averaged; the average begins at their values.
        decay: in (0, 1).
    """

    def __init__(self, parameters: Sequence[torch.Tensor], decay: float) -> None:
        self.parameters, self.decay = list(parameters), decay
        self.values = [parameter.detach().clone() for parameter in self.parameters]

    def update(self) -> None:
        """Take the parameters' present values in."""
        for value, parameter in zip(self.values, self.parameters, strict=True):
            value.lerp_(parameter.detach(), 1 - self.decay)

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """Let the parameters have the average's values in the body."""
        kept = [parameter.detach().clone() for parameter in self.parameters]
        self.fill()
        try:
            yield
        finally:
            _copy(kept, self.parameters)

    def fill(self) -> None:
        """Give the parameters the average's values."""
        _copy(self.values, self.parameters)


def _copy(values: Sequence[torch.Tensor], parameters: Sequence[torch.Tensor]) -> None:
    for parameter, value in zip(parameters, values, strict=True):
        parameter.data.copy_(value)
