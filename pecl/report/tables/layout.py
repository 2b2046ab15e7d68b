"""How a table reaches a reader: what is empty or equal in all rows leaves it, and it fits the width of a terminal."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd

from pecl.errors import printable
from pecl.report.tables.table import INTERVAL, RUN, Table

WIDTH = 100  # columns of a terminal that every table fits
_SHOWN_ANYWAY = frozenset(
    {"trained", "trained R@1", "gain", "difference", INTERVAL, RUN}
)  # what a table is for, equal or not
_NARROW = 7  # letters that a heading may take without being broken
_LONGEST = 40  # letters of a field; of a longer one, such as a path, the middle is left out
_GAP = "  "
_NUMERIC = re.compile(r"[-+\[\d]")


class Layout(NamedTuple):
    """A table without what need not be repeated, and the words that say it once."""

    frame: pd.DataFrame
    said: str


def laid_out(table: Table, ids: bool = False) -> Layout:
    """Return the columns of `table` that tell its rows apart or hold its scores, and what all rows share.

    Args:
        table: any table.
        ids: whether the column of run ids is kept.
    """
    return without_repetition(table.shown if ids else table.shown.drop(columns=RUN, errors="ignore"))


def without_repetition(frame: pd.DataFrame) -> Layout:
    """Return `frame` without columns that are empty, or equal in all of several rows; the words name the latter."""
    texts = {name: [str(value) for value in frame[name]] for name in frame.columns}
    filled = [name for name, column in texts.items() if any(column)]
    equal = [name for name in filled if len(frame) > 1 and len(set(texts[name])) == 1 and name not in _SHOWN_ANYWAY]
    said = "; ".join(f"{name} {texts[name][0]}" for name in equal)
    return Layout(frame.loc[:, [name for name in filled if name not in equal]], said)


def text_table(frame: pd.DataFrame, width: int = WIDTH) -> str:
    """Return a table as text, no line longer than `width`: what does not fit beside each other comes below.

    One row that does not fit is written as a list of names and values.
    """
    columns = [_Column(str(name), [_shortened(value) for value in frame[name]]) for name in frame.columns]
    if len(frame) == 1 and _total(columns) > width:
        names = max(len(column.name) for column in columns)
        return "\n".join(f"{column.name:<{names}}{_GAP}{column.fields[0]}".rstrip() for column in columns)
    return "\n\n".join(_block(block) for block in _beside(columns, width))


def reported(frame: pd.DataFrame) -> str:
    """Return a table as commands print it after a run: what all rows share in a line above it."""
    layout = without_repetition(frame.drop(columns=RUN, errors="ignore"))
    return "\n".join([*([wrapped(layout.said)] if layout.said else []), text_table(layout.frame)])


def wrapped(text: str, width: int = WIDTH) -> str:
    """Return `text` in lines of at most `width` letters, broken between words where that is possible."""
    return "\n".join(textwrap.wrap(text, width, break_on_hyphens=False))


def shortened(text: str, most: int) -> str:
    """Return `text`, its middle replaced by an ellipsis where it is longer than `most`."""
    half = (most - 1) // 2
    return text if len(text) <= most else f"{text[:half]}…{text[-(most - 1 - half) :]}"


def numeric_columns(frame: pd.DataFrame) -> list[bool]:
    """Return for each column whether all that it shows begins like a number."""
    return [_is_numeric([str(field) for field in frame[name]]) for name in frame.columns]


def _is_numeric(fields: Sequence[str]) -> bool:
    return all(_NUMERIC.match(field) for field in fields if field)


class _Column:
    """A column of text: its heading in lines, its fields, and their width."""

    def __init__(self, name: str, fields: list[str]) -> None:
        self.name, self.fields = name, fields
        broad = max([_NARROW, *map(len, fields), *map(len, name.split())])
        self.heading = textwrap.wrap(printable(name), broad, break_on_hyphens=False) or [""]
        self.width = max(map(len, [*self.heading, *fields]))
        self.label = not _is_numeric(fields)

    def line(self, text: str) -> str:
        return f"{text:<{self.width}}" if self.label else f"{text:>{self.width}}"


def _shortened(value: object) -> str:
    return shortened(printable("-" if value is None or value != value else str(value)), _LONGEST)


def _total(columns: Sequence[_Column]) -> int:
    return sum(column.width for column in columns) + len(_GAP) * (len(columns) - 1)


def _beside(columns: Sequence[_Column], width: int) -> list[list[_Column]]:
    """Return the columns in blocks that fit `width`; the labels that the table begins with are in each of them."""
    first = next((place for place, column in enumerate(columns) if not column.label), len(columns))
    labels: list[_Column] = []
    for column in columns[:first]:
        if _total([*labels, column]) <= width // 2:
            labels.append(column)
    blocks, block = [], list(labels)
    for column in [column for column in columns if column not in labels]:
        if len(block) > len(labels) and _total([*block, column]) > width:
            blocks.append(block)
            block = list(labels)
        block.append(column)
    return [*blocks, block]


def _block(columns: Sequence[_Column]) -> str:
    deep = max((len(column.heading) for column in columns), default=0)
    headings = [[""] * (deep - len(column.heading)) + column.heading for column in columns]
    rows = [*zip(*headings, strict=True), *zip(*(column.fields for column in columns), strict=True)]
    return "\n".join(
        _GAP.join(column.line(text) for column, text in zip(columns, row, strict=True)).rstrip() for row in rows
    )
