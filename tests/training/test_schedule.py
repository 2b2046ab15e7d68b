"""Warm-up, averaged weights, the end of training, the optimizer and its state: numbers worked by hand."""

import math
from functools import partial
from itertools import count
from types import SimpleNamespace

import pytest
import torch
from helpers.interrupted import interrupted_after
from helpers.small_training import CONFIGS, slot_run
from helpers.tiny import tiny_tower
from torch import nn

from pecl.adapters.adapter import attach
from pecl.errors import WeightsError
from pecl.training.optimizer import SlotAdam
from pecl.training.schedule import Schedule
from pecl.training.state import restore_state
from pecl.training.trainer import Trainer


def test_the_optimizer_is_given_the_rate(monkeypatch):
    run = trainer(Schedule(epochs=2, batch_size=5, eval_every=6, dropout=False, warmup=3))  # 6 steps
    plain, given = run.optimizer.step, []
    monkeypatch.setattr(run.optimizer, "step", lambda lrs, number: given.append(lrs.item()) or plain(lrs, number))
    run.run()
    shares = [1 / 3, 2 / 3, 1, 1, 1, 1]
    assert given == pytest.approx([5e-3 * share * (1 + math.cos(math.pi * i / 6)) for i, share in enumerate(shares)])


def trainer(schedule, validate=lambda slots: [0.5], state_path=None):
    tower = tiny_tower()
    return Trainer(attach(tower, CONFIGS), [slot_run(tower)], schedule, validate, state_path=state_path)


# --- the moving average


EMA = Schedule(epochs=4, batch_size=5, eval_every=4, dropout=True, ema=0.6)  # 12 steps


def test_validation_and_the_end_see_the_average_and_steps_do_not():
    """Against a run without average, whose weights are averaged here, step by step."""
    seen, plain_weights = [], []

    def run_with(schedule, note_every_step):
        run = trainer(schedule)
        weights = run.adapter.parameters()

        def now():
            return torch.cat([weight.detach().flatten() for weight in weights]).double()

        run.validate = lambda slots: seen.append(now()) or [0.5]
        plain = run.train_step
        run.train_step = lambda: (plain(), note_every_step and plain_weights.append(now()))[0]
        start = now()
        run.run()
        return start, now()

    start, last = run_with(Schedule(epochs=4, batch_size=5, eval_every=4, dropout=True), note_every_step=True)
    assert torch.equal(last, plain_weights[-1])
    seen.clear()
    _, end = run_with(EMA, note_every_step=False)
    average, expected = start, []
    for weights in plain_weights:
        average = 0.6 * average + 0.4 * weights
        expected.append(average)
    for found, step in zip([*seen, end], [4, 8, 12, 12], strict=True):
        torch.testing.assert_close(found, expected[step - 1], rtol=0, atol=1e-6)


def test_the_average_of_a_slot_that_stops_early_stays_that_of_its_run_alone():
    """The first slot is out of patience after step 4 of 12; the second one gets better until the end."""

    def averages(seeds):
        tower, scores = tiny_tower(), {1: 0.9, 2: 0.1}
        adapter = attach(tower, CONFIGS, seeds=seeds)

        def validate(slots):
            scores[1] -= 0.1
            scores[2] += 0.1
            return [scores[seeds[slot]] for slot in slots]

        schedule = Schedule(epochs=4, batch_size=5, eval_every=2, dropout=False, ema=0.6, patience=1)
        runs = [slot_run(tower, seed=seed, slot=slot) for slot, seed in enumerate(seeds)]
        run = Trainer(adapter, runs, schedule, validate)
        run.run()
        return run.step, adapter.slot_state(0)

    (alone_steps, alone), (fleet_steps, in_fleet) = averages([1]), averages([1, 2])
    assert (alone_steps, fleet_steps) == (4, 12)
    for name, value in alone.items():
        torch.testing.assert_close(in_fleet[name], value, rtol=0, atol=1e-5)


# --- when training ends, and what is kept


def scored(scores, **options):
    """Train with given validation scores, one every other step of 12, and return what was kept."""
    run = trainer(Schedule(epochs=4, batch_size=5, eval_every=2, dropout=False, **options))
    states, left = [], iter(scores)

    def validate(slots):
        states.append(run.adapter.slot_state(0))
        return [next(left)]

    run.validate = validate
    (record,) = run.run()
    kept = [all(torch.equal(state[name], value) for name, value in record.best.items()) for state in states]
    return run.step, record, kept.index(True)


