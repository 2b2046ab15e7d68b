"""Trainings and experiments of tiny towers on a device, to be compared with those on the CPU."""

import pytest
import torch

import pecl.encoders.store
import pecl.experiment.towers
from helpers.small_experiment import tiny_image_tower, use_towers
from helpers.small_training import slot_run, trainer
from helpers.tiny import tiny_tower
from pecl.adapters.spec import parse_adapter
from pecl.results.result import TrainingResult
from pecl.training.schedule import Schedule

LAYOUTS = {"one slot": (1, False), "a fleet": (2, False), "two runs of one slot": (2, True)}  # runs, in one slot


def close(found, expected):
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def run_of(device, architecture="xlm-roberta", layout="one slot", anchor="student", spec="lora", dropout=False, **more):
    """A training on tiny towers: one epoch of three steps, validated after the second and the third.

    `more` are arguments of the trainer; `schedule` those of the schedule, `change` what becomes of each run.
    """
    schedule, change = more.pop("schedule", {}), more.pop("change", lambda run: run)
    count, joint = LAYOUTS[layout]
    tower = tiny_tower(architecture).to(device)
    runs = [slot_run(tower, seed=1 + i, lr=1e-2 / (1 if joint else 1 + i), anchor=anchor) for i in range(count)]
    schedule = Schedule(epochs=1, batch_size=5, eval_every=2, dropout=dropout, **schedule)
    return trainer(tower, [*map(change, runs)], schedule, parse_adapter(spec), joint, **more)


def trained(run):
    """The loss at each validation and the final parameters, of each slot."""
    records = run.run()
    return [record.losses for record in records], [
        {name: value.cpu() for name, value in run.adapter.slot_state(slot).items()} for slot in range(len(records))
    ]


@pytest.fixture
def towers_on(monkeypatch, tmp_path, tiny_weights):
    """Return a function that puts the towers of experiments on a device, with an empty cache."""

    def put(device, architecture="xlm-roberta"):
        pecl.encoders.store._store_of.cache_clear()
        pecl.experiment.towers._load_once.cache_clear()
        use_towers(lambda: tiny_tower(architecture).to(device), lambda: tiny_image_tower().to(device))
        monkeypatch.setenv("PECL_CACHE_DIR", str(tmp_path / f"cache of {device}"))

    yield put
    pecl.encoders.store._store_of.cache_clear()


def same_results(found, expected):
    assert found.metrics == expected.metrics
    assert found.all_ranks == expected.all_ranks
    if isinstance(expected, TrainingResult):
        close(torch.tensor(found.curve.loss), torch.tensor(expected.curve.loss))
        assert found.curve.val_mean_recall_at_1 == expected.curve.val_mean_recall_at_1
        assert found.best_step == expected.best_step
