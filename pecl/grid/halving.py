"""Successive halving: of the runs of a fleet that compete, only the best by validation go on after each part.

With the factor 3 a training has three equal parts. After the first part the best third of the runs go on, after the
second part the best ninth; both are rounded up.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Any

from pecl.config import ExperimentConfig, Role, fields_of
from pecl.errors import ConfigError
from pecl.training.callbacks import Callback, Event

# Runs of a fleet compete if they differ only in these fields: the loss, its weights and the learning rate
_SEARCHED = sorted(fields_of(Role.FLEET) & fields_of(Role.SEARCHED))
_EQUAL = sorted(fields_of(Role.FLEET) - fields_of(Role.SEARCHED))


class Halving(Callback):
    """Prunes the worse runs of a fleet by their validation recall; of equal runs, the one with the lowest id goes on.

    The decisions depend only on the runs of the fleet and their last validation, so a resumed fleet makes the same.
    """

    def __init__(self, factor: int) -> None:
        self.factor = factor

    def after_fleet_validation(self, events: Sequence[Event]) -> None:
        """Prune the runs that do not go on."""
        by_competition: dict[tuple[Any, ...], list[Event]] = {}
        for event in events:
            by_competition.setdefault(competition_of(event.config), []).append(event)

        for rivals in by_competition.values():
            first = rivals[0]
            sizes = rungs(len(rivals), self.factor, first.total_steps, first.config.eval_every)
            size = min((size for step, size in sizes.items() if step <= first.step), default=len(rivals))

            learning = [event for event in rivals if event.metrics]
            ranked = sorted(learning, key=lambda event: (-event.metrics["validation_recall"], event.config.run_id()))
            for event in ranked[size:]:
                event.prune()


def check_halving(factor: int, fleets: Iterable[Sequence[ExperimentConfig]]) -> None:
    """Raise ConfigError if `factor` is not a whole number >= 2, or no runs compete."""
    if type(factor) is not int or factor < 2:
        raise ConfigError(f"expected a whole number >= 2, got {factor!r}", field="halving")
    if not any(competitions([config for config in fleet if "gradient" in config.solvers]) for fleet in fleets):
        names = f"{', '.join(_SEARCHED[:-1])} or {_SEARCHED[-1]}"
        raise ConfigError(
            f"expected runs of a fleet that differ only in {names}, got none that compete", field="halving"
        )


def competitions(fleet: Iterable[ExperimentConfig]) -> list[list[ExperimentConfig]]:
    """Return the runs of a fleet that compete with each other; a run without rivals is left out."""
    by_competition: dict[tuple[Any, ...], list[ExperimentConfig]] = {}
    for config in fleet:
        by_competition.setdefault(competition_of(config), []).append(config)
    return [configs for configs in by_competition.values() if len(configs) > 1]


def competition_of(config: ExperimentConfig) -> tuple[Any, ...]:
    """Return what a run has in common with the runs of its fleet that it competes with."""
    return tuple(getattr(config, name) for name in _EQUAL)


def rungs(runs: int, factor: int, steps: int, eval_every: int) -> dict[int, int]:
    """Return how many of `runs` competing runs go on after a step, by step.

    The steps are those of the first validation at or after the end of each part of a training of `steps` steps. The
    last validation decides nothing: runs that reach it are complete.
    """
    sizes: dict[int, int] = {}
    size = runs
    for part in range(1, factor):
        if size == 1:
            break
        size = math.ceil(runs / factor**part)
        step = eval_every * math.ceil(steps * part / (factor * eval_every))
        if step < steps:
            sizes[step] = size
    return sizes
