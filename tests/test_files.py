import errno
import json
import os
import platform
import subprocess
import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open

from pecl import files
from pecl.errors import OutputError
from pecl.files import check_writable, sha256_json, sha256_lines, write_bytes, write_json, write_tensors


def test_write_replaces_whole_and_leaves_nothing_else(tmp_path):
    write_json(tmp_path / "deep" / "a.json", {"ü": 1})
    write_json(tmp_path / "deep" / "a.json", {"ü": 2})
    assert json.loads((tmp_path / "deep" / "a.json").read_text("utf-8")) == {"ü": 2}
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["a.json"]


def test_equal_tensors_and_metadata_give_equal_bytes(tmp_path):
    tensors = {"b": torch.randn(3, 5), "a": torch.arange(7)}
    metadata = {f"key {i}": "ü" * i for i in range(20)}
    paths = [write_tensors(tmp_path / str(i), dict(reversed(tensors.items())), metadata) for i in range(5)]
    assert len({path.read_bytes() for path in paths}) == 1
    with safe_open(paths[0], "pt") as file:
        assert file.metadata() == metadata
        assert all(torch.equal(file.get_tensor(name), tensor) for name, tensor in tensors.items())


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_full_disk_leaves_the_old_file_and_no_other(tmp_path, monkeypatch, failing):
    path = write_bytes(tmp_path / "a", b"old")

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files.os, failing, full)
    with pytest.raises(OutputError, match=r"cannot write .*a: No space left on device"):
        write_bytes(path, b"new")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_what_a_killed_writer_left_is_removed_but_not_a_living_ones(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    node = platform.node()
    for name in (f".a.{node}-{process.pid}-1.tmp", f".a.{node}-{os.getppid()}-1.tmp", f".b.{node}-{process.pid}-1.tmp"):
        (tmp_path / name).write_bytes(b"half")
    write_bytes(tmp_path / "a", b"whole")
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"a", f".a.{node}-{os.getppid()}-1.tmp", f".b.{node}-{process.pid}-1.tmp"}


def test_the_files_of_writers_that_may_be_alive_stay(tmp_path, monkeypatch):
    """A process id says nothing of another host's processes; one that may not be asked for is somebody else's."""
    node, asked = platform.node(), []

    def kill(process, number):
        asked.append((process, number))
        raise PermissionError if process == 1 else ProcessLookupError

    monkeypatch.setattr(files.os, "kill", kill)
    names = {f".a.other-{node}-2-1.tmp", f".a.{node}x-2-1.tmp", f".a.{node}-1-1.tmp", ".a.tmp", f"a.{node}-2-1.tmp"}
    for name in (*names, f".a.{node}-2-1.tmp"):
        (tmp_path / name).write_bytes(b"half")
    files.remove_abandoned_files(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == names
    assert sorted(asked) == [(1, 0), (2, 0)]


def test_unwritable_folders_are_named_and_nothing_is_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"file is a file, expected a folder"):
        check_writable(tmp_path / "file" / "results")
    check_writable(tmp_path / "a" / "b")
    assert not (tmp_path / "a").exists()


def test_hash_of_json_ignores_the_order_of_keys_only():
    assert sha256_json({"a": 1, "b": [1, 2]}) == sha256_json({"b": [1, 2], "a": 1})
    assert sha256_json({"a": [1, 2]}) != sha256_json({"a": [2, 1]})


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\n"), min_size=1), min_size=1, max_size=5))
def test_hash_of_lines_tells_lists_apart(lines):
    assert sha256_lines(lines) != sha256_lines([*lines, "x"])
    assert sha256_lines(lines) == sha256_lines(tuple(lines))
