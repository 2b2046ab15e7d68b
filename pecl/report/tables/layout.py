"""The layout of a table: empty and constant columns are dropped, and its rows fit the width of a terminal."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, NamedTuple

from pecl.errors import one_line, printable
from pecl.report.tables.table import RUN, Column, Row, Table, frame_of

if TYPE_CHECKING:
    import pandas as pd

WIDTH = 100  # columns of a terminal that every table fits
_NARROW = 7  # letters that a heading may take without being broken
_LONGEST = 40  # letters of a field; a longer one, such as a path, loses its middle


class Layout(NamedTuple):
    """The texts of a table's columns that tell its rows apart or hold its scores."""

    frame: pd.DataFrame
    numbers: list[str]  # columns of numbers, which are aligned to the right
    best: pd.DataFrame  # places of the best scores, of the shape of `frame`
    shared: str  # the other columns in words, since all rows have their values

    @property
    def width(self) -> int:
        """Letters of a row."""
        return max(map(len, text_table(self.frame, self.numbers, width=100_000).splitlines()), default=0)


def laid_out(table: Table, ids: bool = False) -> Layout:
    """Return the layout of `table`; `ids` keeps the column of run ids."""
    frame = table.texts.map(one_line).rename(columns=one_line)
    columns = [one for one in table.columns if (ids or one.name != RUN) and frame[one_line(one.name)].any()]
    equal = [one.name for one in columns if len(frame) > 1 and not one.always and frame[one.name].nunique() == 1]
    best = frame.isin(())
    for place, name in table.best:
        best.loc[place, one_line(name)] = True
    kept = [one.name for one in columns if one.name not in equal]
    shared = "; ".join(f"{name} {frame[name].iloc[0]}" for name in equal)
    numbers = [one.name for one in columns if one.number]
    return Layout(frame.reindex(columns=kept), numbers, best.reindex(columns=kept), shared)


def text_table(frame: pd.DataFrame, numbers: Collection[str] = (), width: int = WIDTH) -> str:
    """Return texts as a table, no line longer than `width`: columns that do not fit come below the others.

    Each block begins with the labels of the rows; if these do not tell the rows apart, with their numbers. One row that
    does not fit is written as a list of names and values.
    """
    frame = frame.map(lambda text: shortened(printable(text), _LONGEST))
    columns = _columns(frame, numbers)
    wide = {name: len(lines[0]) + 2 for name, lines in columns.items()}
    if len(frame) == 1 and sum(wide.values()) - 2 > width:
        names = max(map(len, frame))
        return "\n".join(f"{name:<{names}}  {texts.iloc[0]}" for name, texts in frame.items())
    first = next((place for place, name in enumerate(frame) if name in numbers), len(frame.columns))
    labels: list[str] = []
    for name in frame.columns[:first]:
        labels += [name] if sum(wide[one] for one in [*labels, name]) - 2 <= width // 2 else []
    blocks = [list(labels)]
    for name in frame.columns.drop(labels):
        if len(blocks[-1]) > len(labels) and sum(wide[one] for one in [*blocks[-1], name]) - 2 > width:
            blocks.append(list(labels))
        blocks[-1].append(name)
    if len(blocks) > 1 and "row" not in frame and frame[labels].duplicated().any():
        frame.insert(0, "row", [f"#{place}" for place in range(1, len(frame) + 1)])
        return text_table(frame, numbers, width)
    rows = [["  ".join(row).rstrip() for row in zip(*(columns[name] for name in own), strict=True)] for own in blocks]
    return "\n\n".join("\n".join(own).strip("\n") for own in rows)


def _columns(frame: pd.DataFrame, numbers: Collection[str]) -> dict[str, list[str]]:
    """Return the lines of each column, all of one length; a heading wider than the fields is broken between words."""
    heads = {}
    for name, texts in frame.items():
        words = re.split(r"\s|(?<=-)", str(name))
        heads[name] = textwrap.wrap(str(name), max(_NARROW, *map(len, [*texts, *words]))) or [""]
    deep = max(map(len, heads.values()), default=0)
    found = {}
    for name, head in heads.items():
        lines = [*[""] * (deep - len(head)), *head, *frame[name]]
        width = max(map(len, lines))
        found[name] = [f"{line:>{width}}" if name in numbers else f"{line:<{width}}" for line in lines]
    return found


def plain_table(columns: Sequence[Column], rows: Sequence[Row]) -> str:
    """Return rows as text in these columns."""
    frame = Table("", "", None, frame_of(rows), columns).texts.map(one_line)
    return text_table(frame, [column.name for column in columns if column.number])


def reported(table: Table) -> str:
    """Return a table as commands print it after a run: a line above it states the values that all rows share."""
    layout = laid_out(table)
    return "\n".join(filter(None, [wrapped(layout.shared), text_table(layout.frame, layout.numbers)]))


def wrapped(text: str, width: int = WIDTH) -> str:
    """Return `text` in lines of at most `width` letters, broken between words where that is possible."""
    return "\n".join(textwrap.wrap(text, width, break_on_hyphens=False))


def shortened(text: str, most: int) -> str:
    """Return `text`, its middle replaced by an ellipsis where it is longer than `most`."""
    half = (most - 1) // 2
    return text if len(text) <= most else f"{text[:half]}…{text[-(most - 1 - half) :]}"
