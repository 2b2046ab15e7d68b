"""`Schedule`: length and learning rate of a training."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Schedule:
    """Length of a training. The learning rate is a cosine from 1 to 0 over all steps, times a linear warm-up."""

    epochs: int  # passes over the pairs
    batch_size: int  # pairs per step
    eval_every: int  # steps between validations
    dropout: bool = True  # whether training applies dropout, see the config
    warmup: int = 0  # steps W of the linear warm-up: its factor in step w, from 1, is w / W
    # decay of the moving average of the weights, which is validated and saved; 0 for none
    ema: float = 0.0
    patience: int | None = None  # early-stopping patience, in validations; None for all steps
    last: bool = False  # keep the last weights instead of the best

    def rate(self, step: int, total: int) -> float:
        """Return the share of the learning rate at `step`, counted from 0, of `total`."""
        decay = 0.5 * (1 + math.cos(math.pi * step / total))
        return decay * min(1.0, (step + 1) / self.warmup) if self.warmup else decay

    def steps(self, pairs: int) -> int:
        """Return the number of steps for `pairs` training pairs; the last batch of an epoch may be smaller."""
        return self.epochs * math.ceil(pairs / self.batch_size)
