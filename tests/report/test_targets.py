"""Commands that write pages replace no pipe, device or folder, and say so in one sentence.

Pipes stand for devices here: a test that fails as root would replace the machine's own device.
"""

import os
import stat

import pytest
from helpers.report_results import train, write

from pecl.cli import main
from pecl.search.build import build_index


@pytest.fixture
def pipe(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    return path


@pytest.fixture
def results(tmp_path):
    return write(tmp_path / "results", train(4, 6))


def refused(capsys, *arguments):
    assert main([str(argument) for argument in arguments]) == 2
    return capsys.readouterr().err


@pytest.mark.parametrize("flag", ["--html", "--plots", "--out"])
def test_report_leaves_a_pipe_in_place_of_its_folder(results, pipe, capsys, flag):
    assert str(pipe) in refused(capsys, "report", results, flag, pipe)
    assert stat.S_ISFIFO(pipe.stat().st_mode)


@pytest.mark.parametrize(("flag", "name"), [("--html", "index.html"), ("--plots", "recall.png"), ("--out", "runs.txt")])
def test_report_leaves_a_pipe_in_place_of_its_file(results, tmp_path, capsys, flag, name):
    os.mkfifo(tmp_path / name)
    assert name in refused(capsys, "report", results, flag, tmp_path)
    assert stat.S_ISFIFO((tmp_path / name).stat().st_mode)


def test_search_leaves_a_pipe_in_place_of_its_page(photographs, pipe, capsys):
    build_index(photographs)
    said = refused(capsys, "search", photographs, "a dog", "--language", "en", "--html", pipe)
    assert f"cannot write {pipe}" in said
    assert stat.S_ISFIFO(pipe.stat().st_mode)
