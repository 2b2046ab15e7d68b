"""A text tower whose frozen matrices are held and multiplied in bfloat16.

Nearly all the time of a pass is spent in the linear layers of the transformer. Their weights are held once, in half the
memory, and multiplied in bfloat16. All else stays fp32: states between layers, attention, LayerNorms, the head, and
every parameter that is trained. On a CPU that is faster than computing everything in bfloat16 (docs/notes.md).
"""

import logging

import torch
from torch import nn
from torch.nn import functional as F

from pecl.errors import ConfigError
from pecl.machine import cpu_multiplies_bfloat16

logger = logging.getLogger(__name__)


class Bfloat16Linear(nn.Linear):
    """A frozen linear layer with the weight (o, i) of `plain` in bfloat16; input, output and bias keep their type."""

    def __init__(self, plain: nn.Linear) -> None:
        nn.Module.__init__(self)  # nn.Linear.__init__ would fill a weight with random numbers
        self.in_features, self.out_features = plain.in_features, plain.out_features
        self.weight = nn.Parameter(plain.weight.detach().bfloat16(), requires_grad=False)
        self.bias = plain.bias
        self.training = plain.training

    def widened(self) -> nn.Linear:
        """Return a plain layer with the rounded weight in the type of the bias, or in float32 without a bias."""
        dtype = torch.float32 if self.bias is None else self.bias.dtype
        plain = nn.Linear(self.in_features, self.out_features, self.bias is not None, device="meta")
        plain.weight = nn.Parameter(self.weight.detach().to(dtype), requires_grad=False)
        plain.bias = self.bias
        return plain.train(self.training)

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Map (..., i) to (..., o)."""
        bias = None if self.bias is None else self.bias.bfloat16()
        return F.linear(input.bfloat16(), self.weight, bias).to(input.dtype)


def check_bfloat16(device: str | torch.device) -> None:
    """Raise ConfigError for a device that cannot multiply in bfloat16; warn of a CPU that does it slowly."""
    device = torch.device(device)
    try:
        one = torch.ones(1, 1, dtype=torch.bfloat16, device=device)
        can = (one @ one).item() == 1 and (device.type != "cuda" or torch.cuda.is_bf16_supported(False))
    except (RuntimeError, TypeError):
        can = False
    if not can:
        raise ConfigError(f"precision: expected fp32 on the device {device}, which has no bf16, got bf16")
    if device.type == "cpu" and not cpu_multiplies_bfloat16():
        logger.warning("precision bf16: this processor has neither AVX512-BF16 nor AMX, so fp32 is faster here")
