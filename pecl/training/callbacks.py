"""`Callback`: code of a user that runs during a training, and may stop a run."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from pecl.config import ExperimentConfig


def _do_nothing() -> None:
    pass


@dataclass(frozen=True)
class Event:
    """A moment in the training of one run."""

    config: ExperimentConfig  # of the run
    slot: int  # of the run in its fleet; the runs of a joint training share a slot
    step: int  # steps taken so far
    total_steps: int  # of the whole training
    # After a step: `loss` and `lr`. After a validation: `loss`, the mean since the last one,
    # `validation_recall`, `lr`, `seconds` of training and `peak_memory_mb`. At the end: the
    # recalls, such as `test/best/text_to_image/recall@1`.
    metrics: Mapping[str, float]
    # Stops the run's slot after this step; at the end nothing is left to stop
    stop: Callable[[], None] = field(default=_do_nothing, repr=False, compare=False)
    # Stops the slot as well, but its runs are recorded as pruned: with the step and the validation
    # recall, not measured
    prune: Callable[[], None] = field(default=_do_nothing, repr=False, compare=False)


def names_of(callbacks: Sequence["Callback"]) -> set[str]:
    """Return the names of the callbacks' classes, by which a result names the one that stopped it."""
    return {type(callback).__name__ for callback in callbacks}


class Callback:
    """Does nothing at each moment of a training; override the methods that you need.

    A run that resumes calls `at_start` again. Steps after its last saved state are then taken, and reported, again.

    Example:
        >>> class Stop(pecl.Callback):
        ...     def after_validation(self, event):
        ...         if event.metrics["validation_recall"] > 0.9:
        ...             event.stop()
        >>> pecl.train({"language": "de"}, callbacks=[Stop()])
    """

    def at_start(self, event: Event) -> None:
        """Run before the first step, or when a run resumes: `event.step` is the step of its saved state."""

    def after_step(self, event: Event) -> None:
        """Run after each step. On a GPU, reading the loss makes the CPU wait."""

    def after_validation(self, event: Event) -> None:
        """Run after each validation of the run, also the one that stops it."""

    def after_fleet_validation(self, events: Sequence[Event]) -> None:
        """Run after each validation, to compare the runs of a fleet.

        The event of a run that has stopped, in this validation or before, has no metrics.
        """

    def after_save(self, event: Event) -> None:
        """Run after the state of the training was written: a killed run resumes from this step."""

    def at_end(self, event: Event) -> None:
        """Run when the results of the fleet have been written; not for a run that diverged or was pruned."""
