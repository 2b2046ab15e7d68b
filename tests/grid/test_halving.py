"""Successive halving: who competes, who goes on, and what becomes of the others."""

import json
import math
import os
from dataclasses import replace
from functools import partial
from pathlib import Path
from unittest.mock import patch

import pytest
import torch
from helpers.folders import flags, listing
from helpers.interrupted import counted_steps, interrupted_after
from helpers.small_experiment import SMALL, tiny_image_tower, write_folder
from helpers.tiny import tiny_tower

import pecl
import pecl.encoders.towers
from pecl.adapters.formats.files import load_adapter_file
from pecl.cli import main
from pecl.config import make_config
from pecl.errors import ConfigError
from pecl.experiment.run import train_fleet
from pecl.grid import expand, plan_grid, run_grid
from pecl.grid.halving import Halving, rungs
from pecl.grid.launchers.base import Task
from pecl.grid.launchers.worker import run_text
from pecl.results.folder import find_run
from pecl.results.result import UnfinishedRun, collect_runs, read_run, training_path
from pecl.training.callbacks import Callback, Event
from pecl.training.trainer import Trainer


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


NINE = dict(enumerate((0.31, 0.12, 0.55, 0.40, 0.08, 0.61, 0.22, 0.47, 0.05), 1))


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


RATES = [3e-2, 1e-2, 3e-3, 1e-3, 1e-4]


def searched(values):
    """A search of five learning rates in two languages, eight steps each; the rungs are steps 4 and 6."""
    return expand({**values, "language": ["de", "fr"], "lr": RATES})


def curves(results):
    """The validation recall of complete runs by step, by language and learning rate."""
    return {(result.config.language, result.config.lr): dict(result.curve.val_mean_recall_at_1) for result in results}


def expected_statuses(results):
    """What halving by 3 has to make of runs that were trained to the end: status, steps and validation recall."""
    scores = curves(results)
    ids = {(result.config.language, result.config.lr): result.run_id for result in results}
    expected = {}
    for language in ("de", "fr"):
        learning = [key for key in scores if key[0] == language]
        for step, size in ((4, 2), (6, 1)):
            learning.sort(key=lambda key: (-scores[key][step], ids[key]))
            expected |= {key: ("pruned", step, scores[key][step]) for key in learning[size:]}
            learning = learning[:size]
        expected |= dict.fromkeys(learning, ("complete", 8, None))
    return expected


def statuses(results):
    by_key = {}
    for run in results:
        recall = run.validation_recall if isinstance(run, UnfinishedRun) else None
        by_key[run.config.language, run.config.lr] = (run.status, run.steps, recall)
    return by_key


