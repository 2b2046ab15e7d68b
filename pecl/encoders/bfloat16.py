"""A text tower whose frozen matrices are held and multiplied in bfloat16, in one of two forms.

Nearly all the time of a pass is spent in the linear layers of the transformer. In both forms their
weights are held once, in half the memory, and multiplied in bfloat16. The parameters of LayerNorms,
the word embeddings, the head, the loss and everything that is trained stay fp32.

- *States*, on CPUs: the states are bfloat16 from the first layer to the last, so nothing is converted between layers.
  LayerNorms, softmax and pooling add up in fp32.
- *Products*, on GPUs, whose LayerNorm takes no parameters of another type than its input, and with encoders of no known
  family: the states between layers, attention and activations are fp32, and each layer converts its input.
"""

import logging

import torch
from torch import nn
from torch.nn import functional as F

from pecl.errors import ConfigError
from pecl.machine import cpu_multiplies_bfloat16

logger = logging.getLogger(__name__)


class Bfloat16Linear(nn.Linear):
    """A frozen linear layer with the weight (o, i) of `plain` in bfloat16.

    The output has the type of the input, or with `holds_states` bfloat16.
    """

    rounded_bias: torch.Tensor | None  # (o,) bfloat16, so that no pass converts the bias

    def __init__(self, plain: nn.Linear, holds_states: bool = False) -> None:
        nn.Module.__init__(self)  # nn.Linear.__init__ would fill a weight with random numbers
        self.in_features = plain.in_features
        self.out_features = plain.out_features
        self.weight = nn.Parameter(plain.weight.detach().bfloat16(), requires_grad=False)
        self.bias = plain.bias
        rounded = None if plain.bias is None else plain.bias.detach().bfloat16()
        self.register_buffer("rounded_bias", rounded, persistent=False)
        self.holds_states = holds_states
        self.training = plain.training

    def widened(self) -> nn.Linear:
        """Return a plain layer with the rounded weight in the type of the bias, or in float32 without a bias."""
        dtype = torch.float32 if self.bias is None else self.bias.dtype
        layer_class = WideLinear if self.holds_states else nn.Linear

        plain = layer_class(self.in_features, self.out_features, self.bias is not None, device="meta")
        plain.weight = nn.Parameter(self.weight.detach().to(dtype), requires_grad=False)
        plain.bias = self.bias
        return plain.train(self.training)

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Map (..., i) to (..., o)."""
        output = F.linear(input.bfloat16(), self.weight, self.rounded_bias)
        return output if self.holds_states else output.to(input.dtype)


class WideLinear(nn.Linear):
    """A linear layer of float32 among layers that hold bfloat16: an adapter was merged into its weight."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Map (..., i) to (..., o) of the input's type."""
        return super().forward(input.to(self.weight.dtype)).to(input.dtype)


def check_bfloat16(device: str | torch.device) -> None:
    """Raise ConfigError for a device that cannot multiply in bfloat16; warn of a CPU that does it slowly."""
    device = torch.device(device)
    try:
        ones = torch.ones(1, 1, dtype=torch.bfloat16, device=device)
        can = (ones @ ones).item() == 1 and (device.type != "cuda" or torch.cuda.is_bf16_supported(False))
    except (RuntimeError, TypeError):
        can = False

    if not can:
        raise ConfigError(f"expected fp32 on the device {device}, which has no bf16, got bf16", field="precision")

    if device.type == "cpu" and not cpu_multiplies_bfloat16():
        logger.warning("precision bf16: this processor has neither AVX512-BF16 nor AMX, so fp32 is faster here")
