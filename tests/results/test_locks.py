"""Locks between processes: one holder at a time, whatever becomes of it, and nothing left behind."""

import os
import signal
import subprocess
import sys

import pytest

from pecl.files import BusyError
from pecl.results.folder import hold, holder, remove_leftovers

HOLDER = """
import sys
from pecl.results.folder import hold
with hold(sys.argv[1], sys.argv[2:]):
    print("held", flush=True)
    sys.stdin.read()
"""
COUNTER = """
import sys
from pathlib import Path
from pecl.results.folder import hold
out, counter = sys.argv[1], Path(sys.argv[2])
for _ in range(40):
    with hold(out, ["run"], wait=True):
        counter.write_text(str(int(counter.read_text()) + 1))
"""


def start(code, *arguments):
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


@pytest.fixture
def other(out):
    """Another process that holds the locks of runs a and b in `out`."""
    process = start(HOLDER, out, "a", "b")
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()


def test_a_second_process_is_told_who_holds_it_and_gives_back_what_it_had(out, other):
    said = f"run b is being trained by another process .*process {other.pid}, since"
    with pytest.raises(BusyError, match=said), hold(out, ["b", "0"]):
        pytest.fail("held by two")
    assert f"process {other.pid}," in holder(out, "a")
    assert holder(out, "0") is None
    other.communicate()
    assert holder(out, "a") is None
    assert list(out.iterdir()) == []


def test_a_killed_holder_holds_nothing(out, other):
    other.send_signal(signal.SIGKILL)
    other.wait()
    left = out / ".a.lock"
    assert left.exists()
    with hold(out, ["a"]):
        assert str(os.getpid()) in left.read_text()
    assert not left.exists()
    assert (out / ".b.lock").exists()
    remove_leftovers(out)
    assert list(out.iterdir()) == []


def test_processes_never_overlap(out, tmp_path):
    """Read, add one, write: any overlap of two holders loses counts."""
    counter = tmp_path / "counter"
    counter.write_text("0")
    processes = [start(COUNTER, out, counter) for _ in range(5)]
    for process in processes:
        process.communicate()
        assert process.returncode == 0
    assert counter.read_text() == "200"
    assert list(out.glob("*")) == []
