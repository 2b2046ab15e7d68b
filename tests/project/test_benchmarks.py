"""The figures of benchmarks: the ones that count as a regression; the small ones, whole."""

import json
import os
import shutil
import subprocess
import sys
import time

import pytest
import torch
from helpers.project import ROOT
from helpers.small_experiment import tiny_towers

from pecl.adapters.adapter import attach
from pecl.adapters.formats.files import load_adapter_file
from pecl.adapters.spec import parse_adapter
from pecl.config import make_config
from pecl.data.scenes import load_scenes
from pecl.encoders.towers import Towers
from pecl.experiment.prepared import prepare_training
from pecl.results.result import read_result

sys.path.insert(0, str(ROOT / "benchmarks"))
import figures
import large
import one_run
import run as benchmark
from figures import Figure, by_turns, seconds
from one_run import ReleasedWay


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
def test_a_figure_worse_than_its_floor_has_regressed(value, unit, floor, regressed):
    figure = Figure("name", value, unit, floor=floor)
    assert figure.regressed is regressed
    assert figure.to_json()["regressed"] is regressed
    assert ("REGRESSED" in figure.line()) is regressed


def test_what_takes_turns_is_timed_part_by_part():
    order = []
    took = by_turns({"a": lambda part: order.append(("a", part)), "b": lambda part: order.append(("b", part))}, [1, 2])
    assert order == [("a", 1), ("b", 1), ("a", 2), ("b", 2)]
    assert set(took) == {"a", "b"}


TRIED = [((1.0, 1.4, 1.6), 0), ((1.0, 1.6), 0), ((1.0, 1.4, 1.3), 1), ((1.6,), 0)]


@pytest.mark.parametrize(
    ("values", "flags", "status"), [*((values, ["--small"], status) for values, status in TRIED), ((1.0,), [], 0)]
)
def test_a_small_run_fails_on_a_figure_that_is_worse_three_times(monkeypatch, capsys, values, flags, status):
    """And measures no more often than that, nor once it is better."""
    left = list(values)
    monkeypatch.setattr(benchmark, "measure", lambda *_: [Figure("one", left.pop(0), floor=1.5), Figure("two", 1.0)])
    monkeypatch.setattr(sys, "argv", ["run.py", "peak", *flags])
    assert benchmark.main() == status
    assert left == []
    assert ("regressed: one\n" in capsys.readouterr().err) is (values[-1] < 1.5)


def test_one_thread_counts_what_the_processor_does(monkeypatch):
    """So that other work on the machine, or a process that waits, does not count."""
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: False)
    torch.set_num_threads(1)
    assert seconds(lambda: time.sleep(0.2)) < 0.1
    torch.set_num_threads(2)
    assert seconds(lambda: time.sleep(0.2)) >= 0.2


def test_what_a_gpu_is_told_is_timed_to_its_end(monkeypatch):
    """A launch returns at once, so a step that nobody waits for would take no time."""
    order = []
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: order.append("wait"))
    monkeypatch.setattr(figures, "now", lambda: order.append("now") or len(order))
    assert figures.seconds(lambda: order.append("work")) == 3
    assert order == ["wait", "now", "work", "wait", "now"]


def test_the_released_way_works_on_another_device(fake_device, small, monkeypatch):
    losses = []
    for device in (torch.device("cpu"), fake_device.device):
        plain = tiny_towers()
        towers = Towers(lambda plain=plain, device=device: plain.text.to(device), lambda plain=plain: plain.image)
        losses.append(ReleasedWay(prepare_training(make_config(small), towers), [[0, 1, 2]], batch=4).step())
        towers.text.adapter.remove()
        data = load_scenes("de", size=large.SCHEDULE.batch_size)
        large.released_way(towers, attach(towers.text, parse_adapter("lora:r=2")), data, data).step(0)
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_parts_are_measured_on_the_device_that_is_asked_for(monkeypatch):
    asked = []
    found = {"ratio": 1.0, "ratio, every later run": 1.0, "steps": 1}
    monkeypatch.setattr(large, "compare", lambda folder, precision, device: asked.append(device) or found)
    monkeypatch.setattr(one_run, "load_towers", lambda *_, device, precision: asked.append(device) or "towers")
    monkeypatch.setattr(one_run, "prepare_training", lambda config, towers: asked.append(config.device) or 1 / 0)
    large.measure(False, "cuda")
    with pytest.raises(ZeroDivisionError):
        one_run.measure(False, "cuda")
    assert set(asked) == {"cuda"}
    assert len(asked) == 5


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["speed"], "no part speed: expected one of peak, precision"),
        (["--device", "nowhere"], "device: expected one that is there, such as cpu"),
        (["--json", "benchmarks/run.py/figures.json"], "cannot write into benchmarks/run.py"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_measured(arguments, sentence, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(benchmark, "measure", None)
    monkeypatch.setattr(sys, "argv", ["run.py", *arguments])
    with pytest.raises(SystemExit) as ended:
        benchmark.main()
    printed = capsys.readouterr()
    assert (ended.value.code, printed.out) == (2, "")
    assert sentence in printed.err


@pytest.mark.weights
def test_the_small_figures(tmp_path):
    command = [sys.executable, "benchmarks/run.py", "--small", "--json", str(tmp_path / "figures.json")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    document = json.loads((tmp_path / "figures.json").read_text())
    figures = [figure for part in document["figures"].values() for figure in part]
    assert {"peak", "precision", "layers", "encoding", "bank", "startup", "fleets"} <= document["figures"].keys()
    assert all(figure["value"] > 0 and not figure["regressed"] for figure in figures)


GIB = 2**30


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder for the random pair, which is written once; it goes when both tests are over."""
    folder = tmp_path_factory.mktemp("large")
    if shutil.disk_usage(folder).free < 6 * GIB:
        pytest.skip("the random pair needs 4 GB of disk")
    if os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") < 8 * GIB:
        pytest.skip("the pair needs 8 GB of memory")
    yield folder
    shutil.rmtree(folder)


def figures_of(benchmark, *arguments):
    command = [sys.executable, f"benchmarks/{benchmark}.py", *map(str, arguments), "--json"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)


@pytest.mark.slow
def test_the_papers_pair_at_its_true_size(folder):
    """It loads in a minute and 6 GB, and training takes a fifth of the released way's time or less."""
    figures = figures_of("large", "--folder", folder)
    assert figures["load_seconds"] < 60
    assert figures["load_peak_mb"] < figures["peak_mb"] < 6000  # the weights are mapped, and read in the first step
    assert figures["ratio"] >= 5


@pytest.mark.slow
def test_distillation_of_the_papers_pair_ends_with_an_adapter_and_a_result(folder):
    """All three steps of the solver, with both towers; a fresh process reads what was written."""
    figures = figures_of("large_distil", "--folder", folder, "--pairs", 32, "--epochs", 1)
    assert figures["anonymous_peak_mib"] < 4000  # the rest is pages of the weights' files, 3.8 GB
    result, file = read_result(figures["result"]), load_adapter_file(figures["adapter_file"])
    assert result.status == "complete"
    assert result.config.solver == "closed-form+gradient+closed-form"
    assert (result.steps, [solved.pairs for solved in result.closed_form]) == (1, [32, 32])
    lora, norms, head = 24 * 2 * 3 * (1024 + 4096), 24 * 4 * 1024, 34 * (1024 + 768) + 768
    assert sum(tensor.numel() for tensor in file.state.values()) == lora + norms + head == 897_280
    assert result.adapter.share == pytest.approx(0.0016, abs=5e-5)
