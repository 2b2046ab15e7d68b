"""Trackers receive each validation once, also of runs that are interrupted; their files are read by their packages."""

import os
import signal
import sys
import time
from functools import partial

import pytest
from helpers.folders import flags
from helpers.grid_processes import Command
from helpers.interrupted import counted_steps
from helpers.small_experiment import SMALL, write_folder
from helpers.tracked import LAST_STEP, read_csv, read_mlflow, read_tensorboard, read_trackio, read_wandb

import pecl
import pecl.training.trainer
from pecl.config.plugins import load_plugin
from pecl.errors import ConfigError
from pecl.experiment.dry_run import check_run
from pecl.experiment.tracking import TrackerCallback
from pecl.grid import expand, run_grid
from pecl.results.result import read_result

STEPS = [2, 4, 6, LAST_STEP]  # the validations of SMALL


READERS = {
    "csv": read_csv,
    "tensorboard": read_tensorboard,
    "mlflow": read_mlflow,
    "wandb": read_wandb,
    "trackio": read_trackio,
}


SLOW = ("mlflow", "wandb", "trackio")  # to import
NAMES = [pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else []) for name in READERS]


@pytest.fixture
def offline(monkeypatch, tmp_path):
    for name in ("WANDB_MODE", "WANDB_PROJECT", "MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TRACKIO_DIR", os.environ.get("TRACKIO_DIR", str(tmp_path / "trackio")))


def check(rows, result):
    """Compare the rows of a tracker with the curve and the recalls of the run's result."""
    losses = [(step, value) for name, step, value in rows if name == "loss"]
    scores = [(step, value) for name, step, value in rows if name == "validation_recall"]
    assert losses == [(step, pytest.approx(value)) for step, value in result.curve.loss]
    assert scores == [(step, pytest.approx(value)) for step, value in result.curve.val_mean_recall_at_1]
    assert [step for step, _ in losses] == STEPS

    peaks = [value for name, _, value in rows if name == "peak_memory_mb"]
    assert len(peaks) == len(STEPS)
    assert peaks[-1] <= result.peak_memory_mb + 0.1
    (recall,) = [(step, value) for name, step, value in rows if name == "test/best/text_to_image/recall@1"]
    expected = result.recall("test", "best", direction="text_to_image")
    assert recall == (STEPS[-1], pytest.approx(expected))


def test_the_curve_of_a_run_that_is_pruned_has_its_validations(small, tmp_path):
    class Prune(pecl.Callback):
        def after_step(self, event):
            if event.step == 5:
                event.prune()

    (outcome,) = pecl.train_fleet([{**small, "report_to": "csv"}], callbacks=[Prune()])
    assert (outcome.status, outcome.steps) == ("pruned", 5)
    rows = read_csv(tmp_path / "results", outcome.name)
    assert [step for name, step, _ in rows if name == "validation_recall"] == [2, 4]


class SaveOnlyUntil(pecl.Callback):
    """Lets the state be saved after each step up to one."""

    def __init__(self, monkeypatch, step):
        self.monkeypatch, self.step = monkeypatch, step
        monkeypatch.setattr(pecl.training.trainer, "SAVE_EVERY_SECONDS", -1.0)

    def after_step(self, event):
        if event.step == self.step:
            self.monkeypatch.setattr(pecl.training.trainer, "SAVE_EVERY_SECONDS", 1e9)


@pytest.mark.parametrize("name", NAMES)
def test_runs_of_a_fleet_that_was_interrupted_have_each_validation_once(name, small, offline, monkeypatch, tmp_path):
    pytest.importorskip({"csv": "csv"}.get(name, name))
    configs = expand({**small, "report_to": name, "seed": [1, 2]})
    with counted_steps(7), pytest.raises(KeyboardInterrupt):  # rows 4 and 6 are later than the saved state
        pecl.train_fleet(configs, callbacks=[SaveOnlyUntil(monkeypatch, 3)])
    for result in pecl.train_fleet(configs):
        check(READERS[name](tmp_path / "results", result.name), result)


@pytest.mark.parametrize("name", NAMES)
def test_a_run_that_begins_anew_replaces_its_curve(name, small, offline, tmp_path):
    pytest.importorskip({"csv": "csv"}.get(name, name))
    config = pecl.make_config({**small, "report_to": name})
    first = pecl.train(config)
    first.path.unlink()
    if name == "wandb":
        time.sleep(1.1)  # it names the folder of a run by the second of its start
    again = pecl.train(config)
    check(READERS[name](tmp_path / "results", again.name), again)


