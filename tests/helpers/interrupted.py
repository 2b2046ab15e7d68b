"""A training that is interrupted after some steps, as by Ctrl-C."""

from contextlib import contextmanager

import pytest

from pecl.training.trainer import Trainer


@contextmanager
def counted_steps(at_most=None):
    """Give a list that grows by one with each step that is trained here; interrupt the one after `at_most`."""
    plain_step, taken = Trainer.train_step, []

    def step(trainer):
        if len(taken) == at_most:
            raise KeyboardInterrupt
        taken.append(trainer.step)
        return plain_step(trainer)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "train_step", step)
        yield taken


@contextmanager
def interrupted_after(steps):
    """Interrupt, by KeyboardInterrupt, what is trained here after `steps` steps; the state of each step is kept."""
    with pytest.MonkeyPatch.context() as patch, counted_steps(steps):
        patch.setattr("pecl.training.trainer.SAVE_EVERY_SECONDS", -1.0)
        with pytest.raises(KeyboardInterrupt):
            yield
