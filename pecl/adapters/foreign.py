"""`ForeignAdapter`: modules of another package in the encoder, perhaps with slot modules of pecl next to them.

An engine implements it: `put_on` and `remove`, `own_parameters`, and perhaps `own_tensors` and `steps`. Its modules
have one slot, so their tensors have no slot dimension.
"""

import math
from collections.abc import Iterator, Sequence

import torch
from torch import nn

from pecl.adapters.adapter import Adapter
from pecl.errors import ConfigError, FleetSizeError


class ForeignAdapter(Adapter):
    """An adapter of at most one slot, whose modules in the encoder another package made."""

    def own_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Yield the name and value of each parameter that the package trains, always the same ones in one order."""
        raise NotImplementedError

    def own_tensors(self) -> Iterator[tuple[str, torch.Tensor]]:
        """Yield the name and value of all that an adapter file needs: the parameters, and what is not trained."""
        return self.own_parameters()

    @staticmethod
    def check_slots(engine: str, slots: int) -> None:
        """Raise FleetSizeError for several slots."""
        if slots > 1:
            raise FleetSizeError(f"expected 1 with engine {engine}, got {slots}; or use engine pecl", field="fleet")

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Yield the parameters (S, ...) of slot modules, then those of the package, without a slot dimension."""
        yield from super().named_parameters()
        yield from self.own_parameters()

    def named_tensors(self) -> Iterator[tuple[str, torch.Tensor]]:
        """Yield what a slot holds, each (S, ...); those of the package are views (1, ...) of its tensors."""
        yield from super().named_tensors()
        for name, tensor in self.own_tensors():
            yield name, tensor.detach().unsqueeze(0)

    def num_parameters(self) -> int:
        """Return the number of trainable parameters."""
        of_slots = sum(math.prod(parameter.shape[1:]) for _, parameter in super().named_parameters())
        return of_slots + sum(parameter.numel() for _, parameter in self.own_parameters())

    def learning_rate_scales(self) -> dict[str, float]:
        """Return the factor on the run's learning rate for each parameter: 1 for those of the package."""
        return super().learning_rate_scales() | {name: 1.0 for name, _ in self.own_parameters()}

    def rearrange(self, slots: Sequence[int], new: int = 0) -> None:
        """Keep the only slot, or make one; raise ConfigError for several."""
        if len(slots) + new > 1:
            raise ConfigError(
                f"expected one slot for modules of another package, got {len(slots) + new}", field="adapter"
            )
        super().rearrange(slots, new)
