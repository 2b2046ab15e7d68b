"""The search with Optuna: it resumes, trains no run twice, prunes by Wilcoxon's test, and chooses by validation."""

from statistics import mean
from unittest.mock import patch

import pytest
from helpers.interrupted import counted_steps

import pecl
from pecl.grid.run import run_grid
from pecl.results.result import collect

optuna = pytest.importorskip("optuna")
TrialState = optuna.trial.TrialState


@pytest.fixture
def search(example, small):
    module = example("optuna_search")
    return lambda trials: module.main(trials, **small)


def states(study):
    return [trial.state for trial in study.trials]


def interrupted_grid(at):
    """Interrupt the search before its `at`-th fleet."""
    calls = []

    def grid(configs):
        calls.append(configs)
        if len(calls) == at:
            raise KeyboardInterrupt
        return run_grid(configs)

    return patch.object(pecl, "run_grid", grid, create=True)


def test_a_killed_search_continues_and_trains_no_run_again(search, small):
    with interrupted_grid(3), pytest.raises(KeyboardInterrupt):
        search(2)
    with counted_steps() as steps:
        study = search(2)
    assert len(steps) == 2 * 8  # two of four seeds were trained before
    assert states(study) == [TrialState.FAIL] * 2 + [TrialState.COMPLETE] * 2
    assert [trial.params for trial in study.trials[:2]] == [trial.params for trial in study.trials[2:]]
    with counted_steps() as steps:
        assert states(search(2)) == states(study)
    assert steps == []

    results = collect([small["out"]])
    for trial in study.trials[2:]:
        recalls = [one.recall("val", "best") for one in results if one.config.lr == trial.params["lr"]]
        assert len(recalls) == 4
        assert trial.value == pytest.approx(mean(recalls))


def test_a_trial_that_is_worse_on_three_seeds_is_pruned(search, small):
    """With p < 0.2 three seeds suffice: p = 1/8 if a trial is worse on each of them."""
    best = search(1).best_trial
    assert list(best.intermediate_values) == [1, 2, 3, 4]

    def worse(result, part, stage, plain=pecl.Result.recall):
        recall = plain(result, part, stage)
        return recall if result.config.lr == best.params["lr"] else best.intermediate_values[result.config.seed] - 0.1

    with patch.object(pecl.Result, "recall", worse):
        study = search(2)
    pruned = study.trials[1]
    assert pruned.state == TrialState.PRUNED
    assert list(pruned.intermediate_values) == [1, 2, 3]
    assert study.best_trial.number == best.number
    assert len(collect([small["out"]])) == 4 + 3
