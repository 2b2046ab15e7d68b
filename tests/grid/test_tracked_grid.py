"""A grid over five of PEFT's methods with trackers, killed while it trains and resumed."""

import json
import signal
import sqlite3
from functools import partial
from pathlib import Path

import pytest
from helpers.folders import flags, measured
from helpers.grid_processes import Command, kill_before_step
from helpers.small_experiment import SMALL, write_folder

pytest.importorskip("peft")
pytest.importorskip("tensorboard")
pytest.importorskip("mlflow")

METHODS = ("lora:r=2", "vera:r=8", "boft", "fourierft:n_frequency=20", "ia3")
VALUES = {
    **{name: value for name, value in SMALL.items() if name != "rank"},
    "engine": "peft",
    "gallery": "english",
    "route": "method1",
    "seed": "1,2",
    "report-to": "tensorboard,mlflow",
}


@pytest.fixture(scope="module")
def grid(tmp_path_factory):
    """Return what starts the grid in a process of its own: the folder of results, and a set-up of the process."""
    folder = tmp_path_factory.mktemp("grid")
    table = write_folder(folder)
    (folder / "methods.yaml").write_text(json.dumps({"adapter": list(METHODS)}), "utf-8")

    def start(out, setup=None):
        values = {**VALUES, "dataset": table, "out": folder / out, "config": folder / "methods.yaml"}
        return folder / out, Command(["grid", *flags(values)], folder / f"{out}.log", setup)

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PECL_CACHE_DIR", str(folder / "cache"))
        yield start
    Command.kill_all()


def tensorboard_steps(out):
    """Return the steps of the validation recall of each run, in the order in which TensorBoard's files hold them."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    steps = {}
    for run in sorted(Path(out, "tensorboard").iterdir()):
        events = EventAccumulator(str(run)).Reload()
        steps[run.name] = [event.step for event in events.Scalars("validation_recall")]
    return steps


def mlflow_steps(out):
    """Return the steps of the validation recall of each run, read from MLflow's SQLite."""
    query = (
        "select tags.value, metrics.step from metrics join tags on tags.run_uuid = metrics.run_uuid "
        "where tags.key = 'mlflow.runName' and metrics.key = 'validation_recall' order by 1, metrics.step"
    )
    steps = {}
    with sqlite3.connect(Path(out, "mlflow.db")) as database:
        for run, step in database.execute(query):
            steps.setdefault(run, []).append(step)
    return steps


@pytest.mark.slow
def test_five_methods_of_peft_with_trackers_survive_kills(grid):
    """SIGKILL in two runs: each curve has each validation once, and all results are those of a grid without kills."""
    whole, command = grid("whole")
    assert command.wait() == 0, command.err

    for at in (6, 15):  # of 80 steps, in two of the runs
        out, command = grid("killed", partial(kill_before_step, at))
        assert command.wait() == -signal.SIGKILL, command.err
        assert list(out.glob(".state/*.safetensors"))
    out, command = grid("killed")
    assert command.wait() == 0, command.err

    results = measured(out)[0]
    assert [result["status"] for result in results] == ["complete"] * 10
    assert len({result["adapter"]["spec"] for result in results}) == 5
    assert measured(out) == measured(whole)
    for steps in (tensorboard_steps(out), mlflow_steps(out)):
        assert set(steps) == {path.stem for path in out.glob("*.json")}
        assert all(of_run == [2, 4, 6, 8] for of_run in steps.values())
