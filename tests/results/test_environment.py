import subprocess
import sys

import pytest

CHILD = """
from pecl.results.environment import process_peak_mb
before = process_peak_mb()
held = b"1" * (64 << 20)
print(before, process_peak_mb())
"""
PARENT = f"""
import subprocess, sys
held = b"1" * (400 << 20)
subprocess.run([sys.executable, "-c", {CHILD!r}], check=True)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a process is told the peak alone that getrusage knows")
def test_the_peak_of_memory_is_the_process_own_and_not_that_of_the_one_that_started_it():
    done = subprocess.run([sys.executable, "-c", PARENT], capture_output=True, text=True, check=True)
    before, after = map(float, done.stdout.split())
    assert before < 300
    assert 60 < after - before < 80
