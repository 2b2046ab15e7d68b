"""Grids that are shared, interrupted, failed, damaged or complete."""

import json
import os
import signal
import sys
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from threading import Event as Signal
from types import SimpleNamespace
from unittest.mock import patch

import pytest
import torch
from helpers.folders import flags, listing, measured
from helpers.grid_processes import Command, note_trainings, signal_itself
from helpers.interrupted import counted_steps, interrupted_after
from helpers.report_results import changed, train, unfinished, write
from helpers.small_experiment import SMALL, write_folder

import pecl.experiment.checks
from pecl.cli import main
from pecl.config import make_config
from pecl.errors import ConfigError, FleetSizeError, OutputError, PeclError
from pecl.experiment.run import train_fleet
from pecl.grid import estimate, expand, fleets, repeat_configs, run_grid
from pecl.grid.estimate import Recorded, StatusLine, duration, recorded_of, recorded_seconds
from pecl.grid.launchers.base import Event, Launcher, Task, WorkerDiedError
from pecl.grid.launchers.worker import work
from pecl.results.folder import hold
from pecl.results.result import collect, training_path
from pecl.training.trainer import Trainer


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shared")
    write_folder(folder)
    return folder


def four_runs(values, folder):
    """Values of a grid of four runs of eight steps each, on the data in `folder`."""
    return {**values, "dataset": str(folder / "captions.csv"), "lr": "1e-2,1e-3", "seed": "1,2", "fleet": 1}


@pytest.fixture
def configs(small, folder):
    return four_runs(small, folder)


@pytest.fixture(scope="module")
def undisturbed(folder):
    """Table, folder listing and contents of the grid where nothing disturbs it."""
    out = folder / "undisturbed"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PECL_CACHE_DIR", str(folder / "cache"))
        command = Command(["grid", *flags(four_runs({**SMALL, "out": out}, folder))], folder / "log")
    assert command.wait() == 0, command.err
    return command.out, listing(out), measured(out)


def check_undisturbed(undisturbed, command, out):
    assert command.wait() == 0, command.err
    assert (command.out, listing(out), measured(out)) == undisturbed


def test_two_grids_at_once_do_no_run_twice(configs, tmp_path, undisturbed):
    commands = [Command(["grid", *flags(configs)], tmp_path / f"log-{i}", note_trainings) for i in range(2)]
    assert [command.wait() for command in commands] == [0, 0]  # the one that ends later may hold a lock until then
    for command in commands:
        check_undisturbed(undisturbed, command, configs["out"])
    assert (tmp_path / "cache" / "trainings").read_text().count("x") == 4


def test_a_grid_takes_over_from_one_that_dies(configs, tmp_path, undisturbed):
    freezes = partial(signal_itself, signal.SIGSTOP, 8, f"{configs['out']}/.state/")  # it then holds its lock
    first = Command(["grid", *flags(configs)], tmp_path / "first", freezes)
    first.wait_until(lambda: list(Path(configs["out"]).glob(".state/*.safetensors")), "the first saved state")
    second = Command(["grid", *flags(configs)], tmp_path / "second")
    second.wait_until(lambda: "3 done, 0 running, 0 failed, 1 remaining" in second.err, "all runs but the held one")
    second.wait_until(lambda: "(waiting for another process)" in second.err, "waiting for the held one")
    assert first.process.is_alive()
    first.signal(signal.SIGKILL)
    check_undisturbed(undisturbed, second, configs["out"])


def test_ctrl_c_saves_and_stops(configs, tmp_path):
    configs = {**configs, "epochs": 2000, "lr": 1e-2, "seed": 1}
    command = Command(["grid", *flags(configs)], tmp_path / "log")
    command.wait_until(lambda: list(Path(configs["out"]).glob(".state/*.safetensors")), "a saved state")
    command.signal(signal.SIGINT)
    assert command.wait() == 130
    assert command.err.endswith("pecl: interrupted; the same command resumes from here\n")
    (path,) = Path(configs["out"]).glob("*.json")
    assert json.loads(path.read_text())["status"] == "interrupted"
    assert not list(Path(configs["out"]).glob(".*.lock"))

    dry = Command(["grid", *flags(configs), "--dry-run"], tmp_path / "dry")
    assert dry.wait() == 0
    stopped = json.loads(path.read_text())
    assert f"{stopped['run_id']} resumable from step {stopped['steps']} " in dry.out


