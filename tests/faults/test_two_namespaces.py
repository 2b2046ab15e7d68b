"""Two containers on one folder: one host name, process ids that say nothing of each other's processes."""

import shutil
import subprocess
import sys

import pytest

from pecl.files import remove_abandoned_files, write_bytes

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
