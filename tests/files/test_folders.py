"""A folder is whole or absent, whatever happens while it is filled."""

import multiprocessing
import os
import signal

import pytest

from pecl.errors import OutputError
from pecl.files import check_absent, new_folder


def test_it_appears_when_it_is_filled(tmp_path):
    with new_folder(tmp_path / "a" / "b") as folder:
        (folder / "file").write_text("x")
        assert not (tmp_path / "a" / "b").exists()
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b"]
    assert (tmp_path / "a" / "b" / "file").read_text() == "x"
    assert (tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o755


def _fill_and_fail(target):
    with new_folder(target) as folder:
        (folder / "file").write_text("x")
        raise RuntimeError


def test_nothing_is_left_after_an_error(tmp_path):
    with pytest.raises(RuntimeError):
        _fill_and_fail(tmp_path / "b")
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_is_never_written_over(tmp_path):
    (tmp_path / "b").mkdir()
    for refuse in (check_absent, lambda path: new_folder(path).__enter__()):
        with pytest.raises(OutputError, match=r"b exists already: choose another folder, or delete it first"):
            refuse(tmp_path / "b")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(OutputError, match="exists already"):
        check_absent(tmp_path / "link")
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="file is a file, expected a folder"):
        check_absent(tmp_path / "file" / "b")


def _fill_and_die(target):
    with new_folder(target) as folder:
        (folder / "file").write_text("half")
        os.kill(os.getpid(), signal.SIGKILL)


def test_what_a_killed_export_left_goes_with_the_next_and_a_running_one_stays(tmp_path):
    process = multiprocessing.get_context("fork").Process(target=_fill_and_die, args=(tmp_path / "b",))
    process.start()
    process.join()
    assert [path.name.startswith(".b.") for path in tmp_path.iterdir()] == [True]
    with new_folder(tmp_path / "b") as running:
        with pytest.raises(RuntimeError):
            _fill_and_fail(tmp_path / "b")
        assert list(tmp_path.iterdir()) == [running]
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


def test_a_folder_of_the_users_own_that_is_named_alike_stays(tmp_path):
    (tmp_path / ".b.mine.tmp").mkdir()
    (tmp_path / ".b.mine.tmp" / "file").touch()
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").touch()
    (tmp_path / f".b.{'0' * 16}.pecl-tmp").symlink_to(outside)
    with new_folder(tmp_path / "b"):
        pass
    assert (tmp_path / ".b.mine.tmp" / "file").exists()
    assert (outside / "file").exists()
