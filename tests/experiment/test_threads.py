"""Last digits depend on the number of threads: it is set, recorded, and part of what a run goes on from."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from helpers.interrupted import counted_steps, interrupted_after

from pecl.config import make_config
from pecl.encoders.store import FOLDER, _store_of
from pecl.errors import ConfigError
from pecl.experiment.run import evaluate, train
from pecl.grid import run_grid
from pecl.grid.configs import expand
from pecl.results.result import read_result
from pecl.retrieval.evaluator import RetrievalEvaluator
from pecl.training.trainer import AlignmentTrainer

STEPS = 4  # of a training
HERE = torch.get_num_threads()
MORE = HERE + 1


@pytest.fixture
def small(small):
    """Return the small experiment's values, of fewer steps: threads that wait for each other take long."""
    return {**small, "epochs": 2}


def numbers_at(monkeypatch, owner, name):
    """Return a list that grows by the number of threads with each call of a method."""
    found, plain = [], getattr(owner, name)

    def noting(*arguments, **options):
        found.append(torch.get_num_threads())
        return plain(*arguments, **options)

    monkeypatch.setattr(owner, name, noting)
    return found


def test_a_run_computes_with_the_threads_that_it_records(small, monkeypatch):
    steps = numbers_at(monkeypatch, AlignmentTrainer, "train_step")
    evaluations = numbers_at(monkeypatch, RetrievalEvaluator, "__call__")
    config = make_config({**small, "threads": MORE})
    assert train(config).environment.machine.threads == MORE
    assert evaluate(config).environment.machine.threads == MORE
    assert set(steps) == set(evaluations) == {MORE}
    assert torch.get_num_threads() == HERE


def test_without_a_number_the_machine_decides(small):
    result = train(make_config(small))
    assert (result.config.threads, result.environment.machine.threads) == (None, HERE)


def test_the_number_is_put_back_after_a_failure(small):
    with pytest.raises(ConfigError, match="unknown adapter"):
        train(make_config({**small, "adapter": "lorra", "threads": MORE}))
    assert torch.get_num_threads() == HERE


def test_a_complete_run_is_trained_anew_where_another_number_is_asked_for(small, caplog):
    config = make_config({**small, "threads": MORE})
    first = train(config)
    with counted_steps() as steps:
        assert train(config) == first
        assert train(replace(config, threads=None)) == first
    assert steps == []
    with counted_steps() as steps:
        again = train(replace(config, threads=HERE))
    assert len(steps) == STEPS
    assert f"was made with {MORE} threads, not with {HERE}; running it again" in caplog.text
    assert read_result(first.path) == again
    assert again.environment.machine.threads == HERE


def test_a_run_goes_on_from_a_state_of_its_own_number_alone(small, tmp_path, caplog):
    config = make_config({**small, "threads": MORE})
    with interrupted_after(3):
        train(config)
    with interrupted_after(2):
        train(replace(config, threads=HERE))
    said = f"was interrupted with --threads {MORE} and has {HERE} now"
    assert said in caplog.text
    assert len(list((Path(small["out"]) / ".state").iterdir())) == 2
    caplog.clear()
    with counted_steps() as steps:
        train(config)
    assert steps == list(range(3, STEPS))
    assert "was interrupted with" not in caplog.text
    assert not (Path(small["out"]) / ".state").exists()


def test_frozen_embeddings_of_another_number_are_not_taken(small, tmp_path):
    _store_of.cache_clear()  # what earlier tests keep at hand is not written

    def folders(number):
        evaluate(make_config({**small, "threads": number}))
        return set((tmp_path / "cache" / FOLDER).iterdir())

    one, two = folders(MORE), folders(HERE)
    assert len(one) == 2  # text, and images
    assert len(two) == 4
    assert folders(MORE) == two


def test_a_grid_sets_the_number_for_each_run(small):
    outcome = run_grid(expand({**small, "seed": [1, 2], "threads": [MORE]}))
    assert [result.environment.machine.threads for result in outcome.results] == [MORE] * 2
