"""Locks between processes: one holder at a time, whatever becomes of it, and nothing left behind."""

import json
import os
import platform
import signal
import subprocess
import sys
from pathlib import Path

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
def other(tmp_path):
    """Another process that holds the locks of runs a and b in `tmp_path / "out"`."""
    process = start(HOLDER, tmp_path / "out", "a", "b")
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()


def test_a_second_process_is_told_who_holds_it(tmp_path, other):
    named = pytest.raises(BusyError, match=f"run b is being trained by another process .*process {other.pid}, since")
    with named, hold(tmp_path / "out", ["b", "c"]):
        pytest.fail("held by two")
    assert f"process {other.pid}," in holder(tmp_path / "out", "a")
    assert holder(tmp_path / "out", "c") is None
    other.communicate()
    assert holder(tmp_path / "out", "a") is None
    assert not (tmp_path / "out").exists()


def test_a_failed_attempt_gives_back_what_it_had(tmp_path, other):
    with pytest.raises(BusyError), hold(tmp_path / "out", ["a", "0"]):
        pytest.fail("held by two")
    with hold(tmp_path / "out", ["0"]):
        pass


def test_locks_are_taken_in_sorted_order_and_each_once(tmp_path):
    """Two that wait for the same runs cannot wait for each other: both meet the first in order first."""
    runs = [f"{number:02}" for number in range(20)]
    with hold(tmp_path / "out", [*runs, "00"]):
        for asked in (runs, runs[::-1], runs[10:] + runs[:10]):
            with pytest.raises(BusyError, match="run 00 is"), hold(tmp_path / "out", asked):
                pytest.fail("held by two")


def test_the_holder_of_a_lock_that_a_killed_process_left_is_named(tmp_path):
    """What the killed one wrote was longer."""
    (tmp_path / "out" / ".locks").mkdir(parents=True)
    left = {"host": "a-host-with-a-long-name" * 10, "process": 1, "since": "2023-05-05 12:30:00"}
    (tmp_path / "out" / ".locks" / "a").write_text(json.dumps(left))
    with hold(tmp_path / "out", ["a"]):
        assert holder(tmp_path / "out", "a").startswith(f"{platform.node()}, process {os.getpid()}, since ")


def test_a_killed_holder_holds_nothing(tmp_path, other):
    other.send_signal(signal.SIGKILL)
    other.wait()
    left = tmp_path / "out" / ".locks" / "a"
    assert left.exists()
    assert holder(tmp_path / "out", "a") is None
    with hold(tmp_path / "out", ["a"]):
        assert left.exists()
    assert not left.exists()
    assert (tmp_path / "out" / ".locks" / "b").exists()
    remove_abandoned_locks(tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_what_is_held_is_not_abandoned(tmp_path, other):
    remove_abandoned_locks(tmp_path / "out")
    assert holder(tmp_path / "out", "a") is not None


def test_a_stopped_holder_still_holds(tmp_path, other):
    other.send_signal(signal.SIGSTOP)
    try:
        with pytest.raises(BusyError), hold(tmp_path / "out", ["a"]):
            pytest.fail("held by two")
        remove_abandoned_locks(tmp_path / "out")
        assert (tmp_path / "out" / ".locks" / "a").exists()
    finally:
        other.send_signal(signal.SIGCONT)
    other.communicate()
    assert not (tmp_path / "out").exists()


def test_a_holder_whose_file_was_removed_by_hand_leaves_the_next_ones_alone(tmp_path, other):
    (tmp_path / "out" / ".locks" / "a").unlink()
    with hold(tmp_path / "out", ["a"]):
        other.communicate()
        assert holder(tmp_path / "out", "a") is not None


def test_waiting_ends_with_the_holder(tmp_path, other):
    other.stdin.close()
    with hold(tmp_path / "out", ["a"], wait=True):
        assert other.wait() == 0


def test_processes_never_overlap(tmp_path):
    """Read, add one, write: any overlap of two holders loses counts."""
    counter = tmp_path / "counter"
    counter.write_text("0")
    processes = [start(COUNTER, tmp_path / "out", counter) for _ in range(5)]
    for process in processes:
        process.communicate()
        assert process.returncode == 0
    assert counter.read_text() == "200"
    assert list(tmp_path.glob("out/*")) == []


def test_a_folder_stays_if_something_is_in_it(tmp_path):
    with hold(tmp_path / "out", ["a"]):
        (tmp_path / "out" / "result").write_text("")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["result"]


def test_a_file_in_the_folders_place_is_one_sentence(tmp_path):
    Path(tmp_path / "out").write_text("")
    with pytest.raises(OutputError, match=r"cannot write .*out"), hold(tmp_path / "out", ["a"]):
        pytest.fail("held")
