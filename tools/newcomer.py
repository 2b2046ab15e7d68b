"""Time the first table, the first search and the first page of a new user: `python tools/newcomer.py PICTURES`.

Uses a fresh clone, a new environment and an empty cache in a temporary folder. PICTURES is a folder
of photographs. Prints wall-clock and CPU seconds since the start as a Markdown table; other work on
the machine changes CPU seconds less. CPU seconds are only known at the end of a step.
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
PORT = 8377  # of the page
TABLE = "95 % interval"  # a heading of the first table
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
    "search page": {
        "clone": f"git clone --quiet {shlex.quote(str(ROOT))} pecl",
        "page": f"bash pecl/scripts/search.sh pictures --profile mini --port {PORT} & until curl --silent --fail "
        f"--output page.html http://127.0.0.1:{PORT}/search; do sleep 0.2; done; cat page.html; kill -TERM $!; wait $!",
    },
}


def walk(steps: dict[str, str], pictures: Path) -> Iterator[tuple[str, float, float | None]]:
    """Yield (name, wall-clock seconds, CPU seconds) since the start for each step.

    A step that prints a table yields an extra row at its first table. The CPU seconds of that row
    are None, because only ended processes count.

    Raises:
        SystemExit: a step failed.
    """
    folder = Path(tempfile.mkdtemp())
    try:
        (folder / "pictures").mkdir()
        for path in filter(Path.is_file, pictures.iterdir()):
            shutil.copy(path, folder / "pictures")
        start = time.monotonic()
        used = processor()
        for name, command in steps.items():
            for label in run(command, folder):
                yield label or name, time.monotonic() - start, None if label else processor() - used
    finally:
        shutil.rmtree(folder)


def run(command: str, folder: Path) -> Iterator[str]:
    """Run a command; yield a label at its first table and an empty label at its end."""
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
    """Return the CPU seconds of ended child processes."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Time the paths and print their tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", type=Path, help="folder of photographs")
    parser.add_argument("--only", choices=PATHS, help="one of the paths (default: all)")
    parsed = parser.parse_args()
    pictures = parsed.pictures

    for name, steps in {name: PATHS[name] for name in ([parsed.only] if parsed.only else PATHS)}.items():
        print(f"Clone to {name}:\n\n| until | wall clock | CPU |\n| --- | ---: | ---: |")
        for label, clock, used in walk(steps, pictures):
            print(f"| {label} | {clock:.0f} s | {'' if used is None else f'{used:.0f} s'} |", flush=True)
        print()


if __name__ == "__main__":
    main()
