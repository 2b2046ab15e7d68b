"""Locks between processes: one holder at a time, whatever becomes of it, and nothing left behind."""

import json
import os
import platform
import signal
import subprocess
import sys

import pytest

from pecl.errors import OutputError
from pecl.files import BusyError
from pecl.results.locks import hold, holder, remove_abandoned_locks

HOLDER = """
import sys
from pecl.results.locks import hold
with hold(sys.argv[1], sys.argv[2:]):
    print("held", flush=True)
    sys.stdin.read()
"""
COUNTER = """
import sys
from pathlib import Path
from pecl.results.locks import hold
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


def refused(out, runs, match=None):
    with pytest.raises(BusyError, match=match), hold(out, runs):
        pytest.fail("held by two")


def test_a_second_process_is_told_who_holds_it_and_gives_back_what_it_had(out, other):
    refused(out, ["b", "0"], f"run b is being trained by another process .*process {other.pid}, since")
    assert f"process {other.pid}," in holder(out, "a")
    assert holder(out, "0") is None
    other.communicate()
    assert holder(out, "a") is None
    assert not out.exists()


def test_locks_are_taken_in_sorted_order_and_each_once(out):
    """Two that wait for the same runs cannot wait for each other: both meet the first in order first."""
    runs = [f"{number:02}" for number in range(20)]
    with hold(out, [*runs, "00"]):
        for asked in (runs, runs[::-1], runs[10:] + runs[:10]):
            refused(out, asked, "run 00 is")


def test_the_holder_of_a_lock_that_a_killed_process_left_is_named(out):
    """What the killed one wrote was longer."""
    (out / ".locks").mkdir(parents=True)
    left = {"host": "a-host-with-a-long-name" * 10, "process": 1, "since": "2023-05-05 12:30:00"}
    (out / ".locks" / "a").write_text(json.dumps(left))
    with hold(out, ["a"]):
        assert holder(out, "a").startswith(f"{platform.node()}, process {os.getpid()}, since ")


def test_a_killed_holder_holds_nothing(out, other):
    other.send_signal(signal.SIGKILL)
    other.wait()
    left = out / ".locks" / "a"
    assert left.exists()
    assert holder(out, "a") is None
    with hold(out, ["a"]):
        assert left.exists()
    assert not left.exists()
    assert (out / ".locks" / "b").exists()
    remove_abandoned_locks(out)
    assert list(out.iterdir()) == []


def test_a_stopped_holder_still_holds(out, other):
    other.send_signal(signal.SIGSTOP)
    try:
        refused(out, ["a"])
        remove_abandoned_locks(out)
        assert (out / ".locks" / "a").exists()
    finally:
        other.send_signal(signal.SIGCONT)
    other.communicate()
    assert not out.exists()


def test_a_holder_whose_file_was_removed_by_hand_leaves_the_next_ones_alone(out, other):
    (out / ".locks" / "a").unlink()
    with hold(out, ["a"]):
        other.communicate()
        assert holder(out, "a") is not None


def test_waiting_ends_with_the_holder(out, other):
    other.stdin.close()
    with hold(out, ["a"], wait=True):
        assert other.wait() == 0


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


def test_a_folder_stays_if_something_is_in_it(out):
    with hold(out, ["a"]):
        (out / "result").write_text("")
    assert [path.name for path in out.iterdir()] == ["result"]


def test_a_file_in_the_folders_place_is_one_sentence(out):
    out.write_text("")
    with pytest.raises(OutputError, match=r"cannot write .*out"), hold(out, ["a"]):
        pytest.fail("held")
