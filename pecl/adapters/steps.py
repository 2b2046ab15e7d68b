"""`TrainingSteps`: what an engine does in a training besides the gradients. Most adapters have none."""

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import torch


class TrainingSteps(Protocol):
    """The calls that a training makes for an adapter whose engine needs them; see `Adapter.steps`."""

    def begin(self, steps: int) -> None:
        """Prepare for a training of `steps` steps."""

    def penalty(self) -> torch.Tensor | float:
        """Return what the adapter adds to the loss of a step."""
        ...

    def after_step(self, step: int) -> None:
        """Do what follows an update of the parameters; steps count from 0."""

    def prune_average(self, averages: Mapping[str, torch.Tensor]) -> None:
        """Remove from the moving averages of the parameters, by name, what `after_step` removed from them."""

    def progress(self) -> dict[str, torch.Tensor]:
        """Return what `after_step` changes besides the tensors of the slots, for the saved state of a training."""
        ...

    def resume(self, progress: Mapping[str, torch.Tensor]) -> None:
        """Put back what `progress` returned, after the tensors of the slots were put back."""

    def finish(self, path: Path) -> None:
        """Write the folder of the engine's own package at `path`, next to the adapter file."""
