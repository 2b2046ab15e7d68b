"""Benchmarks run: the small figures whole, and the paper's pair at its true size."""

import json
import os
import shutil
import subprocess
import sys

import pytest
from helpers.project import ROOT

MEMORY = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
pytestmark = pytest.mark.slow
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


@pytest.mark.weights
def test_the_small_figures(tmp_path):
    command = [sys.executable, "benchmarks/run.py", "--small", "--json", str(tmp_path / "figures.json")]
    done = subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    document = json.loads((tmp_path / "figures.json").read_text())
    figures = [figure for part in document["figures"].values() for figure in part]
    assert {"peak", "precision", "layers", "encoding", "bank", "startup", "fleets"} <= document["figures"].keys()
    assert all(figure["value"] > 0 and not figure["regressed"] for figure in figures)


@pytest.mark.weights
def test_the_stages_of_training_text():
    command = [sys.executable, "benchmarks/text_files.py", "--pairs", "2000", "--steps", "1", "--json"]
    subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, check=True)


@pytest.mark.skipif(MEMORY < 8 * 2**30, reason="the pair needs 8 GB of memory")
def test_the_papers_pair_at_its_true_size(tmp_path):
    """It loads in a minute and 6 GB, and training takes a fifth of the released way's time or less."""
    command = [sys.executable, "benchmarks/large.py", "--folder", str(tmp_path / "pair"), "--json"]
    done = subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True, check=True)
    shutil.rmtree(tmp_path / "pair")  # 4 GB of random weights
    figures = json.loads(done.stdout)
    assert figures["load_seconds"] < 60
    assert figures["load_peak_mb"] < figures["peak_mb"] < 6000  # the weights are mapped, and read in the first step
    assert figures["ratio"] >= 5
