"""All figures of pecl's speed: `python benchmarks/run.py [--small] [--device cuda] [--json FILE] [PART ...]`.

Each figure is a ratio of two procedures that alternate in one run, next to the machine's peak of
matrix products, so it holds on slower machines too. On one thread it counts CPU seconds, so it
holds on busy machines too. `--small` takes about half a minute of CPU. It exits with status 1 if a
figure misses its floor three times in a row; floors lie well below the noise. docs/performance.md
explains the figures.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import sys
import time
from pathlib import Path

import torch
from figures import Figure

from pecl.encoders.towers import check_device
from pecl.errors import PeclError
from pecl.files import check_writable, write_json
from pecl.results.parts import environment

# part -> whether --small runs it; each is a module in this folder with `measure(small, device)`
PARTS = {
    "peak": True,
    "precision": True,
    "layers": True,
    "encoding": True,
    "bank": True,
    "startup": True,
    "fleets": True,
    "one_run": False,
    "large": False,
    "families": False,
}


TRIES = 3  # of a small part: noise passes, a regression stays


def measure(part: str, small: bool, device: str) -> list[Figure]:
    """Measure a part."""
    return importlib.import_module(part).measure(small, device)


def tried(part: str, small: bool, device: str) -> list[Figure]:
    """Measure a part; if it is small, measure figures that miss their floor again."""
    figures = measure(part, small, device)
    for _ in range(TRIES - 1 if small else 0):
        if any(figure.regressed for figure in figures):
            again = measure(part, small, device)
            figures = [new if old.regressed else old for old, new in zip(figures, again, strict=True)]
    return figures


def document(figures: dict[str, list[Figure]], device: str) -> dict[str, object]:
    """Return the figures and the machine as JSON values."""
    made = environment()
    name = made.machine.platform
    if device.startswith("cuda"):
        name = torch.cuda.get_device_name(device)

    return {
        "device": device,
        "machine": name,
        "threads": torch.get_num_threads(),
        "versions": made.versions,
        "figures": {
            part: [figure.to_json() for figure in figures_of_part] for part, figures_of_part in figures.items()
        },
    }


def main() -> int:
    """Measure, print a table and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"some of {', '.join(PARTS)} (default: all)")
    parser.add_argument("--small", action="store_true", help="half a minute of CPU; fails on a regression")
    parser.add_argument("--device", default="cpu", help="cpu or cuda (default: cpu)")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads; 1, the default, counts CPU seconds")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write figures and seconds as JSON")
    parsed = parser.parse_args()
    unknown = [part for part in parsed.parts if part not in PARTS]
    if unknown:
        parser.error(f"no part {unknown[0]}: expected one of {', '.join(PARTS)}")

    try:
        check_device(parsed.device)
        if parsed.json is not None:
            check_writable(parsed.json.parent)
    except PeclError as error:
        parser.error(str(error))

    torch.set_num_threads(parsed.threads)
    logging.getLogger("httpx").setLevel(logging.WARNING)

    figures = {}
    for part in parsed.parts or [name for name, is_small in PARTS.items() if is_small or not parsed.small]:
        started = time.perf_counter()
        figures[part] = tried(part, parsed.small, parsed.device)
        print(
            f"{part} ({time.perf_counter() - started:.0f} s)",
            *(figure.line() for figure in figures[part]),
            sep="\n",
            flush=True,
        )

    if parsed.json is not None:
        write_json(parsed.json, document(figures, parsed.device))

    regressed = [figure.name for figures_of_part in figures.values() for figure in figures_of_part if figure.regressed]
    if regressed:
        print(f"regressed: {'; '.join(regressed)}", file=sys.stderr)
    return 1 if regressed and parsed.small else 0


if __name__ == "__main__":
    raise SystemExit(main())