def test_only_closed_form_phases_report_recalls(small, tmp_path):
    values = {**small, "adapter": "head", "rank": None, "solver": "closed-form", "report_to": "csv"}
    result = pecl.train(values)
    names = {name for name, _, _ in read_csv(tmp_path / "results", result.name)}
    assert "test/best/mean_recall@1" in names
    assert "loss" not in names


def kill_at_step_6():
    def after_validation(self, event):
        if event.step == 6:
            os.kill(os.getpid(), signal.SIGKILL)
        report(self, event)

    report = TrackerCallback.after_validation
    TrackerCallback.after_validation = after_validation


@pytest.mark.slow
def test_a_grid_that_was_killed_and_run_again_has_continuous_curves(tmp_path, monkeypatch):
    pytest.importorskip("tensorboard")
    pytest.importorskip("mlflow")
    monkeypatch.setenv("PECL_CACHE_DIR", str(tmp_path / "cache"))
    values = {**SMALL, "dataset": str(write_folder(tmp_path)), "out": str(tmp_path / "results"), "lr": "1e-2,1e-3"}
    arguments = ["grid", *flags({**values, "report_to": "tensorboard,mlflow,csv"})]
    assert Command(arguments, tmp_path / "first", kill_at_step_6).wait() == -signal.SIGKILL
    second = Command(arguments, tmp_path / "second")
    assert second.wait() == 0, second.err
    results = [read_result(path) for path in sorted((tmp_path / "results").glob("de-*.json"))]
    assert len(results) == 2
    for result in results:
        for name in ("tensorboard", "mlflow", "csv"):
            check(READERS[name](tmp_path / "results", result.name), result)


@pytest.mark.parametrize("begin", [pecl.train, lambda config: check_run([config])], ids=["train", "dry run"])
def test_a_package_that_is_missing_is_named_before_anything_is_written(small, monkeypatch, tmp_path, begin):
    monkeypatch.setitem(sys.modules, "trackio", None)
    config = pecl.make_config({**small, "report_to": "csv,trackio"})
    with pytest.raises(ConfigError, match=r"report_to: trackio needs the package trackio: pip install .*trackers"):
        begin(config)
    assert not (tmp_path / "results").exists()


def test_a_name_that_is_no_tracker_is_refused_with_the_nearest(small):
    with pytest.raises(ConfigError, match=r'several joined by commas or "none", got "tensorbord"; did you mean "tens'):
        pecl.make_config({**small, "report_to": "csv,tensorbord"})


def test_a_list_of_trackers_in_a_grid_is_no_list_of_runs(small):
    with pytest.raises(ConfigError, match="report_to: expected one value, since it distinguishes no runs, got 2"):
        expand({**small, "report_to": ["csv", "tensorboard"]})


def test_trackers_are_no_part_of_a_run(small):
    plain, tracked = pecl.make_config(small), pecl.make_config({**small, "report_to": "csv"})
    assert (plain.run_id(), plain.identity()) == (tracked.run_id(), tracked.identity())


PLUGIN = """
import pecl

@pecl.register_tracker("lines")
class Lines:
    def __init__(self, folder):
        self.path = folder / "lines.txt"

    def log_config(self, run, config, step):
        self.write(f"begin {run} {config['language']} {step}")

    def log(self, run, metrics, step):
        self.write(f"log {run} {step}")
        if step == 4:
            raise OSError("no space left")

    def close(self, run):
        self.write(f"close {run}")

    def write(self, line):
        with self.path.open("a") as file:
            print(line, file=file)
"""


def test_a_registered_tracker_that_fails_is_left_out_and_the_training_goes_on(small, tmp_path, caplog, registries):
    (tmp_path / "mine.py").write_text(PLUGIN)
    load_plugin(str(tmp_path / "mine.py"))
    (result,) = run_grid(expand({**small, "report_to": "lines,csv"})).results
    lines = (tmp_path / "results" / "lines.txt").read_text().splitlines()
    assert lines == [f"begin {result.name} de 0", f"log {result.name} 2", f"log {result.name} 4"]
    assert "report_to: lines failed and is disabled: OSError: no space left" in caplog.text
    check(read_csv(tmp_path / "results", result.name), result)


def test_a_class_without_a_method_is_no_tracker():
    with pytest.raises(ConfigError, match="tracker half: expected a method log"):
        pecl.register_tracker("half")(type("Half", (), {"log_config": partial(print)}))
