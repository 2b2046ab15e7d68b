"""`scripts/search.sh` passes its flags to the command that takes them, and works where photographs are read-only."""

import shutil
import subprocess

import pytest
from helpers.project import ROOT

STUB = """#!/usr/bin/env bash
case "$1 $2" in
    *recommended_profile*) echo siglip2-b16; exit 0 ;;
    *find_index*) [ -e "$(dirname "$0")/indexed" ]; exit ;;
    -c*) exit 0 ;;
esac
echo "$@" >> "$(dirname "$0")/calls"
"""


@pytest.fixture
def run(tmp_path):
    """Run the script of a checkout whose Python only notes its arguments; return the calls, and the lines printed."""
    (tmp_path / "pecl" / "scripts").mkdir(parents=True)
    for name in ("search.sh", "help.sh"):
        shutil.copy(ROOT / "scripts" / name, tmp_path / "pecl" / "scripts")
    python = tmp_path / "pecl" / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    for path, text in ((python, STUB), (tmp_path / "pecl" / "scripts" / "install.sh", "true\n")):
        path.write_text(text)
        path.chmod(0o755)
    pictures = tmp_path / "my pictures"
    pictures.mkdir()
    (pictures / "1.jpg").write_bytes(b"")
    pictures.chmod(0o555)

    def run(*flags):
        command = ["bash", "pecl/scripts/search.sh", "my pictures", *flags]
        done = subprocess.run(command, cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        calls = (python.parent / "calls").read_text().splitlines() if done.returncode == 0 else []
        return done, [call.replace(str(tmp_path), "DIR") for call in calls]

    return run


def test_flags_go_to_the_command_that_takes_them(run):
    flags = [
        "--languages",
        "de,cs",
        "--port",
        "8080",
        "--out=index",
        "--threads",
        "2",
        "--no-words",
        "--profile",
        "paper",
    ]
    done, (index, serve) = run(*flags)
    assert index == (
        "-m pecl index DIR/my pictures --thumbnails --languages de,cs --out DIR/index --threads 2 --no-words "
        "--profile paper"
    )
    assert serve == "-m pecl serve --index DIR/index --port 0 --open --quiet --port 8080 --threads 2"
    assert done.stdout == ""


def test_without_flags_the_hub_decides_the_towers_of_a_new_index(run, tmp_path):
    _, (index, serve) = run()
    assert index == "-m pecl index DIR/my pictures --thumbnails --profile siglip2-b16"
    assert serve == "-m pecl serve --index DIR/my pictures --port 0 --open --quiet"
    (tmp_path / "pecl" / ".venv" / "bin" / "indexed").touch()  # an index keeps its own
    assert run()[1][2] == "-m pecl index DIR/my pictures --thumbnails"


def test_a_flag_without_its_value_is_one_sentence(run):
    done, calls = run("--languages")
    assert (done.returncode, calls, done.stderr) == (2, [], "search.sh: --languages: expected a value\n")