@pytest.mark.parametrize(
    ("options", "scores", "steps", "best"),
    [
        ({"patience": 2}, [0.1, 0.5, 0.4, 0.3, 0.9, 0.9], 8, 4),  # two worse after the second
        ({"patience": 2}, [0.1, 0.5, 0.4, 0.5, 0.3, 0.4], 12, 8),  # a tie is as good: the later one counts
        ({}, [0.9, 0.5, 0.4, 0.3, 0.2, 0.1], 12, 2),
        ({"last": True, "patience": 2}, [0.1, 0.5, 0.4, 0.3, 0.9, 0.9], 8, 8),
    ],
)
def test_training_ends_when_patience_does(options, scores, steps, best):
    taken, record, place = scored(scores, **options)
    assert (taken, record.best_step, place) == (steps, best, best // 2 - 1)
    assert record.best_score == scores[place]


def test_solved_heads_and_scores_before_the_first_step_are_kept_with_the_state(tmp_path):
    schedule = Schedule(epochs=4, batch_size=5, eval_every=4, dropout=False)
    solved = {"ridge": 0.1, "held_out_mse": 0.25, "pairs": 12, "seconds": 1.5}
    first = trainer(schedule, lambda slots: [0.7], tmp_path / "state")
    assert not first.is_saved
    first.records[0].solved.append(solved)
    first.measure(0)
    with interrupted_after(5):
        first.run()
    again = trainer(schedule, lambda slots: [0.2], tmp_path / "state")
    assert again.is_saved
    (record,) = again.run()
    assert record.solved == [solved]
    assert record.scores == [(0, 0.7), (4, 0.7), (8, 0.2), (12, 0.2)]
    assert record.best_step == 4
    with pytest.raises(WeightsError, match=r"state cannot be used \('of another adapter'\); delete it"):
        restore_state(tmp_path / "state", {"of another adapter": torch.ones(1)})


def test_seconds_are_those_of_all_parts_of_a_training(tmp_path, monkeypatch):
    """The clock goes on by a second with each look at it; 10 of 12 steps are before the interrupt."""
    monkeypatch.setattr("pecl.training.trainer.time", SimpleNamespace(monotonic=partial(next, count(1000.0))))
    schedule = Schedule(epochs=4, batch_size=5, eval_every=4, dropout=False)
    first, whole = (trainer(schedule, state_path=tmp_path / name) for name in ("interrupted", "whole"))
    with interrupted_after(10):
        first.run()
    again = trainer(schedule, state_path=tmp_path / "interrupted")
    again.run()
    monkeypatch.setattr("pecl.training.trainer.SAVE_EVERY_SECONDS", -1.0)
    whole.run()
    assert first.seconds < again.seconds == pytest.approx(whole.seconds, rel=0.2)


def test_each_slot_is_torchs_adam_with_its_own_learning_rate():
    lrs, steps = [1e-3, 5e-2], 12
    start = torch.randn(2, 3, 4)
    slots = nn.Parameter(start.clone())
    optimizer = SlotAdam([slots], [1.0])
    plain = [nn.Parameter(start[s].clone()) for s in range(2)]
    references = [torch.optim.Adam([p], lr=lr, foreach=False) for p, lr in zip(plain, lrs, strict=True)]
    for step in range(steps):
        grad, decay = torch.randn(2, 3, 4) * 10 ** float(step % 3 - 1), 1 - step / steps
        slots.grad = grad.clone()
        optimizer.step(torch.tensor(lrs) * decay, step + 1)
        for s, reference in enumerate(references):
            plain[s].grad = grad[s].clone()
            reference.param_groups[0]["lr"] = lrs[s] * decay
            reference.step()
    torch.testing.assert_close(slots.detach(), torch.stack([p.detach() for p in plain]), rtol=1e-5, atol=1e-7)


def test_a_missing_gradient_counts_as_zero_and_lets_the_averages_decay():
    parameter, plain = nn.Parameter(torch.ones(1, 2)), nn.Parameter(torch.ones(1, 2))
    optimizer, reference = SlotAdam([parameter], [1.0]), torch.optim.Adam([plain], lr=0.1, foreach=False)
    gradients = (torch.tensor([[1.0, -3.0]]), None, None, torch.tensor([[0.5, 0.5]]))
    for number, gradient in enumerate(gradients, 1):
        optimizer.zero_grad()
        assert parameter.grad is None
        if gradient is not None:
            parameter.grad = gradient.clone()
        plain.grad = torch.zeros(1, 2) if gradient is None else gradient.clone()
        before = parameter.detach().clone()
        optimizer.step(torch.tensor([0.1]), number)
        reference.step()
        assert (parameter != before).all()  # the averages move it on
        torch.testing.assert_close(parameter, plain, rtol=1e-5, atol=1e-7)
