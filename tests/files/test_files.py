import contextlib
import os
import signal
import subprocess
import sys

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import save_file

from pecl import files
from pecl.errors import OutputError
from pecl.files import LOCK, lock_holder, locked, read_tensors, sha256_lines, write_bytes, write_tensors, write_text


def test_equal_tensors_and_metadata_give_equal_bytes(tmp_path):
    tensors = {"b": torch.randn(3, 5), "a": torch.arange(7)}
    metadata = {f"key {i}": "ü" * i for i in range(20)}
    paths = [write_tensors(tmp_path / str(i), dict(reversed(tensors.items())), metadata) for i in range(5)]
    assert len({path.read_bytes() for path in paths}) == 1
    with safe_open(paths[0], "pt") as file:
        assert file.metadata().items() > metadata.items()
        assert all(torch.equal(file.get_tensor(name), tensor) for name, tensor in tensors.items())


WRITER = """
import os, signal, sys
from pecl.files import write_bytes

plain_fsync = os.fsync

def fsync(descriptor):
    plain_fsync(descriptor)
    print("written", flush=True)
    os.kill(os.getpid(), int(sys.argv[2]))

os.fsync = fsync
write_bytes(sys.argv[1], b"theirs" * 1000)
print("renamed", flush=True)
"""


@contextlib.contextmanager
def writer(path, number):
    """Give a process that writes to `path` and sends itself signal `number` just before it renames."""
    command = [sys.executable, "-c", WRITER, str(path), str(int(number))]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "written\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def unfinished(folder):
    return {path.name for path in folder.iterdir() if path.suffix == ".tmp"}


def test_what_a_killed_writer_left_is_removed_by_the_next_write_to_the_same_target(tmp_path):
    for name in "ab":
        with writer(tmp_path / name, signal.SIGKILL) as process:
            process.wait()
    assert len(unfinished(tmp_path)) == 2
    write_bytes(tmp_path / "a", b"whole")
    (left,) = unfinished(tmp_path)
    assert left.startswith(".b.")
    files.remove_abandoned_files(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_stopped_writer_keeps_its_file_and_goes_on(tmp_path):
    """It is alive by the lock that it holds; the last to rename wins, and nothing is left over."""
    with writer(tmp_path / "a", signal.SIGSTOP) as process:
        os.waitid(os.P_PID, process.pid, os.WSTOPPED)
        left = unfinished(tmp_path)
        write_bytes(tmp_path / "a", b"ours")
        files.remove_abandoned_files(tmp_path)
        assert unfinished(tmp_path) == left != set()
        assert (tmp_path / "a").read_bytes() == b"ours"
        process.send_signal(signal.SIGCONT)
        assert process.stdout.readline() == "renamed\n"
        assert process.wait() == 0
    assert (tmp_path / "a").read_bytes() == b"theirs" * 1000
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def a_file_of_tensors(folder):
    tensors = {"w": torch.arange(6.0).view(2, 3), "b": torch.tensor([True, False]), "s": torch.tensor(1.5).bfloat16()}
    return tensors, write_tensors(folder / "t.safetensors", tensors, {"alpha": "16", "name": "ü"})


def test_no_flipped_bit_of_a_file_of_tensors_passes(tmp_path):
    """Each seventh bit; what is still read is read as it was (padding, or a digit's other spelling)."""
    tensors, path = a_file_of_tensors(tmp_path)
    whole, refused = path.read_bytes(), 0
    for bit in range(0, 8 * len(whole), 7):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        try:
            found, metadata = read_tensors(path)
        except files.DamagedFileError:
            refused += 1
            continue
        assert metadata.pop("sha256", None) is None
        assert {"alpha": "16", "name": "ü"}.items() <= metadata.items(), bit
        assert all(torch.equal(found[name], tensor) for name, tensor in tensors.items()), bit
    assert refused > 0.9 * 8 * len(whole) / 7


def test_the_order_in_a_file_is_no_damage_and_neither_is_a_missing_digest(tmp_path):
    tensors, path = a_file_of_tensors(tmp_path)
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    save_file(dict(reversed(tensors.items())), path, dict(reversed(metadata.items())))
    found, metadata = read_tensors(path)
    assert metadata == {"alpha": "16", "name": "ü"}
    assert all(found[name].dtype == t.dtype and torch.equal(found[name], t) for name, t in tensors.items())
    save_file(tensors, path)
    assert torch.equal(read_tensors(path)[0]["w"], tensors["w"])


LISTS = st.lists(st.text(st.sampled_from("ab\n\r\0 "), max_size=3), max_size=4)


@given(LISTS, LISTS)
@example(["a\nb", "c"], ["a", "b\nc"])
@example([], [""])
def test_hash_of_lines_tells_lists_apart(one, other):
    assert (sha256_lines(one) == sha256_lines(iter(other))) == (one == other)


@pytest.mark.parametrize("left", [b"", b'{"ho', b'{"host": "a", "process": 1, "since": "now"}'])
def test_a_lock_that_a_killed_process_left_is_taken_over(tmp_path, left):
    (tmp_path / LOCK).write_bytes(left)
    with locked(tmp_path / LOCK, "busy"):
        assert lock_holder(tmp_path / LOCK)
    assert not (tmp_path / LOCK).exists()


def test_only_a_regular_file_is_replaced_and_only_unfinished_files_are_removed(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "null").symlink_to("/dev/null")
    for name in ("pipe", "null", "."):
        with pytest.raises(OutputError, match=r"expected a regular file, got a (pipe|folder)"):
            write_text(tmp_path / name, "x")
    names = {".a.0123456789abcde.tmp", ".a.0123456789abcdef", "a.0123456789abcdef.tmp", ".a.0123456789abcdeg.tmp"}
    for name in (*names, ".a.b.0123456789abcdef.tmp"):
        (tmp_path / name).write_bytes(b"half")
    files.remove_abandoned_files(tmp_path)
    assert set(os.listdir(tmp_path)) == {*names, "pipe", "null"}
