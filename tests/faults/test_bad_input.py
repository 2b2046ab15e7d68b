"""What a user may get wrong in a shell: one sentence, exit status 2, no traceback, nothing written."""

import os
import re
import shlex
import subprocess
import sys

import pytest
from faults.bad_input import CHECKED, SCRIPTS, SMALL, rows
from helpers.playground import write_playground
from helpers.project import ROOT, copy_scripts
from helpers.small_experiment import tiny_towers

import pecl.adapters.ready
import pecl.apps.bulk.job
import pecl.apps.commands.adapters
import pecl.apps.commands.export
import pecl.encoders.towers
from pecl.cli import main

ROWS = rows()


def short(line):
    """Return a row's command and what is wrong with it."""
    return re.sub(r"(.)\1{99,}", r"\1...", line.replace(SMALL, "..."))


def tiny_or(load, which):
    """Return a loader that gives the tiny tower for that of mini on the CPU, and calls `load` for all others."""

    def load_one(name, *, device="cpu", **options):
        return getattr(tiny_towers(), which) if (name, device) == ("mini", "cpu") else load(name, device=device)

    return load_one


@pytest.fixture(scope="module")
def playground(tmp_path_factory):
    """A folder of sound and broken files, which is the current one; the towers are tiny."""
    folder = tmp_path_factory.mktemp("playground")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pecl.adapters.ready, "ready_adapters", lambda *_: {})  # which are for the profile's tower
        plain = {name: getattr(pecl.encoders.towers, name) for name in ("load_text_encoder", "load_image_encoder")}
        for name, load in plain.items():
            patch.setattr(pecl.encoders.towers, name, tiny_or(load, name.split("_")[1]))
        patch.setenv("PECL_CACHE_DIR", str(folder / "cache"))
        patch.setenv("HF_HUB_OFFLINE", "1")
        patch.delenv("PECL_DATA_DIR", raising=False)
        patch.chdir(folder)
        write_playground(folder)
        yield folder


def said_in(errors):
    """Return the lines of standard error without the bars of what was begun."""
    shown = (line.rpartition("\r")[2] for line in errors.replace("\x1b[A", "").split("\n"))
    return [line for line in shown if line.strip() and not re.match(r"(grid|images|texts|checking.*):", line)]


def seen(folder):
    """Return what tells each file and folder below `folder` from another; a lock may come and go in a folder."""
    return {path: (path.stat().st_ino, path.is_file() and path.stat().st_mtime_ns) for path in folder.rglob("*")}


@pytest.mark.parametrize(("line", "said"), ROWS, ids=[short(line) for line, _ in ROWS])
def test_bad_input_is_one_sentence_and_writes_nothing(playground, line, said, capsys):
    before = seen(playground)
    assert main(shlex.split(line)) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    (sentence,) = said_in(printed.err)
    assert sentence.startswith("pecl: ")
    assert re.search(said, sentence), sentence
    assert seen(playground) == before


# What is not checked before the first step without opening photographs, or without writing
LATER = ("--dataset broken-image.csv", "--out /proc/nowhere")
TRAININGS = [
    (line, said)
    for line, said in ROWS
    if re.match("(train|distil|evaluate|grid) ", line) and not any(words in line for words in LATER)
][::3]


@pytest.mark.parametrize(("line", "said"), TRAININGS, ids=[short(line) for line, _ in TRAININGS])
def test_a_dry_run_says_what_the_run_says(playground, line, said, capsys):
    test_bad_input_is_one_sentence_and_writes_nothing(playground, f"{line} --dry-run", said, capsys)


@pytest.mark.parametrize(("line", "said"), SCRIPTS, ids=[line for line, _ in SCRIPTS])
def test_bad_input_of_a_script_is_one_sentence_too(line, said, tmp_path):
    """In a copy of the project without results, whose Python is ours."""
    copy_scripts(tmp_path, f'exec {shlex.quote(sys.executable)} "$@"')
    before = seen(tmp_path)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    finished = subprocess.run(
        ["env", *shlex.split(line)], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600
    )
    assert (finished.returncode, finished.stdout) == (2, "")
    assert re.fullmatch(r"[^\n]+\n", finished.stderr)
    assert re.search(said, finished.stderr), finished.stderr
    assert seen(tmp_path) == before


@pytest.mark.parametrize("name", CHECKED)
def test_what_a_check_finds_is_printed(playground, name, capsys):
    before = seen(playground)
    assert main(["data", "check", name]) == 2
    printed = capsys.readouterr()
    assert printed.err == ""
    *problems, last = printed.out.splitlines()
    assert problems
    assert all(problem.startswith(f"{name}, ") for problem in problems)
    assert last.startswith(f"{name}: {len(problems)} problem")
    assert seen(playground) == before
