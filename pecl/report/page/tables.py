"""Tables as the page's template takes them: each field its text and, in columns of numbers, the number to sort by."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd

from pecl.report.page.commands import run_command
from pecl.results.result import Result

# A number at the start of a field: 0.123, +1.5 %, 165,888, 1e-4, or [+0.002, the lower end of an interval.
_NUMBER = re.compile(r"\[?([+-]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:e[+-]?\d+)?)(?=$|[\s%,\]])", re.IGNORECASE)
RUN = "run"


@dataclass(frozen=True)
class TableCell:
    """Text, and the number that it sorts by; None in a column of words or an empty field."""

    text: str
    number: float | None = None


@dataclass(frozen=True)
class SortableTable:
    """A table: its title, its columns, which of them hold numbers, its rows of fields, and a line below it."""

    title: str
    columns: tuple[str, ...]
    numeric: tuple[bool, ...]
    rows: tuple[tuple[TableCell, ...], ...]
    note: str


def sortable(title: str, frame: pd.DataFrame, note: str = "") -> SortableTable:
    """Return `frame` for the page; a column is one of numbers if each of its fields begins with one, or is empty."""
    columns = [[_text(value) for value in frame.iloc[:, place]] for place in range(frame.shape[1])]
    numbers = [
        [None] * len(column) if name == RUN else [leading_number(text) for text in column]
        for name, column in zip(frame.columns, columns, strict=True)
    ]
    numeric = [
        any(number is not None for number in found)
        and all(number is not None or text in ("", "-") for number, text in zip(found, column, strict=True))
        for found, column in zip(numbers, columns, strict=True)
    ]
    fields = [
        [TableCell(text, number if wanted else None) for text, number in zip(column, found, strict=True)]
        for column, found, wanted in zip(columns, numbers, numeric, strict=True)
    ]
    rows = tuple(zip(*fields, strict=True))
    return SortableTable(title, tuple(map(str, frame.columns)), tuple(numeric), rows, note)


def leading_number(text: str) -> float | None:
    """Return the number that `text` begins with: 165888.0 for `165,888`, 0.002 for `[+0.002, +0.021]`; else None."""
    match = _NUMBER.match(text)
    return float(match.group(1).replace(",", "")) if match else None


def runs_table(results: Sequence[Result]) -> SortableTable:
    """Return one row a run: what it is, and the command that repeats it."""
    rows = [
        {
            RUN: result.run_id,
            "status": result.status,
            "data set": result.config.dataset,
            "language": result.config.language,
            "route": result.config.route,
            "seed": result.config.seed,
            "software": number,
            "command": run_command(result),
        }
        for result, number in zip(results, software_numbers(results), strict=True)
    ]
    return sortable("Commands that repeat the runs", pd.DataFrame(rows))


def software_table(results: Sequence[Result]) -> SortableTable:
    """Return one row for each set of versions, commit and machine that runs were made with."""
    numbers = software_numbers(results)
    rows = []
    for number in sorted(set(numbers)):
        software = results[numbers.index(number)].environment
        dirty = {True: "with uncommitted changes", False: "clean", None: "not a checkout"}[software.dirty]
        rows.append(
            {
                "software": number,
                "runs": numbers.count(number),
                "commit": software.commit or "-",
                "checkout": dirty,
                **{name: version or "-" for name, version in software.versions.items()},
                **asdict(software.machine),
            }
        )
    found = pd.DataFrame(rows).fillna("-")
    return sortable("Versions", found.loc[:, (found != "-").any()])


def software_numbers(results: Sequence[Result]) -> list[int]:
    """Return for each result the number of its software, from 1 in the order in which they come up."""
    keys = [repr(result.environment) for result in results]
    order = {key: number for number, key in enumerate(dict.fromkeys(keys), 1)}
    return [order[key] for key in keys]


def _text(value: Any) -> str:
    return "-" if value is None or (isinstance(value, float) and pd.isna(value)) else str(value)
