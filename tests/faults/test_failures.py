"""What goes wrong beyond bad input: one sentence on standard error, the exit status, and where the traceback lies."""

import contextlib
import os
import re
import sys
from pathlib import Path

import pytest
from helpers.folders import flags

import pecl.apps.commands.adapters
import pecl.commands.report
import pecl.experiment.run
from pecl.cli import main


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("PECL_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def broken(monkeypatch):
    """Return a function that lets `pecl report` raise."""

    def install(error):
        def collect(_):
            raise error

        monkeypatch.setattr(pecl.commands.report, "collect_runs", collect)

    return install


def last_line(capsys):
    return capsys.readouterr().err.splitlines()[-1]


def test_what_was_not_expected_is_one_sentence_that_names_the_traceback(cache, broken, capsys):
    broken(ZeroDivisionError("no\nnumber \x1b[31m"))
    (cache / "logs").mkdir(parents=True)
    (cache / "logs" / "a.log").symlink_to("removed by another process")
    assert main(["report"]) == 1
    printed = capsys.readouterr()
    said = re.fullmatch(
        r"pecl: unexpected ZeroDivisionError: no number \\x1b\[31m; the traceback is in (.+)\n", printed.err
    )
    assert printed.out == ""
    log = Path(said[1])
    assert log.parent == cache / "logs"
    assert log.read_text().startswith("Traceback (most recent call last):")
    assert "in collect" in log.read_text()


def test_a_path_that_the_system_refuses_is_bad_input(cache, broken, capsys):
    broken(PermissionError(13, "Permission denied", "secret"))
    assert main(["report"]) == 2
    assert capsys.readouterr().err == "pecl: cannot use secret: Permission denied\n"
    assert not cache.exists()


# --- training


def test_a_diverged_training_says_at_which_step(small, capsys):
    assert main(["train", *flags({**small, "lr": 1e30})]) == 1
    printed = capsys.readouterr().out
    reason = r"training diverged by step [12]: .*; choose a smaller learning rate than 1e\+30"
    assert re.fullmatch(rf"failed: [0-9a-f]{{16}}: .*{reason}", printed.strip())


# --- output


@pytest.fixture
def output(monkeypatch):
    """Return a function that puts a file in the place of standard output."""
    opened = []

    def install(file):
        opened.append(file)
        monkeypatch.setattr(sys, "stdout", file)

    yield install
    for file in opened:
        with contextlib.suppress(OSError):
            file.close()


with_full_disk = pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")


@with_full_disk
@pytest.mark.parametrize("arguments", [["adapters", "show", "lora"], ["data", "list", "--json"]])
def test_a_full_disk_under_standard_output_is_said(arguments, output, capsys):
    output(open("/dev/full", "w", buffering=16))  # noqa: SIM115 (the fixture closes it)
    assert main(arguments) == 1
    sys.stdout.flush()  # as Python does at its end
    assert capsys.readouterr().err == "pecl: cannot write to standard output: No space left on device\n"


def test_a_reader_that_has_gone_is_no_failure(output, capsys):
    reading, writing = os.pipe()
    os.close(reading)
    output(open(writing, "w"))  # noqa: SIM115
    assert main(["adapters", "show", "lora"]) == 0
    sys.stdout.flush()
    assert capsys.readouterr().err == ""
