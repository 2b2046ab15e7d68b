"""`Schedule`: length and learning rate of a training. `SlotRecord`: losses, scores and best weights of a slot."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch


@dataclass(frozen=True)
class Schedule:
    """Length of a training. The learning rate rises in the warm-up and then decays to zero along a cosine."""

    epochs: int  # passes over the pairs
    batch_size: int  # pairs per step
    eval_every: int  # steps between validations
    dropout: bool = True  # whether training applies the tower's own dropout
    warmup: int = 0  # steps W in which the learning rate rises linearly: step w, from 1, has w / W of it
    ema: float = 0.0  # decay of the moving average of the weights, which is validated and kept; 0 for none
    patience: int | None = None  # early-stopping patience, in evaluations; None for all steps
    last: bool = False  # keep the last weights instead of the best

    def rate(self, step: int, total: int) -> float:
        """Return the share of the learning rate at `step`, counted from 0, of `total`."""
        decay = 0.5 * (1 + math.cos(math.pi * step / total))
        return decay * min(1.0, (step + 1) / self.warmup) if self.warmup else decay

    def steps(self, pairs: int) -> int:
        """Return the number of steps for `pairs` training pairs; the last batch of an epoch may be smaller."""
        return self.epochs * math.ceil(pairs / self.batch_size)


@dataclass(frozen=True)
class SolvedHead:
    """A head that was solved in closed form from a number of pairs; `seconds` is wall time."""

    ridge: float
    held_out_mse: float
    pairs: int
    seconds: float


@dataclass
class SlotRecord:
    """Losses, scores and best weights of one slot; steps count from 1."""

    losses: list[tuple[int, float]] = field(default_factory=list)  # at each validation, the mean since the one before
    scores: list[tuple[int, float]] = field(default_factory=list)  # at each validation
    best_step: int = 0  # of equal scores the later one's
    best_score: float = -math.inf
    best: dict[str, torch.Tensor] = field(default_factory=dict)  # parameters at `best_step`
    stopped: int | None = None  # step after which the slot was dropped; None if it trained to the end
    diverged: str | None = None  # the reason for a drop because a loss or embedding was not finite
    solved: list[SolvedHead] = field(default_factory=list)  # heads that were solved in closed form, in order

    @property
    def learns(self) -> bool:
        """Whether the slot takes part in the next step."""
        return self.stopped is None

    def since_best(self) -> int:
        """Return the number of validations after the best one."""
        return sum(step > self.best_step for step, _ in self.scores)

    def to_json(self) -> dict[str, Any]:
        """Return all but the parameters, which are tensors."""
        names = ("losses", "scores", "best_step", "solved", "best_score", "stopped", "diverged")
        return {name: getattr(self, name) for name in names} | {"solved": [vars(head) for head in self.solved]}

    def restore(self, kept: Mapping[str, Any], best: dict[str, torch.Tensor]) -> None:
        """Set all fields from the output of `to_json` and the best parameters."""
        self.losses = [tuple(pair) for pair in kept["losses"]]
        self.scores = [tuple(pair) for pair in kept["scores"]]
        self.best_step, self.best_score, self.best = kept["best_step"], kept["best_score"], best
        self.stopped, self.diverged = kept["stopped"], kept["diverged"]
        self.solved = [SolvedHead(**head) for head in kept["solved"]]
