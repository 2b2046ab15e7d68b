"""Progress: bars only in a terminal, lines elsewhere, nothing where it is not wanted."""

import io
import logging
from types import SimpleNamespace

import pytest

from pecl.cli import main
from pecl.files.progress import EVERY, OFF, Bar


class Terminal(io.StringIO):
    def isatty(self):
        return True


class Clock:
    """A clock that a test moves on."""

    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    """The clock of bars, in place of the machine's."""
    clock = Clock()
    monkeypatch.setattr("pecl.files.progress.time", SimpleNamespace(monotonic=clock))
    monkeypatch.setattr("pecl.files.progress.EVERY", EVERY)
    monkeypatch.setattr("tqdm.std.time", clock)
    return clock


def steps(file, clock, count=5, seconds=0.1, **options):
    """What a bar writes over `count` steps of `seconds` each."""
    with Bar(total=count, desc="train", unit="step", file=file, **options) as bar:
        for _ in range(count):
            clock.now += seconds
            bar.update()
    return file.getvalue()


def test_what_is_done_soon_writes_nothing_into_a_file_unless_a_last_line_is_asked_for(clock):
    assert steps(io.StringIO(), clock, leave=False) == ""
    assert steps(io.StringIO(), clock, leave=True) == "train: 5/5 [00:00<00:00, 10.00step/s]\n"


def test_a_file_gets_a_line_every_ten_seconds_and_neither_bars_nor_carriage_returns(clock):
    written = steps(io.StringIO(), clock, count=8, seconds=4, leave=False)
    assert written.splitlines() == ["train: 3/8 [00:12<00:20, 4.00s/step]", "train: 6/8 [00:24<00:08, 4.00s/step]"]
    assert "\r" not in written


def test_a_terminal_has_a_bar_which_leaves_nothing_behind(clock):
    written = steps(Terminal(), clock, leave=False, mininterval=0, ncols=60)
    assert "\r" in written
    assert written.endswith("\r")
    assert written.rpartition("\r")[0].rpartition("\r")[2].strip() == ""  # the line is blank at last


@pytest.mark.parametrize("file", [io.StringIO, Terminal])
def test_it_is_turned_off_by_the_environment(monkeypatch, file, clock):
    monkeypatch.setenv(OFF, "1")
    assert steps(file(), clock, leave=True) == ""


@pytest.mark.parametrize("place", ["before", "behind"])
def test_quiet_and_verbose_go_before_a_command_or_behind_it(monkeypatch, place, capsys):
    monkeypatch.setenv(OFF, "0")  # undone after the test

    def levels(*flags):
        words = [*flags, "data", "list"] if place == "before" else ["data", "list", *flags]
        assert main(words) == 0
        return logging.getLogger("pecl").level

    assert [levels(), levels("--quiet"), levels("-q"), levels("--verbose"), levels("-v")] == [20, 30, 30, 10, 10]
    assert main(["--quiet", "data", "list", "--verbose"]) == 2
    assert "expected --quiet or --verbose, got both" in capsys.readouterr().err
