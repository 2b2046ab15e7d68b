"""`LossState`: parameters and buffers of the losses of all slots: trained, saved and restored with the runs."""

import pickle
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from pecl.errors import ConfigError
from pecl.training.optimizer import SlotAdam

_PREFIX = "loss."


class LossState:
    """Trains the losses' own parameters by Adam, and has their tensors for the saved state of a training.

    `losses` has the loss of each slot. One that is no `torch.nn.Module` has neither parameters nor state.
    """

    def __init__(self, losses: Sequence[Any], device: torch.device) -> None:
        self.losses = {slot: loss.to(device) for slot, loss in enumerate(losses) if isinstance(loss, nn.Module)}
        self.parameters = {slot: list(loss.parameters()) for slot, loss in self.losses.items()}
        # the same memory as one slot each, (1, ...)
        self.stacked = {
            slot: [nn.Parameter(parameter.data[None]) for parameter in parameters]
            for slot, parameters in self.parameters.items()
        }
        self.optimizers = {
            slot: SlotAdam(stacked, [1.0] * len(stacked)) for slot, stacked in self.stacked.items() if stacked
        }
        self._plain = dict(self._plain_attributes())

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for parameters in self.parameters.values():
            for parameter in parameters:
                parameter.grad = None

    def step(self, rates: torch.Tensor, number: int) -> None:
        """Update the parameters with the learning rates (S,) of the slots; `number` is 1 in the first step."""
        for slot, optimizer in self.optimizers.items():
            for stacked, parameter in zip(self.stacked[slot], self.parameters[slot], strict=True):
                stacked.grad = None if parameter.grad is None else parameter.grad[None]
            optimizer.step(rates[slot : slot + 1], number)

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return all that a resumed run needs, by name.

        Raises:
            ConfigError: a loss keeps state where it is not saved.
        """
        for name, content in self._plain_attributes():
            if self._plain.get(name, content) != content:
                raise ConfigError(
                    f"loss: expected its state in buffers (register_buffer of a torch.nn.Module), which are saved, "
                    f"got a change of {name}"
                )

        tensors: dict[str, torch.Tensor] = {}
        for slot, loss in self.losses.items():
            tensors |= {f"{_PREFIX}{slot}.{name}": tensor for name, tensor in loss.state_dict().items()}
        for slot, optimizer in self.optimizers.items():
            tensors |= {f"{_PREFIX}{slot}/{name}": tensor for name, tensor in optimizer.state_tensors().items()}
        return tensors

    @torch.no_grad()
    def restore(self, saved: Mapping[str, torch.Tensor]) -> None:
        """Put back what `tensors` returned. A buffer may have grown meanwhile."""
        for slot, optimizer in self.optimizers.items():
            for name, tensor in optimizer.state_tensors().items():
                tensor.copy_(saved[f"{_PREFIX}{slot}/{name}"])

        for slot, loss in self.losses.items():
            parameters = dict(loss.named_parameters())
            prefix = f"{_PREFIX}{slot}."
            for key, tensor in saved.items():
                if not key.startswith(prefix):
                    continue
                name = key.removeprefix(prefix)
                if name in parameters:
                    parameters[name].copy_(tensor)
                else:
                    path, _, buffer = name.rpartition(".")
                    device = next((value.device for value in loss.buffers()), tensor.device)
                    setattr(loss.get_submodule(path), buffer, tensor.to(device))

    def _plain_attributes(self) -> Iterator[tuple[str, bytes]]:
        """Yield name and content of each attribute of the losses that is neither parameter nor buffer."""
        for slot, loss in self.losses.items():
            owners: list[Any] = []
            for module in loss.modules():
                owners += [module, *getattr(module, "functions", {}).values()]
            for number, owner in enumerate(owners):
                for name, value in getattr(owner, "__dict__", {}).items():
                    if name.startswith("_") or name in ("training", "functions"):
                        continue
                    try:
                        content = pickle.dumps(value)
                    except Exception:  # a value may refuse to be pickled with any error
                        continue
                    yield f"{type(owner).__name__}.{name} ({slot}, {number})", content
