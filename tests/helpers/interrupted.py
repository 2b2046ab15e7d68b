"""A training that is interrupted after some steps, as by Ctrl-C."""

from contextlib import contextmanager

import pytest

from pecl.training.trainer import AlignmentTrainer


@contextmanager
def interrupted_after(steps):
    """Interrupt, by KeyboardInterrupt, what is trained here after `steps` steps; the state of each step is kept."""
    plain_step, taken = AlignmentTrainer.train_step, []

    def step(trainer):
        if len(taken) == steps:
            raise KeyboardInterrupt
        taken.append(plain_step(trainer))
        return taken[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pecl.training.trainer.SAVE_EVERY_SECONDS", -1.0)
        patch.setattr(AlignmentTrainer, "train_step", step)
        with pytest.raises(KeyboardInterrupt):
            yield


@contextmanager
def counted_steps():
    """Give a list that grows by one with each step that is trained here."""
    plain_step, taken = AlignmentTrainer.train_step, []

    def step(trainer):
        taken.append(trainer.step)
        return plain_step(trainer)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(AlignmentTrainer, "train_step", step)
        yield taken
