"""The shell commands of the documents, and a shell that runs them as they are printed, quickly.

A block of commands may have a mark on the line before it, which a page that is shown hides: `<!-- needs: gpu, hub -->`,
or `<!-- long: 15 min -->` for what takes that long on a core and a slow test runs as it is. Blocks without a mark are
run: bash reads them, and what they call (`pecl`, `python`, `pip`) are stand-ins that ask this process, where the towers
are tiny. Of what is trained, small numbers take the place of large ones.
"""

import contextlib
import io
import json
import os
import re
import shlex
import socket
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from helpers.project import ROOT
from helpers.registries import forget_plugins
from pecl.cli import main

PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "data" / "README.md",
    ROOT / "results" / "measured" / "README.md",
    ROOT / "results" / "measured" / "effect" / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
]
FENCE = re.compile(r"(?:<!-- (needs|long): ([^\n]*?) -->\n)?^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
SHELLS = ("bash", "sh", "shell", "console")


class Block(NamedTuple):
    """Commands of a page, the line that they begin on, and its mark: what they need, or how long they take."""

    page: str
    line: int
    needs: tuple[str, ...]
    long: str
    text: str


def blocks():
    """Return the blocks of shell commands of all documents."""
    found = []
    for path in PAGES:
        text = path.read_text("utf-8")
        for fence in FENCE.finditer(text):
            mark, said, language, commands = fence.groups()
            if language in SHELLS:
                line = text[: fence.start(4)].count("\n") + 1
                needs = tuple(said.split(", ")) if mark == "needs" else ()
                long = said if mark == "long" else ""
                found.append(Block(path.relative_to(ROOT).as_posix(), line, needs, long, commands))
    return found


# Appended to what a document says; the last value of a flag holds
REDUCED = {
    "train": "--shots 6 --epochs 1 --batch-size 3 --eval-every 2",
    "grid": "--shots 6 --epochs 1 --batch-size 3 --eval-every 2 --lr 1e-4 --jobs 1 --threads 1",
    "distil": "--shots 6 --epochs 1 --batch-size 8 --adapter lora:r=2+head:rank=3",
    "embed": "--batch-size 8",
}
TOOLS = ("pip", "ruff", "pytest", "mkdocs", "basedpyright")  # what CI itself runs by these commands
STAND_IN = f"""#!{sys.executable} -SE
import json, os, socket, sys
asked = socket.socket(socket.AF_UNIX)
asked.connect({{address!r}})
with asked, asked.makefile("rw") as file:
    print(json.dumps([sys.argv, os.getcwd(), os.environ.get("PECL_PROFILE")]), file=file, flush=True)
    status, out, err = json.loads(file.readline())
sys.stdout.write(out)
sys.stderr.write(err)
sys.exit(status)
"""


WRAPPERS = {  # .venv/bin: pip has nothing to do, since the tests run where all is installed
    "python": 'case "$1$2" in -mpip) exit 0;; esac\nexec {python} "$@"',
    "pecl": 'exec {python} -m pecl "$@"',
}


class Shell:
    """Run commands by bash, and those of `pecl` in this process.

    Args:
        folder: Holds the stand-ins for programs.
        elsewhere: Beginnings of commands that another test runs.
        shorten: Whether small numbers take the place of large ones in commands that train.
    """

    def __init__(self, folder: Path, elsewhere=(), shorten=True):
        self.folder, self.elsewhere, self.shorten = folder, tuple(elsewhere), shorten
        self._address = str(folder / "asked")
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(self._address)
        self._listening.listen()
        self._listening.settimeout(0.05)
        self._bin = folder / "bin"

    def install(self, folder: Path, *names: str) -> None:
        """Write stand-ins for the programs `names` into `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        for name in names:
            path = folder / name
            path.write_text(STAND_IN.format(address=self._address))
            path.chmod(0o755)

    def run(self, commands: str, cwd: Path, home: Path):
        """Run commands as they are printed and return (status, output, errors)."""
        self.install(self._bin, "pecl", "python", *TOOLS, *(command.split()[0] for command in self.elsewhere))
        environment = {**os.environ, "PATH": f"{self._bin}:{os.environ['PATH']}", "HOME": str(home)}
        command = ["bash", "-e", "-o", "pipefail", "-c", commands]
        with open(home / "out", "w+") as out, open(home / "err", "w+") as err:
            process = subprocess.Popen(command, cwd=cwd, env=environment, stdout=out, stderr=err)
            while process.poll() is None:
                with contextlib.suppress(TimeoutError):
                    self._answer(self._listening.accept()[0])
            return process.returncode, (home / "out").read_text(), (home / "err").read_text()

    def _answer(self, asking: socket.socket) -> None:
        asking.settimeout(None)
        with asking, asking.makefile("rw") as file:
            arguments, cwd, profile = json.loads(file.readline())
            print(json.dumps(self._carry_out(arguments, cwd, profile)), file=file, flush=True)

    def _carry_out(self, arguments, cwd, profile):
        name, *rest = arguments
        name = os.path.basename(name)
        if name == "python" and rest[:1] == ["-m"]:
            name, *rest = rest[1:]
        if name in TOOLS or " ".join([name, *rest]).startswith(self.elsewhere):
            return 0, "", ""
        if name != "pecl":
            return 127, "", f"no test runs {' '.join([name, *rest])}\n"
        out, err = io.StringIO(), io.StringIO()
        before = os.getcwd(), dict(os.environ)
        os.chdir(cwd)
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                try:
                    status = main([*rest, *(reduced(rest) if self.shorten else ())])
                except SystemExit as end:  # --help
                    status = end.code or 0
        finally:
            os.chdir(before[0])
            os.environ.clear()
            os.environ.update(before[1])
            forget_plugins()
        return status, out.getvalue(), err.getvalue()


def make_checkout(folder: Path, shell: Shell | None = None) -> Path:
    """Return a new checkout `folder`/pecl whose .venv holds the Python of the tests, or the stand-ins of `shell`."""
    checkout = folder / "pecl"
    (checkout / ".venv" / "bin").mkdir(parents=True)
    for name in ("pecl", "scripts", "tools", "configs", "benchmarks", "pyproject.toml", "setup.py", "requirements.txt"):
        (checkout / name).symlink_to(ROOT / name)
    if shell is not None:
        shell.install(checkout / ".venv" / "bin", *WRAPPERS)
        return checkout
    for name, body in WRAPPERS.items():
        program = checkout / ".venv" / "bin" / name
        program.write_text(f"#!/bin/sh\n{body.format(python=shlex.quote(sys.executable))}\n")
        program.chmod(0o755)
    return checkout


def reduced(arguments):
    """Return what is appended to the arguments of `pecl`."""
    if "--help" in arguments or "--best-of" in arguments or "--harness" in arguments:
        return []
    return REDUCED.get(arguments[0], "").split() if arguments else []
