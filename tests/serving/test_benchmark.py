"""benchmarks/serving.py on the mini tower: 64 clients in 12 languages, equal to one alone, and faster together."""

import json
import subprocess
import sys

import pytest
from helpers.project import ROOT


@pytest.mark.slow
@pytest.mark.weights
def test_together_is_faster_than_one_after_the_other_and_equal():
    command = [sys.executable, "benchmarks/serving.py", "--requests", "4", "--rounds", "1", "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert (figures["clients"], figures["languages"]) == (64, 12)
    assert figures["largest_difference"] < 1e-5
    assert figures["ratio"] > 1.2
