"""The peak memory that a result records is the most that the process ever held, not what it holds."""

import subprocess
import sys

import pytest

SCRIPT = """
import numpy as np
from pecl.machine import process_peak_mb
block = np.ones(256 << 20, np.uint8)
del block
with open("/proc/self/status") as file:
    (present,) = (int(line.split()[1]) / 1024 for line in file if line.startswith("VmRSS:"))
print(process_peak_mb(), present)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_freed_memory_counts_in_the_peak():
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    peak, present = map(float, done.stdout.split())
    assert 256 < peak < present + 300
    assert peak > present + 200
