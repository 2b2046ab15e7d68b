"""The moving average of weights: what a training ends with where its last steps are noisy."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import torch

from pecl.encoders.devices import to_device


class Average:
    """The exponential moving average of parameters: a <- decay a + (1 - decay) p after each step.

    Args:
        parameters: parameters to average; the average begins at their values.
        decay: in (0, 1).
    """

    def __init__(self, parameters: Sequence[torch.Tensor], decay: float) -> None:
        self.parameters, self.decay = list(parameters), decay
        self.values = [parameter.detach().clone() for parameter in self.parameters]

    def update(self, learns: Sequence[bool] = (True,)) -> None:
        """Update the average with the current parameters (S, ...) of the slots that learn."""
        for value, parameter in zip(self.values, self.parameters, strict=True):
            if all(learns):
                value.lerp_(parameter.detach(), 1 - self.decay)
                continue
            share = to_device((1 - self.decay) * torch.tensor(learns, dtype=value.dtype), value.device)  # (S,)
            value.lerp_(parameter.detach(), share.view(-1, *[1] * (value.dim() - 1)))

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """Set the parameters to the average within the body."""
        kept = [parameter.detach().clone() for parameter in self.parameters]
        self.fill()
        try:
            yield
        finally:
            _copy(kept, self.parameters)

    def fill(self) -> None:
        """Set the parameters to the average."""
        _copy(self.values, self.parameters)


def _copy(values: Sequence[torch.Tensor], parameters: Sequence[torch.Tensor]) -> None:
    for parameter, value in zip(parameters, values, strict=True):
        parameter.data.copy_(value)
