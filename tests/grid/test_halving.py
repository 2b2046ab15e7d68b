"""Successive halving: who competes, who goes on, and what becomes of the others."""

from functools import partial

import pytest

from pecl.config import make_config
from pecl.grid.halving import Halving, rungs
from pecl.training.callbacks import Event


def events_of(step, recalls, total_steps=90, **values):
    """Events of runs with these validation recalls, by learning rate; None for a run that has stopped."""
    pruned = []
    events = []
    for lr, recall in recalls.items():
        config = make_config({"language": "de", "eval_every": 1, **values, "lr": lr})
        metrics = {} if recall is None else {"validation_recall": recall}
        prune = partial(pruned.append, lr)
        events.append(Event(config, 0, step, total_steps, metrics, lambda: None, prune))
    return events, pruned


def decided(step, recalls, factor=3, **options):
    events, pruned = events_of(step, recalls, **options)
    Halving(factor).after_fleet_validation(events)
    return sorted(pruned)


NINE = {lr: recall for lr, recall in enumerate((0.31, 0.12, 0.55, 0.40, 0.08, 0.61, 0.22, 0.47, 0.05), 1)}


def test_a_third_goes_on_after_each_third_of_the_training():
    """Nine runs by hand: 6, 3 and 8 are the best three, 6 is the best of all."""
    assert rungs(9, 3, steps=90, eval_every=1) == {30: 3, 60: 1}
    assert decided(29, NINE) == []
    assert decided(30, NINE) == [1, 2, 4, 5, 7, 9]
    left = {lr: recall if lr in (3, 6, 8) else None for lr, recall in NINE.items()}
    assert decided(31, left) == []  # once per rung
    assert decided(59, left) == []
    assert decided(60, left) == [3, 8]
    assert decided(90, {**left, 3: None, 8: None}) == []


@pytest.mark.parametrize(
    ("runs", "factor", "steps", "eval_every", "expected"),
    [
        (16, 3, 90, 1, {30: 6, 60: 2}),  # 16 / 3 and 16 / 9, rounded up
        (9, 3, 100, 5, {35: 3, 70: 1}),  # the first validations after steps 33.3 and 66.7
        (9, 3, 30, 25, {25: 1}),  # one validation for both
        (9, 3, 30, 30, {}),  # no validation before the last step
        (2, 3, 90, 1, {30: 1}),
        (1, 3, 90, 1, {}),
        (8, 2, 90, 1, {45: 4}),
        (64, 4, 80, 10, {20: 16, 40: 4, 60: 1}),
    ],
)
def test_rungs(runs, factor, steps, eval_every, expected):
    assert rungs(runs, factor, steps, eval_every) == expected


def test_of_equal_runs_the_one_with_the_lowest_id_goes_on():
    runs = dict.fromkeys((1, 2, 3), 0.5)
    events, pruned = events_of(30, runs)
    first = min(events, key=lambda event: event.config.run_id()).config.lr
    Halving(3).after_fleet_validation(events)
    assert sorted(pruned) == sorted(set(runs) - {first})


@pytest.mark.parametrize("other", [{"language": "fr"}, {"route": "baseline1"}, {"seed": 2}, {"split_seed": 7}])
def test_runs_of_another_language_route_or_seed_do_not_compete(other):
    good, _ = events_of(30, {1: 0.9, 2: 0.8, 3: 0.7})
    bad, pruned = events_of(30, {1: 0.3, 2: 0.2, 3: 0.1}, **other)
    Halving(3).after_fleet_validation([*good, *bad])
    assert sorted(pruned) == [2, 3]


def test_losses_and_their_weights_compete():
    values = [{"alignment_weight": 0.1}, {"alignment": "mse+match"}, {"anchor": "frozen"}, {"image_weight": 0.0}]
    parts = [events_of(30, {1: recall}, **value) for recall, value in zip((0.1, 0.2, 0.4, 0.3), values, strict=True)]
    Halving(4).after_fleet_validation([event for events, _ in parts for event in events])
    assert [pruned for _, pruned in parts] == [[1], [1], [], [1]]
