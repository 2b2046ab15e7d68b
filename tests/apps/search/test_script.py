"""`scripts/search.sh` installs once, passes its flags to the command that takes them, and needs no writable folder."""

import subprocess
import sys

import pytest
from helpers.project import copy_scripts

STUB = """case "$1 $2" in
    *recommended_profile*) echo siglip2-b16; exit 0 ;;
    *find_index*) [ -e "$(dirname "$0")/indexed" ]; exit ;;
    -c*) exit 0 ;;
esac
echo "$@" >> "$(dirname "$0")/calls"
"""
PIP = "-m pip install --quiet --no-compile"
CPU = f"{PIP} --timeout 15 --retries 0 --index-url https://download.pytorch.org/whl/cpu torch torchvision"
INSTALL = [CPU] * (sys.platform == "linux") + [f"{PIP} -e .[search,serve]"]


@pytest.fixture
def run(tmp_path):
    """Run the script of a checkout whose Python only notes its arguments; return the calls, and what it printed."""
    copy_scripts(tmp_path / "pecl", STUB)
    for name in ("pyproject.toml", "setup.py", "requirements.txt"):
        (tmp_path / "pecl" / name).touch()
    pictures, calls = tmp_path / "my pictures", tmp_path / "pecl" / ".venv" / "bin" / "calls"
    pictures.mkdir()
    (pictures / "1.jpg").write_bytes(b"")
    pictures.chmod(0o555)

    def run(*flags):
        calls.write_text("")
        command = ["bash", "pecl/scripts/search.sh", "my pictures", *flags]
        done = subprocess.run(command, cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        return done, [line.replace(str(tmp_path), "DIR") for line in calls.read_text().splitlines()]

    return run


def test_flags_go_to_the_command_that_takes_them_and_files_are_the_users(run, tmp_path):
    (tmp_path / "key").touch()
    own = "--languages de,cs --port 8080 --api-key-file=key --out=index --threads 2 --no-words --profile paper"
    _, calls = run(*own.split())
    index = "-m pecl index DIR/my pictures --thumbnails --languages de,cs --out DIR/index --threads 2 --no-words"
    serve = "-m pecl serve --index DIR/index --port 0 --open --quiet --port 8080 --api-key-file DIR/key --threads 2"
    assert calls == [*INSTALL, f"{index} --profile paper", serve]
    done, again = run(*own.split())  # the second needs no network
    assert (done.returncode, done.stdout, again) == (0, "", calls[len(INSTALL) :])


def test_without_flags_the_hub_decides_the_towers_of_a_new_index(run, tmp_path):
    _, (*_, index, serve) = run()
    assert index == "-m pecl index DIR/my pictures --thumbnails --profile siglip2-b16"
    assert serve == "-m pecl serve --index DIR/my pictures --port 0 --open --quiet"
    (tmp_path / "pecl" / ".venv" / "bin" / "indexed").touch()  # an index keeps its own
    assert run()[1][-2] == "-m pecl index DIR/my pictures --thumbnails"


def test_a_flag_without_its_value_is_one_sentence(run):
    done, calls = run("--languages")
    assert (done.returncode, calls, done.stderr) == (2, [], "search.sh: --languages: expected a value\n")
