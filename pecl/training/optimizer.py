"""`SlotAdam`: Adam with one learning rate per slot. `Average`: the moving average of weights."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import ClassVar

import torch
from torch import nn

from pecl.encoders.memory import to_device


class SlotAdam:
    """Adam without weight decay for parameters (S, ...), each slot with its own learning rate.

    Kingma & Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015, algorithm 1; the
    arithmetic is that of `torch.optim.Adam`, which takes one learning rate for a whole tensor and
    so cannot serve a fleet. `scales` has a factor on the learning rate for each parameter, in their order.
    """

    tensors_per_parameter: ClassVar[int] = 2  # the two moments

    def __init__(self, parameters: Sequence[nn.Parameter], scales: Sequence[float]) -> None:
        self.parameters = list(parameters)
        self.scales = list(scales)
        self.exp_avg = [torch.zeros_like(parameter) for parameter in self.parameters]
        self.exp_avg_sq = [torch.zeros_like(parameter) for parameter in self.parameters]

    def state_tensors(self) -> dict[str, torch.Tensor]:
        """Return the tensors that a step changes, by name: all that a resumed run needs."""
        lists = {"exp_avg": self.exp_avg, "exp_avg_sq": self.exp_avg_sq}
        return {f"{name}.{i}": value for name, values in lists.items() for i, value in enumerate(values)}

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for parameter in self.parameters:
            parameter.grad = None

    @torch.no_grad()
    def step(self, lrs: torch.Tensor, number: int) -> None:
        """Update all parameters with the learning rates `lrs` (S,) of the slots, on the CPU.

        `number` is 1 in the first step of a training. A missing gradient counts as zero. A parameter
        that requires none, since its adapter froze it, stays as it is.
        """
        beta1 = 0.9
        beta2 = 0.999
        eps = 1e-8
        correction1 = 1 - beta1**number
        correction2 = (1 - beta2**number) ** 0.5
        first = self.parameters[0]
        step_sizes = {  # (S,)
            scale: to_device((lrs * (scale / correction1)).to(first.dtype), first.device) for scale in set(self.scales)
        }

        for parameter, scale, exp_avg, exp_avg_sq in zip(
            self.parameters, self.scales, self.exp_avg, self.exp_avg_sq, strict=True
        ):
            if not parameter.requires_grad:
                continue
            grad = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            exp_avg.lerp_(grad, 1 - beta1)
            exp_avg_sq.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
            denominator = exp_avg_sq.sqrt().div_(correction2).add_(eps)
            step_size = step_sizes[scale].view(-1, *[1] * (parameter.dim() - 1))  # (S, 1, ...)
            parameter.addcdiv_(step_size * exp_avg, denominator, value=-1)


class Average:
    """The exponential moving average of parameters, which starts at their values: a <- decay a + (1 - decay) p."""

    tensors_per_parameter: ClassVar[int] = 1

    def __init__(self, parameters: Sequence[torch.Tensor], decay: float) -> None:
        self.parameters = list(parameters)
        self.decay = decay
        self.values = [parameter.detach().clone() for parameter in self.parameters]

    def state_tensors(self) -> dict[str, torch.Tensor]:
        """Return the averages by name."""
        return {f"average.{i}": value for i, value in enumerate(self.values)}

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
        values = [parameter.detach().clone() for parameter in self.parameters]
        self.fill()
        try:
            yield
        finally:
            self.fill(values)

    def fill(self, values: Sequence[torch.Tensor] | None = None) -> None:
        """Set the parameters to the average, or to other values."""
        for parameter, value in zip(self.parameters, self.values if values is None else values, strict=True):
            parameter.data.copy_(value)