def states(results):
    return {
        (one.config.language, one.config.lr): load_adapter_file(one.adapter_path).state
        for one in results
        if one.status == "complete"
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("searched")
    write_folder(folder)
    return folder


@pytest.fixture(scope="module")
def whole(folder):
    """The results of the search without halving."""
    values = {**SMALL, "dataset": str(folder / "captions.csv"), "out": str(folder / "whole")}
    with pytest.MonkeyPatch.context() as context:
        context.setattr(pecl.encoders.towers, "load_text_encoder", lambda *_, **__: tiny_tower())
        context.setattr(pecl.encoders.towers, "load_image_encoder", lambda *_, **__: tiny_image_tower())
        context.setenv("PECL_CACHE_DIR", str(folder / "cache"))
        return run_grid(searched(values)).results


@pytest.fixture
def configs(small, folder):
    return searched({**small, "dataset": str(folder / "captions.csv")})


def check_equal(results, whole):
    """The runs that were not pruned have the weights and the recalls of a grid that prunes none."""
    reference = {(one.config.language, one.config.lr): one for one in whole}
    for key, state in states(results).items():
        torch.testing.assert_close(state, states(whole)[key], rtol=1e-4, atol=1e-5)
    for one in results:
        if one.status == "complete":
            other = reference[one.config.language, one.config.lr]
            assert one.curve.val_mean_recall_at_1 == other.curve.val_mean_recall_at_1
            assert one.metrics == other.metrics


def test_a_grid_prunes_the_worse_runs_and_the_others_are_those_of_a_grid_without_halving(configs, whole):
    outcome = run_grid(configs, halving=3)
    assert statuses(outcome.results) == expected_statuses(whole)
    assert len(outcome.pruned) == 8
    assert not outcome.failed
    check_equal(outcome.results, whole)
    assert [result.config for result in outcome.results] == configs
    with counted_steps() as steps:
        assert run_grid(configs, halving=3).results == outcome.results
    assert steps == []
    adapters = {path.stem for path in Path(configs[0].out, "adapters").iterdir()}
    assert adapters == {result.name for result in outcome.results if result.status == "complete"}


def test_a_run_that_diverges_in_each_grid_lets_no_pruned_run_train_again(configs, monkeypatch):
    """A failed run is tried in each grid; the others, which it competed with, keep their outcomes."""
    configs = [config for config in configs if config.language == "de"]
    leave_diverged = Trainer._leave_diverged

    def with_nan(trainer, losses):
        too_fast = [trainer.first_run(slot).lr == RATES[0] for slot in range(len(losses))]
        leave_diverged(
            trainer, [math.nan if diverges else loss for diverges, loss in zip(too_fast, losses, strict=True)]
        )

    monkeypatch.setattr(Trainer, "_leave_diverged", with_nan)
    first = statuses(run_grid(configs, halving=3).results)
    assert sorted(status for status, _, _ in first.values()) == ["complete", "failed", "pruned", "pruned", "pruned"]
    with counted_steps() as steps:
        assert statuses(run_grid(configs, halving=3).results) == first
    assert len(steps) == 1

    # a new run competes with all
    more = [*configs, replace(configs[-1], lr=1e-5)]
    with counted_steps() as steps:
        run_grid(more, halving=3)
    assert len(steps) > 1


@pytest.mark.parametrize("steps", [3, 4, 5, 7])
def test_a_killed_grid_makes_the_same_decisions(configs, whole, steps):
    with interrupted_after(steps):
        run_grid(configs, halving=3)
    results = run_grid(configs, halving=3).results
    assert statuses(results) == expected_statuses(whole)
    check_equal(results, whole)
    assert not Path(configs[0].out, ".state").exists()


@pytest.mark.parametrize("function", ["pecl.experiment.run.remove_states", "pecl.experiment.run.save_adapter"])
def test_a_grid_that_is_killed_while_it_records_its_runs_ends_with_the_same(configs, whole, function):
    with patch(function, side_effect=KeyboardInterrupt), pytest.raises(KeyboardInterrupt):
        run_grid(configs, halving=3)
    with counted_steps() as steps:
        results = run_grid(configs, halving=3).results
    assert steps == []
    assert statuses(results) == expected_statuses(whole)
    assert not Path(configs[0].out, ".state").exists()


def test_an_interrupt_at_the_end_leaves_the_records_as_they_are(configs, whole):
    class Interrupt(Callback):
        def at_end(self, event):
            raise KeyboardInterrupt

    configs = [config for config in configs if config.language == "de"]
    with pytest.raises(KeyboardInterrupt):
        train_fleet(configs, callbacks=[Halving(3), Interrupt()])
    recorded = [find_run(config).status for config in configs]
    assert sorted(recorded) == ["complete", "pruned", "pruned", "pruned", "pruned"]


def test_pruned_runs_stay_so_where_a_fleet_fails_and_is_trained_run_by_run(configs, monkeypatch):
    configs = [config for config in configs if config.language == "de"]
    first = statuses(run_grid(configs, halving=3).results)
    train_step = Trainer.train_step

    def fail_together(trainer):
        if len(trainer.runs) > 1:
            raise RuntimeError("out of memory")
        return train_step(trainer)

    monkeypatch.setattr(Trainer, "train_step", fail_together)
    new = replace(configs[-1], lr=1e-5)  # competes with all, whose fleet fails
    then = statuses(run_grid([*configs, new], halving=3).results)
    assert {run: then[run] for run in first} == first
    assert then["de", 1e-5][0] == "complete"


def test_a_grid_without_halving_trains_pruned_runs_to_the_end(configs, whole):
    run_grid(configs, halving=3)
    results = run_grid(configs).results
    assert curves(results).keys() == curves(whole).keys()
    check_equal(results, whole)


def test_a_grid_without_halving_takes_over_a_killed_one_with_halving(configs, whole, caplog):
    with interrupted_after(5):
        run_grid(configs, halving=3)
    results = run_grid(configs).results
    assert [result.status for result in results] == ["complete"] * 10
    check_equal(results, whole)
    assert "tried once more" not in caplog.text


def test_a_worker_halves_as_the_grid_does(configs, whole):
    assert run_text(Task(tuple(configs), None, 3).to_json()) == (0, "")
    assert statuses(read_run(training_path(config)) for config in configs) == expected_statuses(whole)


def test_no_table_and_no_choice_takes_a_pruned_run_for_complete(configs, capsys):
    outcome = run_grid(configs, halving=3)
    pruned = {result.run_id for result in outcome.pruned}
    out = configs[0].out

    made = pecl.make_tables(out)
    assert all(not pruned & {result.run_id for result in table.results} for table in made.tables)
    assert made.left_out.startswith("8 pruned: ")
    frame = pecl.read_results(out)
    assert set(frame[frame["status"] == "pruned"]["run_id"]) == pruned
    assert frame[frame["status"] == "pruned"]["mean_recall@1"].isna().all()
    assert frame[frame["stage"] == "best"]["run_id"].nunique() == 2

    assert main(["grid", "--best-of", out, "--seeds", "2", "--json"]) == 0
    repeated = json.loads(capsys.readouterr().out)
    complete = {one.config.lr for one in outcome.results if one.status == "complete"}
    assert {document["config"]["lr"] for document in repeated} <= complete
    assert pruned == {result.run_id for result in collect_runs([out]) if result.status == "pruned"}


def test_the_command_lists_pruned_runs_and_a_dry_run_states_the_rungs(small, capsys):
    arguments = ["grid", *flags({**small, "lr": "3e-2,1e-2,3e-3,1e-3,1e-4", "halving": 3})]
    assert main([*arguments, "--dry-run"]) == 0
    *lines, rung, total = capsys.readouterr().out.splitlines()
    first = lines[0].split()[0]
    assert rung == f"halving: of {first} and 4 rivals 2 continue after step 4, 1 continue after step 6 of 8"
    assert total.startswith("5 runs, 5 to train: ")
    assert not Path(small["out"]).exists()
    assert main([*arguments, "--dry-run", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["halving"] == [
        {
            "runs": [run["run_id"] for run in document["runs"]],
            "steps": 8,
            "continuing": [{"step": 4, "runs": 2}, {"step": 6, "runs": 1}],
        }
    ]

    assert main(arguments) == 0
    printed = capsys.readouterr().out
    assert printed.count("pruned: ") == 4
    assert main([*arguments, "--json"]) == 0
    documents = json.loads(capsys.readouterr().out)
    assert [document["status"] for document in documents].count("pruned") == 4
    for document in documents:
        if document["status"] == "pruned":
            line = f"pruned: {document['run_id']}: after step {document['steps']}, validation recall "
            assert f"{line}{document['validation_recall']:.3f}\n" in printed
    assert main([*arguments, "--dry-run", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert sorted(run["status"] for run in document["runs"]) == ["complete", *["pruned"] * 4]
    assert (document["to_train"], document["halving"]) == (0, [])


@pytest.mark.parametrize(
    ("together", "expected", "complete"),
    [
        (2, ["and 1 rival 1 continue after step 4 of 8"] * 2, 3),
        (1, ["prunes none of the runs to train, since no two of one fleet compete"], 5),
    ],
)
def test_runs_that_do_not_fit_into_memory_together_do_not_compete_and_that_is_said(
    small, monkeypatch, caplog, capsys, together, expected, complete
):
    """Of five runs two by two, the last has no rival."""
    monkeypatch.setattr("pecl.experiment.checks.largest_fleet", lambda *_: together)
    assert main(["grid", *flags({**small, "lr": "3e-2,1e-2,3e-3,1e-3,1e-4", "halving": 3}), "--dry-run"]) == 0
    said = [line for line in capsys.readouterr().out.splitlines() if line.startswith("halving: ")]
    assert len(said) == len(expected)
    assert all(line.endswith(end) for line, end in zip(said, expected, strict=True))
    outcome = run_grid(expand({**small, "lr": RATES}), halving=3)
    assert len(outcome.complete) == complete
    warning = f"5 runs are trained in fleets of at most {together}, and only the runs of one fleet are compared"
    assert [message for message in caplog.messages if "compared" in message] == [warning]


@pytest.mark.parametrize(
    ("halving", "values", "message"),
    [
        (1, {}, "halving: expected a whole number >= 2, got 1"),
        (True, {}, "halving: expected a whole number >= 2, got True"),
        (2.5, {}, "halving: expected a whole number >= 2, got 2.5"),
        (3, {"lr": [1e-2], "seed": [1, 2]}, "differ only in alignment, alignment_weight, anchor, image_weight or lr"),
        (3, {"solver": "closed-form", "adapter": "head", "rank": None}, "got none that compete"),
        (3, {"engine": "opendelta"}, "got none that compete"),
    ],
)
def test_values_without_a_meaning_are_refused_before_anything_is_loaded(small, halving, values, message):
    configs = expand({**small, "lr": [1e-2, 1e-3], **values})
    before = listing(Path(small["out"]).parent)
    with patch("pecl.experiment.loading.load_captions", side_effect=AssertionError("loaded")):
        for function in (run_grid, plan_grid):
            with pytest.raises(ConfigError, match=message):
                function(configs, halving=halving)
    assert listing(Path(small["out"]).parent) == before


def test_the_command_refuses_in_one_sentence(small, capsys):
    assert main(["grid", *flags({**small, "lr": "1e-2,1e-3", "fleet": 1, "halving": 3})]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line == (
        "pecl: --halving: expected runs of a fleet that differ only in alignment, alignment_weight, anchor, "
        "image_weight or lr, got none that compete"
    )
    assert not os.path.exists(small["out"])
