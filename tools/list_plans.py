"""List the runs of dry runs, and sum their times: `pecl grid --dry-run --json | python tools/list_plans.py`.

Standard input has the JSON documents of `pecl grid --dry-run` and `pecl evaluate --dry-run`, one
after another.
"""

import json
import sys
from collections.abc import Iterator
from typing import Any


def documents(text: str) -> Iterator[Any]:
    """Yield the JSON documents of a text."""
    decoder = json.JSONDecoder()
    text = text.lstrip()
    while text:
        document, end = decoder.raw_decode(text)
        yield document
        text = text[end:].lstrip()


def main() -> None:
    """Print a line per run, and the total."""
    runs = 0
    seconds = []  # of each study; None if unknown
    for document in documents(sys.stdin.read()):
        is_grid = isinstance(document, dict)
        rows = document["runs"] if is_grid else document
        for row in rows:
            config = row["config"]
            status = row["status"] if is_grid else "evaluation"
            print(f"{row['run_id']} {status:<11} {config['language']} {config['route']} lr {config['lr']:g}")
        runs += len(rows)
        seconds.append(document["seconds"] if is_grid else None)

    known = [each for each in seconds if each is not None]
    print(
        f"all: {runs} runs and evaluations in {len(seconds)} parts, about {sum(known) / 60:.0f} min for the "
        f"{len(known)} parts with a known time"
    )


if __name__ == "__main__":
    main()
