"""The layout of a table, and its text in a terminal.

Empty and constant columns are dropped, and a line states the constants. Rows of text fit the width of a terminal.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from pecl.errors import one_line, printable
from pecl.report.tables.table import RUN, Column, Frame, Row, Table, frame_of

WIDTH = 100  # columns of a terminal that every table fits
_NARROW = 7  # letters that a heading may take without being broken
_LONGEST_FIELD = 40  # letters; the middle of a longer field, such as a path, is cut out


class Layout(NamedTuple):
    """The texts of a table's columns that distinguish its rows or hold its scores."""

    frame: Frame
    numbers: list[str]  # columns of numbers, which are aligned to the right
    best: Frame  # whether a field is one of the best scores, of the shape of `frame`
    shared: str  # the other columns in words, since all rows have their values
    whole: Mapping[str, int]  # columns whose fields are never cut -> letters of their lines


def laid_out(table: Table, ids: bool = False) -> Layout:
    """Return the layout of `table`; `ids` keeps the column of run ids."""
    frame = table.texts.map(one_line).rename(columns=one_line)

    names = []  # columns that are not constant
    constants = []
    for column in table.columns:
        texts = frame[one_line(column.name)]
        if not texts.any() or (column.name == RUN and not ids):
            continue
        if len(frame) > 1 and not column.always and texts.nunique() == 1:
            constants.append(f"{column.name} {texts.iloc[0]}")
        else:
            names.append(column.name)

    best = frame.isin(())
    for row, name in table.best:
        best.loc[row, one_line(name)] = True

    numbers = [column.name for column in table.columns if column.number]
    whole = {column.name: column.whole for column in table.columns if column.whole}
    return Layout(frame.reindex(columns=names), numbers, best.reindex(columns=names), "; ".join(constants), whole)


def text_table(
    frame: Frame, numbers: Collection[str] = (), width: int = WIDTH, whole: Mapping[str, int] | None = None
) -> str:
    """Return texts as a table, no line longer than `width`: columns that do not fit come below the others.

    Each block begins with the labels of the rows; row numbers precede them if they are not unique. A single row that
    does not fit is written as a list of names and values. A long field is cut; in a column of `whole`, which has the
    letters of a line, it is broken at its spaces.
    """
    whole = whole or {}
    frame = frame.copy()
    for name in frame:
        frame[name] = frame[name].map(printable if name in whole else _short_field)
    columns = _column_lines(frame, numbers, whole)

    if len(frame) == 1 and _total_width(columns, columns) > width:
        name_width = max(map(len, columns))
        return "\n".join(f"{name:<{name_width}}  {frame[name].iloc[0]}" for name in columns)

    labels = _row_labels(columns, numbers, width // 2)
    blocks = [list(labels)]
    for name in frame.columns.drop(labels):
        if len(blocks[-1]) > len(labels) and _total_width(columns, [*blocks[-1], name]) > width:
            blocks.append(list(labels))
        blocks[-1].append(name)

    if len(blocks) > 1 and "row" not in frame and frame[labels].duplicated().any():
        frame.insert(0, "row", [f"#{number}" for number in range(1, len(frame) + 1)])
        return text_table(frame, numbers, width, whole)

    return "\n\n".join(_block_text(columns, block) for block in blocks)


def _short_field(text: str) -> str:
    return shortened(printable(text), _LONGEST_FIELD)


def _field_lines(text: str, width: int | None) -> list[str]:
    """Return the lines of a field: one, or those of `width` letters, broken only at spaces."""
    if width is None:
        return [text]
    return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False) or [""]


def _row_labels(columns: dict[str, list[str]], numbers: Collection[str], width: int) -> list[str]:
    """Return the columns before the first one of numbers, as far as they fit."""
    labels: list[str] = []
    for name in columns:
        if name in numbers:
            break
        if _total_width(columns, [*labels, name]) <= width:
            labels.append(name)
    return labels


def _total_width(columns: dict[str, list[str]], names: Iterable[str]) -> int:
    """Return the letters of a line of these columns, with two spaces between them."""
    return sum(len(columns[name][0]) + 2 for name in names) - 2


def _block_text(columns: dict[str, list[str]], names: Sequence[str]) -> str:
    rows = zip(*(columns[name] for name in names), strict=True)
    return "\n".join("  ".join(row).rstrip() for row in rows).strip("\n")


def _column_lines(frame: Frame, numbers: Collection[str], whole: Mapping[str, int]) -> dict[str, list[str]]:
    """Return the lines of each column, all of one length; a heading wider than the fields is broken between words."""
    fields = {name: [_field_lines(field, whole.get(name)) for field in frame[name]] for name in map(str, frame)}
    headings = {}
    for name in fields:
        words = re.split(r"\s|(?<=-)", name)
        heading_width = max(_NARROW, *map(len, words), *(len(line) for field in fields[name] for line in field))
        headings[name] = textwrap.wrap(name, heading_width) or [""]

    height = max(map(len, headings.values()), default=0)
    row_heights = [max(map(len, row), default=1) for row in zip(*fields.values(), strict=True)]
    columns = {}
    for name, heading in headings.items():
        lines = [*[""] * (height - len(heading)), *heading]
        for field, row_height in zip(fields[name], row_heights, strict=True):
            lines += [*field, *[""] * (row_height - len(field))]
        width = max(map(len, lines))
        columns[name] = [line.rjust(width) if name in numbers else line.ljust(width) for line in lines]
    return columns


def plain_table(columns: Sequence[Column], rows: Sequence[Row]) -> str:
    """Return rows as text in these columns."""
    frame = Table("", "", None, frame_of(rows), columns).texts.map(one_line)
    return text_table(frame, [column.name for column in columns if column.number])


def reported(table: Table) -> str:
    """Return a table as commands print it after a run: a line above it states the values that all rows share."""
    layout = laid_out(table)
    text = text_table(layout.frame, layout.numbers)
    return f"{wrapped(layout.shared)}\n{text}" if layout.shared else text


def wrapped(text: str) -> str:
    """Return `text` in lines that fit a terminal, broken between words if possible."""
    return "\n".join(textwrap.wrap(one_line(text), WIDTH, break_on_hyphens=False))


def shortened(text: str, length: int = WIDTH) -> str:
    """Return `text`, its middle replaced by an ellipsis if it is longer than `length` letters."""
    if len(text) <= length:
        return text
    half = (length - 1) // 2
    return f"{text[:half]}…{text[-(length - 1 - half) :]}"
