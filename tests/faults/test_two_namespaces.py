"""Two containers on one folder: one host name, process ids that say nothing of each other's processes."""

import shutil
import subprocess
import sys

import pytest

from pecl.files import BusyError, locked, remove_abandoned_files, write_bytes

UNSHARE = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]


def refused():
    """Return why no process can be started in a namespace of its own; None where one can."""
    if shutil.which("unshare") is None:
        return "unshare is not installed"
    asked = subprocess.run([*UNSHARE, "true"], capture_output=True, text=True)
    return asked.stderr.strip() if asked.returncode else None


REFUSED = refused()
pytestmark = pytest.mark.skipif(REFUSED is not None, reason=f"no namespace of its own: {REFUSED}")

PAUSING_WRITER = """
import os, sys
from pecl.files import write_bytes

plain_fsync = os.fsync

def fsync(descriptor):
    plain_fsync(descriptor)
    print("written", os.getpid(), flush=True)
    sys.stdin.readline()

os.fsync = fsync
write_bytes(sys.argv[1], b"theirs")
"""
HOLDER = """
import sys
from pecl.files import locked
with locked(sys.argv[1], "held"):
    print("held", flush=True)
    sys.stdin.readline()
"""
HAMMER = """
import sys
from pathlib import Path
from pecl.files import remove_abandoned_files, write_bytes
target, letter = Path(sys.argv[1]), sys.argv[2].encode()
for _ in range(300):
    write_bytes(target, letter * 5000)
    remove_abandoned_files(target.parent)
    content = target.read_bytes()
    assert len(content) == 5000 and len(set(content)) == 1, content[:20]
"""


def start(code, *arguments):
    """Start a process that is number 1 in a namespace of its own."""
    command = [*UNSHARE, sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process):
    _, errors = process.communicate("\n", timeout=600)
    assert process.returncode == 0, errors


def test_nobody_removes_what_another_is_writing(tmp_path):
    theirs, others = (start(PAUSING_WRITER, tmp_path / "a") for _ in range(2))
    assert [process.stdout.readline() for process in (theirs, others)] == ["written 1\n"] * 2
    unfinished = set(tmp_path.glob(".*.tmp"))
    assert len(unfinished) == 2
    write_bytes(tmp_path / "a", b"ours")
    remove_abandoned_files(tmp_path)
    assert set(tmp_path.glob(".*.tmp")) == unfinished
    for process in (theirs, others):
        finish(process)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a": b"theirs"}


def test_what_one_that_was_killed_left_is_removed(tmp_path):
    process = start(PAUSING_WRITER, tmp_path / "a")
    process.stdout.readline()
    process.kill()
    process.communicate()
    write_bytes(tmp_path / "a", b"ours")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_lock_holds_for_both(tmp_path):
    process = start(HOLDER, tmp_path / "lock")
    assert process.stdout.readline() == "held\n"
    with pytest.raises(BusyError), locked(tmp_path / "lock", "busy"):
        pytest.fail("held by two")
    finish(process)
    assert list(tmp_path.iterdir()) == []


def test_two_that_write_one_file_again_and_again_never_meet(tmp_path):
    for process in [start(HAMMER, tmp_path / "a", letter) for letter in "xyz"]:
        finish(process)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
