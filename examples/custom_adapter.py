"""Add an adapter, IA3, without changing the package: `python examples/custom_adapter.py`.

Liu et al., "Few-Shot Parameter-Efficient Fine-Tuning is Better and Cheaper than In-Context Learning", NeurIPS 2022.
"""

from dataclasses import dataclass
from functools import partial

import torch

import pecl
from pecl.adapters.kind import Placement
from pecl.adapters.slots import SlotModule, SlotRows, innermost, with_parameters


class SlotScale(SlotModule):
    """A linear layer with S scales (S, n) of its output, or of its input if `of_input` is set."""

    def __init__(self, base: torch.nn.Module, rows: SlotRows, of_input: bool) -> None:
        super().__init__(base, rows)
        self.of_input, weight = of_input, innermost(base).weight  # (o, i)
        self.scale = self.slot_parameter(weight.shape[int(of_input)], like=weight)

    def reset_slot(self, slot: int, generator: torch.Generator) -> None:
        """Fill with ones; a fresh layer is the identity."""
        self.scale.data[slot] = 1

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, L, i) to (B, L, o) with each row's slot."""
        scale = self.rows.spread(self.scale, x)  # (B, 1, n), or (1, T, n) of a packed batch
        return self.base(x * scale) if self.of_input else self.base(x) * scale

    def merged(self, slot: int) -> torch.nn.Module:
        """Return a linear layer whose weight contains the scale."""
        plain, scale = self.plain_base(slot), self.scale[slot]
        weight = plain.weight * (scale if self.of_input else scale[:, None])  # (o, i)
        return with_parameters(plain, weight, plain.bias if self.of_input else plain.bias * scale)


@pecl.register_adapter
@dataclass(frozen=True)
class IA3Config(pecl.AdapterConfig):
    """Scales of keys, values and inner activations."""

    kind = "ia3"

    def placements(self, tower: pecl.MultilingualTextEncoder) -> list[Placement]:
        """Return a scale for each key, value and last feed-forward layer."""
        outputs = self.at_roles(tower, ("key", "value"), partial(SlotScale, of_input=False))
        return outputs + self.at_roles(tower, ("output",), partial(SlotScale, of_input=True))


def main(**values: object) -> pecl.Result:
    """Train German with the adapter on a few drawn scenes; `values` override the config."""
    config = {"language": "de", "adapter": "ia3", "lr": 1e-2, "shots": 20, "epochs": 1, "out": "results/ia3"}
    return pecl.train({**config, **values})


if __name__ == "__main__":
    print(main().adapter)
