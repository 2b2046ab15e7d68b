"""The layout of a table: empty and constant columns are dropped, and its rows fit the width of a terminal."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from pecl.errors import printable
from pecl.report.tables.table import RUN, Column, Row, Table, frame_of

if TYPE_CHECKING:
    import pandas as pd

WIDTH = 100  # columns of a terminal that every table fits
_NARROW = 7  # letters that a heading may take without being broken
_LONGEST = 40  # letters of a field; a longer one, such as a path, loses its middle
_GAP = "  "
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")  # line breaks among them


@dataclass(frozen=True)
class Shown:
    """A column as text, whether it is of numbers or scores, and the places of its best fields."""

    name: str
    texts: tuple[str, ...]
    number: bool = False
    always: bool = False
    best: frozenset[int] = frozenset()

    @cached_property
    def width(self) -> int:
        """Letters of its longest line."""
        return max(map(len, [*self.heading, *self.texts]))

    @cached_property
    def heading(self) -> list[str]:
        """Lines of its heading, which is broken between words and after hyphens where it is wider than the fields."""
        broad = max([_NARROW, *map(len, self.texts), *map(len, re.split(r"\s|(?<=-)", self.name))])
        return textwrap.wrap(self.name, broad) or [""]


@dataclass(frozen=True)
class Layout:
    """The columns of a table that tell its rows apart or hold its scores, and the words that state the others."""

    columns: list[Shown]
    shared: str = ""

    @property
    def frame(self) -> pd.DataFrame:
        """Its texts, a column per heading."""
        import pandas as pd

        return pd.DataFrame({column.name: column.texts for column in self.columns})


def shown(
    columns: Sequence[Column], frame: pd.DataFrame, best: Collection[tuple[int, str]] = frozenset()
) -> list[Shown]:
    """Return the columns of a frame as text, without control characters."""
    return [
        Shown(
            one_line(column.name),
            tuple(map(one_line, column.texts(frame))),
            column.number,
            column.always,
            frozenset(place for place, name in best if name == column.name),
        )
        for column in columns
    ]


def laid_out(table: Table, ids: bool = False) -> Layout:
    """Return the layout of `table`; `ids` keeps the column of run ids."""
    columns = [column for column in table.columns if ids or column.name != RUN]
    return without_repetition(shown(columns, table.frame, table.best))


def without_repetition(columns: Sequence[Shown]) -> Layout:
    """Return `columns` without columns that are empty, or equal in all of several rows; the words name the latter.

    If one row is wider than a terminal, the words state all but its scores.
    """
    filled = [column for column in columns if any(column.texts)]
    one_row = bool(filled) and len(filled[0].texts) == 1
    scores = [column for column in filled if column.always or (one_row and "R@" in column.name)]
    whole = one_row and (not scores or width_of(filled) <= WIDTH)
    equal = [column for column in filled if not whole and column not in scores and len(set(column.texts)) == 1]
    shared = "; ".join(f"{column.name} {column.texts[0]}" for column in equal)
    return Layout([column for column in filled if column not in equal], shared)


def width_of(columns: Sequence[Shown]) -> int:
    """Return the width of columns next to each other, in letters."""
    return sum(column.width for column in columns) + len(_GAP) * (len(columns) - 1)


def text_table(columns: Sequence[Shown], width: int = WIDTH) -> str:
    """Return columns as text, no line longer than `width`: columns that do not fit come below the others.

    Each block begins with the labels of the rows; if these do not tell the rows apart, with their numbers. One row that
    does not fit is written as a list of names and values.
    """
    cut = [replace(one, texts=tuple(shortened(printable(text), _LONGEST) for text in one.texts)) for one in columns]
    if cut and len(cut[0].texts) == 1 and width_of(cut) > width:
        names = max(len(column.name) for column in cut)
        return "\n".join(f"{column.name:<{names}}{_GAP}{column.texts[0]}".rstrip() for column in cut)
    labels, blocks = _blocks(cut, width)
    rows = len(cut[0].texts) if cut else 0
    if len(blocks) > 1 and len(set(zip(*(label.texts for label in labels), strict=True))) < rows:
        places = Shown("row", tuple(f"#{place}" for place in range(1, rows + 1)))
        labels, blocks = _blocks([places, *cut], width)
    return "\n\n".join(_block([*labels, *block]) for block in blocks)


def _blocks(columns: Sequence[Shown], width: int) -> tuple[list[Shown], list[list[Shown]]]:
    """Return the labels that the table begins with, and the other columns in blocks that fit `width` next to them."""
    first = next((place for place, column in enumerate(columns) if column.number), len(columns))
    labels: list[Shown] = []
    for column in columns[:first]:
        if width_of([*labels, column]) <= width // 2:
            labels.append(column)
    blocks: list[list[Shown]] = [[]]
    for column in (column for column in columns if column not in labels):
        if blocks[-1] and width_of([*labels, *blocks[-1], column]) > width:
            blocks.append([])
        blocks[-1].append(column)
    return labels, blocks


def _block(columns: Sequence[Shown]) -> str:
    deep = max((len(column.heading) for column in columns), default=0)
    fields = [[*[""] * (deep - len(column.heading)), *column.heading, *column.texts] for column in columns]
    aligned = [
        [f"{text:>{column.width}}" if column.number else f"{text:<{column.width}}" for text in own]
        for column, own in zip(columns, fields, strict=True)
    ]
    return "\n".join(_GAP.join(row).rstrip() for row in zip(*aligned, strict=True))


def plain_table(columns: Sequence[Column], rows: Sequence[Row]) -> str:
    """Return rows as text in these columns."""
    return text_table(shown(columns, frame_of(rows)))


def reported(table: Table) -> str:
    """Return a table as commands print it after a run: a line above it states the values that all rows share."""
    layout = laid_out(table)
    return "\n".join([*([wrapped(layout.shared)] if layout.shared else []), text_table(layout.columns)])


def wrapped(text: str, width: int = WIDTH) -> str:
    """Return `text` in lines of at most `width` letters, broken between words where that is possible."""
    return "\n".join(textwrap.wrap(text, width, break_on_hyphens=False))


def shortened(text: str, most: int) -> str:
    """Return `text`, its middle replaced by an ellipsis where it is longer than `most`."""
    half = (most - 1) // 2
    return text if len(text) <= most else f"{text[:half]}…{text[-(most - 1 - half) :]}"


def one_line(field: object) -> str:
    """Return text without line breaks and other control characters."""
    return _CONTROLS.sub(" ", str(field))
