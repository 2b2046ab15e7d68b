"""How a table reaches a reader: what is empty or equal in all rows leaves it, and it fits the width of a terminal."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd

from pecl.errors import printable
from pecl.report.tables.signs import one_line
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
    """Return `frame` without columns that are empty, or equal in all of several rows; the words name the latter.

    Of one row that is wider than a terminal, all but its scores is said in words.
    """
    texts = {name: [str(value) for value in frame[name]] for name in frame.columns}
    filled = [name for name, column in texts.items() if any(column)]
    scores = [name for name in filled if name in _SHOWN_ANYWAY or (len(frame) == 1 and "R@" in name)]
    whole = len(frame) == 1 and (not scores or width_of(_columns(frame, WIDTH)) <= WIDTH)
    equal = [name for name in filled if not whole and name not in scores and len(set(texts[name])) == 1]
    said = "; ".join(f"{name} {texts[name][0]}" for name in equal)
    return Layout(frame.loc[:, [name for name in filled if name not in equal]], said)


def text_table(frame: pd.DataFrame, width: int = WIDTH) -> str:
    """Return a table as text, no line longer than `width`: what does not fit beside each other comes below.

    Where the labels that each block begins with do not tell the rows apart, numbers do. One row that does not fit is
    written as a list of names and values.
    """
    columns = _columns(frame, width)
    if len(frame) == 1 and width_of(columns) > width:
        names = max(len(column.name) for column in columns)
        return "\n".join(f"{column.name:<{names}}{_GAP}{column.fields[0]}".rstrip() for column in columns)
    return "\n\n".join(_block(block) for block in blocks(frame, width))


def blocks(frame: pd.DataFrame, width: int) -> list[list[Column]]:
    """Return the columns of a table in blocks that come one below the other, none wider than `width` letters."""
    columns = _columns(frame, width)
    found = _beside(columns, width)
    if len(found) > 1 and len(_told_apart(found)) < len(frame):
        found = _beside([Column("row", [f"#{place}" for place in range(1, len(frame) + 1)]), *columns], width)
    return found


def width_of(columns: Sequence[Column]) -> int:
    """Return how many letters wide a block is."""
    return sum(column.width for column in columns) + len(_GAP) * (len(columns) - 1)


def heading_rows(columns: Sequence[Column]) -> list[tuple[str, ...]]:
    """Return the headings of a block as rows of one line each, so that all of them end in the last."""
    deep = max((len(column.heading) for column in columns), default=0)
    return list(zip(*([""] * (deep - len(column.heading)) + column.heading for column in columns), strict=True))


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


class Column:
    """A column of text: its heading in lines, broken after hyphens too where `hyphens` says so, its fields, its width.

    A `label` is text; other columns are numbers.
    """

    def __init__(self, name: str, fields: list[str], hyphens: bool = False) -> None:
        self.name, self.fields = name, fields
        words = re.split(r"\s|(?<=-)" if hyphens else r"\s", name)
        broad = max([_NARROW, *map(len, fields), *map(len, words)])
        self.heading = textwrap.wrap(printable(one_line(name)), broad, break_on_hyphens=hyphens) or [""]
        self.width = max(map(len, [*self.heading, *fields]))
        self.label = not _is_numeric(fields)

    def line(self, text: str) -> str:
        """Return a field or a line of the heading as wide as the column."""
        return f"{text:<{self.width}}" if self.label else f"{text:>{self.width}}"


def _shortened(value: object) -> str:
    return shortened(printable(one_line("-" if value is None or value != value else value)), _LONGEST)


def _columns(frame: pd.DataFrame, width: int) -> list[Column]:
    """Return the columns, their headings as narrow as `width` asks for."""
    fields = {str(name): [_shortened(value) for value in frame[name]] for name in frame.columns}
    columns = [Column(name, own) for name, own in fields.items()]
    return columns if width_of(columns) <= width else [Column(name, own, hyphens=True) for name, own in fields.items()]


def _beside(columns: Sequence[Column], width: int) -> list[list[Column]]:
    """Return the columns in blocks that fit `width`; the labels that the table begins with are in each of them."""
    first = next((place for place, column in enumerate(columns) if not column.label), len(columns))
    labels: list[Column] = []
    for column in columns[:first]:
        if width_of([*labels, column]) <= width // 2:
            labels.append(column)
    blocks, block = [], list(labels)
    for column in [column for column in columns if column not in labels]:
        if len(block) > len(labels) and width_of([*block, column]) > width:
            blocks.append(block)
            block = list(labels)
        block.append(column)
    if blocks and len(block) == len(labels) + 1 and len(blocks[-1]) > len(labels) + 2:
        block.insert(len(labels), blocks[-1].pop())  # so that no column comes alone
    return [*blocks, block]


def _told_apart(blocks: Sequence[Sequence[Column]]) -> set[tuple[str, ...]]:
    """Return the labels that all blocks begin with, each row's once."""
    labels = [column for column in blocks[0] if column in blocks[1]]
    return set(zip(*(column.fields for column in labels), strict=True))


def _block(columns: Sequence[Column]) -> str:
    rows = [*heading_rows(columns), *zip(*(column.fields for column in columns), strict=True)]
    return "\n".join(
        _GAP.join(column.line(text) for column, text in zip(columns, row, strict=True)).rstrip() for row in rows
    )
