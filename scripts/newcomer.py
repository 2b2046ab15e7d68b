"""How long a newcomer waits for a first table and a first search: `python scripts/newcomer.py PICTURES`.

A fresh clone, a new environment and an empty cache, all in a temporary folder; PICTURES is a folder of photographs.
What is printed, as Markdown, are seconds on the clock from the start, and those of the processor, which other work on
the machine changes less; within a step nobody knows the latter yet. docs/index.md has what one such run gave.
"""

from __future__ import annotations

import argparse
import os
import resource
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TABLE = "95 % interval"  # a heading that the first table has
PATHS = {
    "first table": {
        "clone": f"git clone --quiet {shlex.quote(str(ROOT))} pecl",
        "install": "bash pecl/scripts/install.sh",
        "first table": "bash pecl/scripts/quickstart.sh",
    },
    "first search": {
        "clone": f"git clone --quiet {shlex.quote(str(ROOT))} pecl",
        "install": "bash pecl/scripts/install.sh && pecl/.venv/bin/python -m pip install --quiet -e 'pecl[search]'",
        "index": "pecl/.venv/bin/pecl index pictures",
        "first search": "pecl/.venv/bin/pecl search pictures 'pes na pláži'",
    },
}


def walk(steps: dict[str, str], pictures: Path) -> Iterator[tuple[str, float, float | None]]:
    """Yield each step's name, the seconds on the clock since the start, and those of the processor, (name, s, s).

    A step that prints a table ends once more, before itself, with the first: there the processor's seconds are None,
    since only processes that have ended are counted.

    Raises:
        SystemExit: a step failed.
    """
    folder = Path(tempfile.mkdtemp())
    try:
        (folder / "pictures").mkdir()
        for path in filter(Path.is_file, pictures.iterdir()):
            shutil.copy(path, folder / "pictures")
        start, used = time.monotonic(), processor()
        for name, command in steps.items():
            for label in run(command, folder):
                yield label or name, time.monotonic() - start, None if label else processor() - used
    finally:
        shutil.rmtree(folder)


def run(command: str, folder: Path) -> Iterator[str]:
    """Run a command, and yield a label at its first table, and an empty one at its end."""
    environment = {**os.environ, "PECL_CACHE_DIR": str(folder / "cache")}
    for name in ("PYTHONPATH", "PECL_DATA_DIR", "VIRTUAL_ENV"):
        environment.pop(name, None)
    process = subprocess.Popen(["bash", "-c", command], cwd=folder, env=environment, stdout=subprocess.PIPE, text=True)
    for line in process.stdout or ():
        sys.stderr.write(line)
        if TABLE in line:
            yield "its first table"
            break
    sys.stderr.write(process.communicate()[0])
    if process.returncode:
        raise SystemExit(f"{command}: exit status {process.returncode}")
    yield ""


def processor() -> float:
    """Return the seconds that ended child processes have used of the processor."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Walk both ways, and print what they took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", type=Path, help="folder of photographs")
    pictures = parser.parse_args().pictures
    for name, steps in PATHS.items():
        print(f"Clone to {name}:\n\n| until | clock | processor |\n| --- | ---: | ---: |")
        for label, clock, used in walk(steps, pictures):
            print(f"| {label} | {clock:.0f} s | {'' if used is None else f'{used:.0f} s'} |", flush=True)
        print()


if __name__ == "__main__":
    main()
