"""Generated parts of documents, each between `<!-- NAME -->` and `<!-- end -->`.

Shared by the programs that generate them from results. Each prints its parts, or writes them with `--write`. The kept
results of a study are the lines of one file.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from pecl.files import parse_json, read_regular, write_text
from pecl.files.digests import with_digest
from pecl.results.result import PACKED, Result, TrainingResult, collect, trainings

ROOT = Path(__file__).resolve().parents[1]
MEASURED = ROOT / "results" / "measured"
Parts = Mapping[str, Callable[[], str]]


def filled(page: str, parts: Parts) -> str:
    """Fill each part into a page, between its marks.

    Raises:
        ValueError: a part's marks are missing or occur twice.
    """
    for name, make in parts.items():
        pattern = re.compile(rf"(<!-- {re.escape(name)} -->\n)(?:.*?\n)??(<!-- end -->)", re.DOTALL)
        if len(pattern.findall(page)) != 1:
            raise ValueError(f"expected <!-- {name} --> ... <!-- end --> once in the page")
        page = pattern.sub(lambda found, make=make: f"{found[1]}{make()}\n{found[2]}", page)
    return page


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table with numbers aligned to the right."""
    rows = [list(row) for row in rows]
    numbers = [all(re.match(r"[-+*.\d<[]|$", row[column]) for row in rows) for column in range(len(head))]
    return "\n".join(
        f"| {' | '.join(row)} |" for row in [head, ["---:" if is_number else "---" for is_number in numbers], *rows]
    )


def per_cent(share: float, digits: int = 0) -> str:
    """Format a share as per cent, as documents write it."""
    return f"{100 * round(share, digits + 2) + 0.0:.{digits}f} %"  # no -0 %


def trained(folder: str) -> list[TrainingResult]:
    """Return the complete trainings in a folder of the shipped results."""
    return trainings(complete(folder))


@cache
def complete(folder: str) -> tuple[Result, ...]:
    """Return the complete results in a folder of the shipped results."""
    return tuple(collect([MEASURED / folder]))


def keep(folder: Path, documents: Iterable[Mapping[str, Any]], without: Collection[str] = ()) -> None:
    """Add results to the packed ones of a folder, one per line, sorted by run id; leave out run ids of `without`.

    A result replaces an earlier one of the same run.
    """
    path = folder / PACKED
    lines = read_regular(path).decode().splitlines() if path.exists() else []
    kept = {document["run_id"]: document for document in map(parse_json, lines) if document["run_id"] not in without}
    kept |= {document["run_id"]: with_digest(document) for document in documents}
    rows = [json.dumps(kept[run_id], ensure_ascii=False, separators=(",", ":")) for run_id in sorted(kept)]
    write_text(path, "".join(f"{row}\n" for row in rows))


def without_local_folders(result: Result, out: str) -> dict[str, Any]:
    """Return a result as JSON, with `out` as its folder of results and no folder of this machine."""
    return replace(result, config=replace(result.config, out=out, data_dir=None)).to_json()


def main(doc: str, page: Path, parts: Parts) -> bool:
    """Print the parts of a page, or write them with `--write`; return whether they were written."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help=f"write them into {page.relative_to(ROOT)}")
    if parser.parse_args().write:
        write_text(page, filled(page.read_text("utf-8"), parts))
        return True

    for name, make in parts.items():
        print(f"{name}\n\n{make()}\n")
    return False
