"""The figures of benchmarks: what counts as a regression; and the small ones, whole."""

import json
import os
import subprocess
import sys
import time

import pytest
import torch
from helpers.project import ROOT


def run(*arguments):
    command = [sys.executable, "benchmarks/run.py", *arguments]
    return subprocess.run(
        command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )


@pytest.mark.parametrize(
    ("value", "unit", "floor", "regressed"),
    [
        (2.0, "x", 1.5, False),
        (1.4, "x", 1.5, True),
        (0.4, "s", 2.0, False),
        (2.1, "s", 2.0, True),
        (0.1, "x", None, False),
    ],
)
def test_a_figure_worse_than_its_floor_has_regressed(monkeypatch, value, unit, floor, regressed):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    from figures import Figure

    figure = Figure("name", value, unit, floor=floor)
    assert figure.regressed is regressed
    assert figure.to_json()["regressed"] is regressed
    assert ("REGRESSED" in figure.line()) is regressed


def test_what_takes_turns_is_timed_part_by_part(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    from figures import by_turns

    order = []
    took = by_turns({"a": lambda part: order.append(("a", part)), "b": lambda part: order.append(("b", part))}, [1, 2])
    assert order == [("a", 1), ("b", 1), ("a", 2), ("b", 2)]
    assert set(took) == {"a", "b"}


@pytest.mark.parametrize(("value", "arguments", "status"), [(1.0, ["--small"], 1), (2.0, ["--small"], 0), (1.0, [], 0)])
def test_a_small_run_fails_on_a_regression(monkeypatch, capsys, value, arguments, status):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import run as benchmark
    from figures import Figure

    monkeypatch.setattr(benchmark, "measure", lambda part, small, device: [Figure("made up", value, floor=1.5)])
    monkeypatch.setattr(sys, "argv", ["run.py", "peak", *arguments])
    assert benchmark.main() == status
    assert ("regressed: made up" in capsys.readouterr().err) is (value < 1.5)


@pytest.mark.parametrize(
    ("values", "status"), [((1.0, 1.4, 1.6), 0), ((1.0, 1.6), 0), ((1.0, 1.4, 1.3), 1), ((1.6,), 0)]
)
def test_a_figure_has_regressed_if_it_is_worse_three_times(monkeypatch, values, status):
    """And is measured no more often than that, nor once it is better."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import run as benchmark
    from figures import Figure

    left = list(values)
    monkeypatch.setattr(benchmark, "measure", lambda *_: [Figure("one", left.pop(0), floor=1.5), Figure("two", 1.0)])
    monkeypatch.setattr(sys, "argv", ["run.py", "peak", "--small"])
    assert benchmark.main() == status
    assert left == []


def test_one_thread_counts_what_the_processor_does(monkeypatch):
    """So that other work on the machine, or a process that waits, does not count."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    from figures import seconds

    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: False)
    torch.set_num_threads(1)
    assert seconds(lambda: time.sleep(0.2)) < 0.1
    torch.set_num_threads(2)
    assert seconds(lambda: time.sleep(0.2)) >= 0.2


def test_an_unknown_part_is_named():
    done = run("speed")
    assert done.returncode == 2
    assert "no part speed: expected one of peak, precision" in done.stderr


@pytest.mark.weights
def test_the_small_figures(tmp_path):
    done = run("--small", "--json", str(tmp_path / "figures.json"))
    assert done.returncode == 0, done.stderr
    document = json.loads((tmp_path / "figures.json").read_text())
    figures = [figure for part in document["figures"].values() for figure in part]
    assert {"peak", "precision", "layers", "encoding", "bank", "startup", "fleets"} <= document["figures"].keys()
    assert all(figure["value"] > 0 and not figure["regressed"] for figure in figures)
