import json
import os
import subprocess
import sys

import pytest
from helpers.project import ROOT


@pytest.mark.slow
@pytest.mark.parametrize(
    ("part", "figure", "limit"),
    [("evaluator", "peak_mb", 1024), ("report", "peak_mb", 350), ("store", "beyond_imports_mb", 200)],
)
def test_large_inputs_take_little_memory(part, figure, limit):
    command = [sys.executable, "benchmarks/scale.py", part, "--json"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert 0 < json.loads(done.stdout)[part][figure] < limit
