"""What a process frees is at hand for its next pass: no page is faulted in again."""

import os
import subprocess
import sys

import pytest

PROGRAM = """
import ctypes, resource, sys
import numpy as np
from pecl.encoders.memory import keep_freed_memory

ctypes.CDLL(None).prctl(41, 1, 0, 0, 0)  # no huge pages (PR_SET_THP_DISABLE), of which a few hold all

def pages():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        np.empty(40 << 20, np.uint8).fill(1)  # 10,240 pages, and more than glibc ever keeps by itself
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

told = keep_freed_memory() if sys.argv[1] == "keep" else None
pages()
print(told, pages())
"""


def faulted(argument, **environment):
    command = [sys.executable, "-c", PROGRAM, argument]
    told, pages = subprocess.check_output(
        command, text=True, env={**os.environ, "NUMPY_MADVISE_HUGEPAGE": "0", **environment}
    ).split()
    return told, int(pages)


@pytest.mark.skipif(sys.platform != "linux", reason="glibc is Linux's")
def test_freed_memory_is_kept():
    told, pages = faulted("keep")
    if told == "False":
        pytest.skip("another allocator than glibc's, or one that the environment sets up")
    assert pages < 2000
    assert faulted("leave")[1] > 2000


def test_what_the_environment_chooses_is_left_alone():
    assert faulted("keep", MALLOC_ARENA_MAX="2")[0] == "False"
