"""The layout of a table: empty and constant columns are dropped, and it fits the width of a terminal."""

import re
import textwrap
from collections.abc import Sequence
from typing import NamedTuple

from pecl.errors import printable
from pecl.report.tables.table import RUN, Table, TextColumn

WIDTH = 100  # columns of a terminal that every table fits
_NARROW = 7  # letters that a heading may take without being broken
_LONGEST = 40  # letters of a field; a longer one, such as a path, loses its middle
_GAP = "  "
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")  # line breaks among them


class Layout(NamedTuple):
    """The columns of a table that tell its rows apart or hold its scores, and the words that state the others."""

    columns: list[TextColumn]
    shared: str


def laid_out(table: Table, ids: bool = False) -> Layout:
    """Return the layout of `table`; `ids` keeps the column of run ids."""
    return without_repetition([column for column in table.text_columns if ids or column.name != RUN])


def without_repetition(columns: Sequence[TextColumn]) -> Layout:
    """Return `columns` without columns that are empty, or equal in all of several rows; the words name the latter.

    If one row is wider than a terminal, the words state all but its scores.
    """
    filled = [column for column in columns if any(column.texts)]
    one_row = bool(filled) and len(filled[0].texts) == 1
    scores = [column for column in filled if column.always or (one_row and "R@" in column.name)]
    whole = one_row and (not scores or width_of(_printed(filled, WIDTH)) <= WIDTH)
    equal = [column for column in filled if not whole and column not in scores and len(set(column.texts)) == 1]
    shared = "; ".join(f"{column.name} {column.texts[0]}" for column in equal)
    return Layout([column for column in filled if column not in equal], shared)


def text_table(columns: Sequence[TextColumn], width: int = WIDTH) -> str:
    """Return columns as text, no line longer than `width`: columns that do not fit come below the others.

    If the labels that each block begins with do not tell the rows apart, numbers do. One row that does not fit is
    written as a list of names and values.
    """
    printed = _printed(columns, width)
    if printed and len(printed[0].fields) == 1 and width_of(printed) > width:
        names = max(len(column.name) for column in printed)
        return "\n".join(f"{column.name:<{names}}{_GAP}{column.fields[0]}".rstrip() for column in printed)
    return "\n\n".join(_block(block) for block in blocks(columns, width))


def blocks(columns: Sequence[TextColumn], width: int) -> "list[list[Printed]]":
    """Return columns in blocks that come one below the other, none wider than `width` letters."""
    printed = _printed(columns, width)
    found = _side_by_side(printed, width)
    rows = len(printed[0].fields) if printed else 0
    if len(found) > 1 and len(_distinct_labels(found)) < rows:
        places = TextColumn("row", tuple(f"#{place}" for place in range(1, rows + 1)))
        found = _side_by_side([Printed(places), *printed], width)
    return found


def width_of(columns: "Sequence[Printed]") -> int:
    """Return the width of a block in letters."""
    return sum(column.width for column in columns) + len(_GAP) * (len(columns) - 1)


def heading_rows(columns: "Sequence[Printed]") -> list[tuple[str, ...]]:
    """Return the headings of a block as rows of one line each, so that all of them end in the last."""
    deep = max((len(column.heading) for column in columns), default=0)
    return list(zip(*([""] * (deep - len(column.heading)) + column.heading for column in columns), strict=True))


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


class Printed:
    """A column as it is printed: fields, lines of its heading, width. `hyphens` breaks headings after hyphens too."""

    def __init__(self, column: TextColumn, hyphens: bool = False) -> None:
        self.name, self.number, self.best = column.name, column.number, column.best
        self.fields = [shortened(printable(one_line(text)), _LONGEST) for text in column.texts]
        parts = re.split(r"\s|(?<=-)" if hyphens else r"\s", self.name)
        broad = max([_NARROW, *map(len, self.fields), *map(len, parts)])
        self.heading = textwrap.wrap(printable(one_line(self.name)), broad, break_on_hyphens=hyphens) or [""]
        self.width = max(map(len, [*self.heading, *self.fields]))

    def line(self, text: str) -> str:
        """Return a field or a line of the heading as wide as the column."""
        return f"{text:>{self.width}}" if self.number else f"{text:<{self.width}}"


def _printed(columns: Sequence[TextColumn], width: int) -> list[Printed]:
    """Return the columns, their headings as narrow as `width` asks for."""
    printed = [Printed(column) for column in columns]
    return printed if width_of(printed) <= width else [Printed(column, hyphens=True) for column in columns]


def _side_by_side(columns: Sequence[Printed], width: int) -> list[list[Printed]]:
    """Return the columns in blocks that fit `width`; the labels that the table begins with are in each of them."""
    first = next((place for place, column in enumerate(columns) if column.number), len(columns))
    labels: list[Printed] = []
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
        block.insert(len(labels), blocks[-1].pop())  # so that no block has a single column
    return [*blocks, block]


def _distinct_labels(blocks: Sequence[Sequence[Printed]]) -> set[tuple[str, ...]]:
    """Return the distinct rows of the labels that all blocks begin with."""
    labels = [column for column in blocks[0] if column in blocks[1]]
    return set(zip(*(column.fields for column in labels), strict=True))


def _block(columns: Sequence[Printed]) -> str:
    rows = [*heading_rows(columns), *zip(*(column.fields for column in columns), strict=True)]
    return "\n".join(
        _GAP.join(column.line(text) for column, text in zip(columns, row, strict=True)).rstrip() for row in rows
    )
