"""Defaults of `pecl distil`. The length of training depends on the number of pairs."""

from collections.abc import Mapping
from typing import Any

DISTIL_DEFAULTS: Mapping[str, Any] = {
    "adapter": "lora:r=3,target_modules=intermediate/output+head:rank=48",
    "alignment_weight": 1.0,
    "anchor": "frozen",
    "batch_size": 32,
    "choose": "text",
    "clean": True,
    "dropout": False,
    "image_weight": 0.0,
    "warmup": 20,
}

WITH_IMAGES: Mapping[str, Any] = {"image_weight": 0.003}  # with `--images`; see docs/distil.md

# Least number of pairs, and schedule, from docs/effect.md. A head solved in closed form fits the
# noise of few pairs, so that starting from it costs more than it gains. Few pairs need more passes;
# thousands of pairs use the closed form.
_SCHEDULES: tuple[tuple[int, Mapping[str, Any]], ...] = (
    (0, {"solver": "gradient", "epochs": 20, "eval_every": 20, "lr": 2e-3}),
    (300, {"solver": "gradient", "epochs": 10, "eval_every": 40, "lr": 4e-3}),
    (3_000, {"solver": "closed-form+gradient+closed-form", "epochs": 2, "eval_every": 50, "lr": 3e-3}),
)
SCHEDULE_FIELDS = tuple(_SCHEDULES[0][1])


def schedule_for(pairs: int) -> Mapping[str, Any]:
    """Return solver, epochs, steps between validations and learning rate for a number of training pairs."""
    return next(values for least, values in reversed(_SCHEDULES) if pairs >= least)