def test_a_dry_run_names_the_step_that_a_killed_run_resumes_from(small, capsys):
    """A kill leaves the state and no result. Of the three runs the first two were trained together, and resume so."""
    trained, other = [make_config({**small, "seed": seed}) for seed in (1, 2)], make_config({**small, "seed": 3})
    with interrupted_after(5):
        train_fleet(trained)
    for config in trained:
        training_path(config).unlink()
    listed = sorted(map(str, Path(small["out"]).rglob("*")))
    arguments = ["grid", *flags({**small, "seed": "1,2,3"}), "--fleet", "2", "--dry-run"]
    assert main(arguments) == 0
    *lines, total = capsys.readouterr().out.splitlines()
    assert [line.partition(" language")[0].rstrip() for line in lines] == [
        *(f"{config.run_id()} resumable from step 5" for config in trained),
        f"{other.run_id()} new",
    ]
    assert total.startswith("3 runs, 3 to train")
    assert main([*arguments, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [(run["run_id"], run["status"], run["saved_step"], run["steps"]) for run in document["runs"]] == [
        *((config.run_id(), "resumable", 5, 8) for config in trained),
        (other.run_id(), "new", 0, 8),
    ]
    for other_fleet in (["train", *flags({**small, "seed": 1})], ["grid", *flags({**small, "seed": "1,2,3"})]):
        assert main([*other_fleet, "--dry-run"]) == 0
        assert "resumable" not in capsys.readouterr().out
    assert sorted(map(str, Path(small["out"]).rglob("*"))) == listed
    with counted_steps() as steps:
        train_fleet(trained)
    assert steps == [5, 6, 7]
    assert main([*arguments, "--json"]) == 0
    assert [run["status"] for run in json.loads(capsys.readouterr().out)["runs"]] == ["complete", "complete", "new"]


def test_a_failed_run_is_part_of_the_one_json_document(small, capsys):
    with no_luck():
        assert main(["grid", *flags(small), "--json"]) == 1
    (document,) = json.loads(capsys.readouterr().out)
    assert (document["status"], document["error"]) == ("failed", "RuntimeError: no luck")
    with no_luck():
        assert main(["grid", *flags(small)]) == 1
    assert capsys.readouterr().out == f"failed: {document['run_id']}: RuntimeError: no luck\n"


@contextmanager
def no_luck():
    """Let every training fail."""
    with patch("pecl.experiment.fleet_training.make_run", side_effect=RuntimeError("no luck")) as tried:
        yield tried


def test_a_failure_is_tried_again_by_the_next_grid_and_once_by_each(small):
    config = make_config(small)
    with no_luck() as tried:
        for _ in range(2):
            assert [result.error for result in run_grid([config]).failed] == ["RuntimeError: no luck"]
    assert tried.call_count == 2
    assert run_grid([config]).results[0].status == "complete"


KILLED = WorkerDiedError("the worker was killed by SIGKILL: no output")


class Faulty(Launcher):
    """A launcher whose first attempts end with `error`, or well, and leave no result."""

    def __init__(self, faults, error):
        self.faults, self.error, self.attempts = faults, error, 0

    def run(self, tasks):
        for task in tasks:
            self.attempts += 1
            assert self.attempts < 5, "the grid tries for ever"
            if self.attempts <= self.faults:
                yield Event("finished", task, self.error)
            else:
                work(task.configs, task.share)
                yield Event("finished", task)


@pytest.mark.parametrize(
    ("faults", "attempts", "error", "said"),
    [
        (0, 1, None, ""),
        (1, 2, KILLED, ""),
        (2, 2, None, "its results are not visible on this host"),
        (2, 2, KILLED, str(KILLED)),
    ],
)
def test_runs_whose_worker_dies_or_leaves_no_result_are_tried_once_more(small, error, said, faults, attempts):
    launcher = Faulty(faults, error)
    results = run_grid([make_config({**small, "seed": seed}) for seed in (1, 2)], launcher=launcher).results
    assert launcher.attempts == attempts
    assert [result.status for result in results] == ["failed" if faults > 1 else "complete"] * 2
    assert faults < 2 or all(said in result.error for result in results)


def test_a_fleet_that_fails_at_a_step_is_trained_run_by_run_from_the_start(small, monkeypatch):
    """Its state would lead the next grid to the same failure. The run that fails by itself is recorded as failed."""
    monkeypatch.setattr("pecl.training.trainer.SAVE_EVERY_SECONDS", -1.0)
    train_step = Trainer.train_step

    def fail_at_5(trainer):
        if trainer.step == 5 and any(config.seed == 2 for config in trainer.runs):
            raise RuntimeError("out of memory")
        return train_step(trainer)

    monkeypatch.setattr(Trainer, "train_step", fail_at_5)
    configs = [make_config({**small, "seed": seed}) for seed in (1, 2, 3)]
    assert [result.status for result in run_grid(configs).results] == ["complete", "failed", "complete"]

    monkeypatch.setattr(Trainer, "train_step", train_step)
    with counted_steps() as steps:
        assert [result.status for result in run_grid(configs).results] == ["complete"] * 3
    assert steps == [5, 6, 7]  # the failed run resumes alone


def test_runs_of_a_fleet_with_a_wrong_one_are_tried_separately(small):
    launcher = Faulty(1, PeclError("cannot read image broken.png"))
    results = run_grid([make_config({**small, "seed": seed}) for seed in (1, 2)], launcher=launcher).results
    assert launcher.attempts == 3
    assert [(result.status, result.fleet.size) for result in results] == [("complete", 1)] * 2


def test_runs_of_a_fleet_that_is_too_large_are_not_tried_separately(small):
    launcher = Faulty(1, FleetSizeError("expected at most 1"))
    with pytest.raises(FleetSizeError):
        run_grid([make_config({**small, "seed": seed}) for seed in (1, 2)], launcher=launcher)
    assert launcher.attempts == 1


def test_states_of_complete_runs_alone_are_removed(small):
    """One run is complete, one is complete and another process is at work on it again, one failed."""
    complete, busy, fails = (make_config({**small, "seed": seed}) for seed in (1, 2, 3))
    run_grid([complete, busy])
    states = Path(small["out"]) / ".state"
    states.mkdir()
    names = {config.seed: f"{config.run_id()}-0123456789abcdef.safetensors" for config in (complete, busy, fails)}
    for name in names.values():
        (states / name).write_text("")
    with no_luck(), hold(small["out"], [busy.run_id()]):
        assert len(run_grid([complete, busy, fails], fleet=1).failed) == 1
    assert {path.name for path in states.iterdir()} == {names[2], names[3]}


def test_a_complete_grid_is_read_from_a_folder_that_cannot_be_written(small, monkeypatch):
    first, second = (make_config({**small, "seed": seed}) for seed in (1, 2))
    trained = run_grid([first]).results
    before = listing(small["out"])
    monkeypatch.setattr(os, "access", lambda path, mode: not mode & os.W_OK)  # root may write into every folder
    assert run_grid([first]).results == trained
    with pytest.raises(OutputError, match=r"cannot write into .*: no permission to write in"):
        run_grid([first, second])
    assert listing(small["out"]) == before


def test_bad_input_of_one_run_does_not_stop_the_others(small):
    """A first run that cannot be trained stops the grid; a later one is recorded."""
    good, bad = make_config(small), make_config({**small, "adapter": "prefix", "engine": "opendelta"})
    outcome = run_grid([good, bad])
    assert [result.status for result in outcome.results] == ["complete", "failed"]
    with pytest.raises(ConfigError):
        run_grid([bad, good])
    fleet = [make_config({**small, "adapter": "misspelt", "seed": seed, "out": f"{small['out']}-2"}) for seed in (1, 2)]
    with pytest.raises(ConfigError, match="unknown adapter 'misspelt'"):
        run_grid(fleet)
    assert not Path(fleet[0].out).exists()


def test_fleets_form_by_themselves_of_all_that_are_alike_and_leave_no_job_idle(small):
    configs = expand({**small, "lr": [1e-3, 1e-4, 1e-5], "rank": [1, 2], "language": ["de", "fr"]})
    assert [[c.rank for c in group] for group in fleets(configs)] == [[1] * 6, [2] * 6]
    assert [len(group) for group in fleets(configs, "auto", jobs=4)] == [2] * 6
    weights = expand({**small, "route": ["baseline1", "method1"], "alignment_weight": [0.1, 0.2]})
    assert [c.alignment_weight for c in weights] == [0.1, 0.1, 0.2], "without an alignment its weight changes no run"
    german = [config for config in configs if config.language == "de"]
    assert [[(c.rank, c.lr) for c in group] for group in fleets(german, 2)] == [
        [(1, 1e-3), (1, 1e-4)], [(1, 1e-5)], [(2, 1e-3), (2, 1e-4)], [(2, 1e-5)],
    ]  # fmt: skip
    assert [len(group) for group in fleets(configs, "4")] == [4, 2, 4, 2]
    assert [len(group) for group in fleets(expand({**small, "seed": list(range(1, 41))}))] == [16, 16, 8]
    assert [len(group) for group in fleets(expand({**small, "engine": "opendelta", "seed": [1, 2]}))] == [1, 1]


def test_a_fleet_is_divided_where_it_does_not_fit_and_one_that_was_asked_for_is_refused(small, monkeypatch, capsys):
    monkeypatch.setattr(pecl.experiment.checks, "largest_fleet", lambda *_: 2)
    outcome = run_grid([make_config({**small, "seed": seed}) for seed in (1, 2, 3)])
    assert [result.fleet.size for result in outcome.results] == [2, 2, 1]
    values = {**small, "seed": "1,2,3", "out": f"{small['out']}-asked"}
    assert main(["grid", *flags(values), "--fleet", "3"]) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said == "pecl: --fleet: expected at most 2, which fit into the memory here, or auto, got 3"
    assert not Path(values["out"]).exists()


def test_best_of_trains_the_chosen_candidates_with_further_seeds(small, capsys):
    assert main(["grid", *flags({**small, "lr": "1e-2,1e-6", "route": "method1,baseline1"})]) == 0
    capsys.readouterr()
    assert main(["grid", "--best-of", small["out"], "--seeds", "2,3", "--epochs", "1", "--json"]) == 0
    configs = [result["config"] for result in json.loads(capsys.readouterr().out)]
    assert [(c["route"], c["seed"], c["epochs"], c["out"]) for c in configs] == [
        (route, seed, 1, small["out"]) for route in ("baseline1", "method1") for seed in (2, 3)
    ]


def test_a_joint_training_is_repeated_with_all_its_languages(tmp_path):
    (result,) = collect([write(tmp_path, train(4, 9, language="de", joint="cs+de"))])
    repeated = repeat_configs([result], {"seed": [2, 3]})
    assert sorted((config.language, config.joint, config.seed, config.out) for config in repeated) == [
        (language, "cs+de", seed, str(tmp_path)) for language in ("cs", "de") for seed in (2, 3)
    ]


def test_the_time_of_runs_is_that_of_recorded_ones(small):
    values = {"shots": 50, "epochs": 10, "batch_size": 5}
    configs = expand({**values, "lr": [1e-4, 2e-4, 3e-4]})
    recorded = [Recorded(config, seconds, 100) for config, seconds in zip(configs, (10.0, 20.0, 60.0), strict=True)]
    assert estimate(configs, recorded).seconds == pytest.approx(3 * 20)
    assert estimate(configs, recorded, jobs=2).seconds == pytest.approx(30)
    # half of the first run is left: the medians of 5, 10 and 30, and twice that of 10, 20 and 60
    assert estimate(configs, recorded, steps=[50, 100, 100]).seconds == pytest.approx(10 + 2 * 20)
    Path(small["out"]).mkdir()
    Path(small["out"], "damaged.json").write_text("{")
    assert recorded_seconds([make_config(small)]) == []
    longer = expand({**values, "epochs": 30, "adapter": "bottleneck"})  # another shape: 300 steps of 0.2 s
    assert estimate(longer, recorded).seconds == pytest.approx(60)
    assert str(estimate(longer, recorded)) == "about 60 s (by a step's recorded time for 1 of 1 runs)"
    assert estimate(expand({"profile": "paper"}), recorded).seconds is None
    assert [duration(s) for s in (40, 600, 7200, 180_000)] == ["40 s", "10 min", "2.0 h", "2.1 days"]


def test_a_dry_run_counts_a_state_as_resumable_by_the_threads_that_will_train(small, monkeypatch, capsys):
    """Two processes have half of the cores each, so that the state of a grid in one process does not fit them."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3})
    torch.set_num_threads(2)
    with interrupted_after(5):
        train_fleet([make_config({**small, "seed": 1})])

    arguments = ["grid", *flags({**small, "seed": "1,2"}), "--fleet", "1", "--dry-run"]
    assert main([*arguments, "--jobs", "2"]) == 0
    assert "resumable from step 5" in capsys.readouterr().out
    assert main([*arguments, "--jobs", "4"]) == 0
    assert "resumable" not in capsys.readouterr().out


def test_the_time_left_is_that_of_as_many_runs_at_a_time_as_there_are_processes():
    before = changed(train(4, 6), {"seconds.train": 60.0})
    lines = [StatusLine(9, [before], [before.config] * 8, jobs) for jobs in (1, 4)]
    assert [line.text().partition("remaining, ")[2] for line in lines] == ["8 min of training left", "2 min left"]
    for line in lines:
        line.close()


@pytest.fixture
def clock(monkeypatch):
    now = SimpleNamespace(seconds=0.0)
    monkeypatch.setattr(sys.modules["pecl.grid.estimate"], "time", SimpleNamespace(monotonic=lambda: now.seconds))
    return now


def time_left(line):
    return line.text().partition("remaining, ")[2]


def test_the_time_left_counts_no_loading_and_never_stays_at_a_few_seconds(clock):
    """A minute of loading and two runs of 6 s, of which the second takes a minute."""
    trained = changed(train(4, 6), {"seconds.train": 6.0})
    line = StatusLine(3, [trained], [trained.config] * 2)
    task = Task((trained.config,))
    line.started(task)
    said = [time_left(line)]
    clock.seconds = 60.0
    said.append(time_left(line))
    line.advanced(0.5)
    said.append(time_left(line))
    line.left(task)
    line.ended([trained])
    line.started(task)
    for clock.seconds in (90.0, 118.0, 130.0):
        said.append(time_left(line))
    line.left(task)
    line.ended([trained])
    said.append(time_left(line))
    line.close()
    assert said == [
        *("12 s of training left", "12 s of training left", "9 s of training left"),
        *("30 s left", "2 s left", "longer than estimated", "0 s left"),
    ]


def test_the_status_line_is_rewritten_while_nothing_happens(monkeypatch):
    monkeypatch.setattr(sys.modules["pecl.grid.estimate"], "_REWRITE_SECONDS", 0.01)
    rewritten = Signal()
    monkeypatch.setattr(StatusLine, "refresh", lambda _: rewritten.set())
    line = StatusLine(2, [], [])
    assert rewritten.wait(300)
    line.close()
    assert not line.clock.is_alive()


def test_the_time_of_a_run_of_a_fleet_is_its_share():
    """Four runs that took 120 s together count as 30 s each."""
    alone = changed(train(4, 6), {"seconds.train": 120.0})
    of_a_fleet = changed(alone, {"fleet.size": 4})
    assert [run.seconds for run in recorded_of([alone, of_a_fleet])] == [120.0, 30.0]
    assert estimate([alone.config] * 4, recorded_of([of_a_fleet])).seconds == pytest.approx(120)


def test_a_failure_is_stated_in_one_line():
    run = unfinished(train(4, 6), error="RuntimeError: out of memory\nTried to allocate 2 GiB")
    assert run.to_text() == f"failed: {run.run_id}: RuntimeError: out of memory Tried to allocate 2 GiB"


def test_the_status_line_counts_each_outcome_once():
    trained = train(4, 6)
    line = StatusLine(6, [trained], [])
    line.ended([unfinished(trained), trained, trained])
    assert line.text().startswith("3 done, 0 running, 1 failed, 2 remaining, ")
    line.close()


def test_of_equal_runs_the_first_is_kept_and_other_engines_train_one_at_a_time():
    (config,) = expand({"route": "baseline1", "alignment_weight": [0.1, 0.2]})  # nothing is aligned
    assert config.alignment_weight == 0.1
    values = {"seed": [1, 2, 3]}
    assert [len(group) for group in fleets(expand(values))] == [3]
    assert [len(group) for group in fleets(expand({**values, "engine": "opendelta"}))] == [1, 1, 1]


def test_values_with_lists_are_a_grid(configs):
    """A notebook calls `pecl.run_grid` with values, as the command line with flags."""
    values = {**configs, "lr": [1e-2, 1e-3], "seed": 1}
    values.pop("fleet")  # the command's flag
    outcome = run_grid(values)
    assert [result.config for result in outcome.results] == expand(values)
    assert [result.status for result in outcome.results] == ["complete"] * 2
