"""Benchmarks run: the small figures whole, and the paper's pair at its true size."""

import json
import os
import shutil
import subprocess
import sys

import pytest
from helpers.project import ROOT

from pecl.adapters.formats.files import load_adapter_file
from pecl.results.result import read_result


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


pytestmark = pytest.mark.slow
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


def test_the_papers_pair_at_its_true_size(folder):
    """It loads in a minute and 6 GB, and training takes a fifth of the released way's time or less."""
    figures = figures_of("large", "--folder", folder)
    assert figures["load_seconds"] < 60
    assert figures["load_peak_mb"] < figures["peak_mb"] < 6000  # the weights are mapped, and read in the first step
    assert figures["ratio"] >= 5


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
