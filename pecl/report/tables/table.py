"""`Table`: a DataFrame of raw values, and the columns that a reader sees; its layout, and its text.

A number is computed once, into the frame. A column formats the values of a row by a template, which all text
formats share; CSV and JSON hold the frame. Empty and constant columns are dropped from the layout, and rows of text fit
the width of a terminal. pandas is imported where a table is made, so that commands which make none start quickly.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import asdict, dataclass
from string import Formatter
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from pecl.errors import one_line, printable
from pecl.report.tables.groups import BOOTSTRAP, Group
from pecl.results.result import Result

if TYPE_CHECKING:
    import pandas as pd

SHORT_ID = 8  # digits of a run id in text
INTERVAL = "95 % interval"
RUN = "run"  # name of the column of run ids
WIDTH = 100  # columns of a terminal that every table fits
_NARROW = 7  # letters that a heading may take without being broken
_LONGEST = 40  # maximum letters of a field; the middle of a longer one, such as a path, is cut out

Row = dict[str, Any]
Frame: TypeAlias = "pd.DataFrame"


def frame_of(rows: Sequence[Row]) -> Frame:
    """Return rows as a DataFrame of unconverted values: a column may mix None and whole numbers."""
    import pandas as pd

    return pd.DataFrame(list(rows), dtype=object)


_SIGNS = {
    # tenths of a per cent, rounded first, so that 0.9435 does not become 94.3
    "%": lambda score: f"{int(f'{round(1000 * score, 6):.0f}') / 10:.1f}",
    "#": lambda values: str(len(values)),
}


@dataclass(frozen=True)
class Column:
    """One column that a reader sees."""

    name: str
    # template of a field, such as `{gain:+.3f}`, or a function of a row; by default the value under its name, with
    # underscores. `{score:%}` is in per cent, `{seeds:#}` counts a list. A missing value is omitted together with
    # the letters before it.
    form: str | Callable[[Row], str] = ""
    always: bool = False  # whether it stays in a table if all its fields are equal
    absent: str = ""  # text of a field whose values are all missing

    @property
    def number(self) -> bool:
        """Whether its template formats numbers, which are aligned to the right."""
        return isinstance(self.form, str) and ":" in self.form

    def text(self, row: Row) -> str:
        """Return the field of a row, in which missing values are None."""
        if callable(self.form):
            return self.form(row)
        said = ""
        for before, key, form, _ in Formatter().parse(self.form or f"{{{self.name.replace(' ', '_')}}}"):
            if key is None:
                said += before if said else ""
            elif row[key] is not None:
                said += before + (_SIGNS[form](row[key]) if form in _SIGNS else format(row[key], form or ""))
        return said or self.absent


def difference(name: str) -> tuple[Column, Column]:
    """Return the columns of a difference and of its interval."""
    return Column(name, f"{{{name}:+.3f}}", True), interval_column(f"{name}_low", f"{name}_high")


def interval_column(low: str, high: str, form: str = "+.3f") -> Column:
    """Return the column of an interval."""
    return Column(INTERVAL, f"[{{{low}:{form}}}, {{{high}:{form}}}]", True)


@dataclass(frozen=True)
class Table:
    """One table."""

    name: str  # its name for `--table` and in file names
    title: str
    group: Group | None  # group of its numbers; None for published numbers
    frame: Frame  # raw values, a row per row of the table; lists if a row has several seeds or runs
    columns: Sequence[Column]
    results: Sequence[Result] = ()  # runs that the numbers come from
    remarks: Sequence[str] = ()  # further sentences of the note
    # (place of a row, name of a column) of the best of comparable scores
    best: frozenset[tuple[int, str]] = frozenset()
    setup: str = ""  # settings that its trainings share in addition to the group, unlike other tables of the group
    # those of `results` that give only a score of the plain tower, which depends on no seed
    references: Sequence[Result] = ()

    @property
    def rows(self) -> list[Row]:
        """Rows of the frame as dicts; missing values are None."""
        return self.frame.astype(object).where(self.frame.notna(), None).to_dict("records")

    @property
    def texts(self) -> Frame:
        """Fields as a reader sees them, a column per heading."""
        rows = self.rows
        return frame_of([{column.name: column.text(row) for column in self.columns} for row in rows])

    @property
    def origin(self) -> dict[str, Any]:
        """Numbers of test captions (several if rows state their own), seeds, run ids; and the method of intervals."""
        trained = [result for result in self.results if result.kind == "train" and result not in self.references]
        return {
            "test_captions": sorted({result.test_captions for result in self.results}),
            "seeds": sorted({result.config.seed for result in trained}),
            "run_ids": sorted({result.run_id for result in self.results}),
            **({"bootstrap": BOOTSTRAP} if any(column.name == INTERVAL for column in self.columns) else {}),
        }

    @property
    def short_ids(self) -> str:
        """First digits of the ids of its runs."""
        found = [run_id[:SHORT_ID] for run_id in self.origin["run_ids"]]
        return f"runs {', '.join(found)}" if found else ""

    @property
    def heading(self) -> tuple[str, str]:
        """The title and the details of its group; both empty for published numbers."""
        if self.group is None:
            return "", ""
        return ", ".join(filter(None, [self.group.title, self.setup])), self.group.details

    @property
    def notes(self) -> list[str]:
        """The parts of the line below the table, which the heading does not state: n, seeds, bootstrap and remarks."""
        origin = self.origin
        captions = ", ".join(f"{number:,}" for number in origin["test_captions"])
        parts = [f"n = {captions} test captions"] if self.group else []
        parts += [seeds_text(origin["seeds"])] if origin["seeds"] else []
        parts += [f"intervals: {origin['bootstrap']}"] if "bootstrap" in origin else []
        return [*parts, *self.remarks]

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object of the table: rows with raw values; missing values are None."""
        return {
            "name": self.name,
            "title": self.title,
            "setup": self.setup,
            "group": self.group and {**asdict(self.group), "metric": self.group.metric},
            **self.origin,
            "remarks": list(self.remarks),
            "rows": self.rows,
        }


def seeds_text(seeds: Iterable[int]) -> str:
    """Return `seed 1` or `seeds 1, 2`."""
    named = sorted(set(seeds))
    return f"seed{'s' if len(named) > 1 else ''} {', '.join(map(str, named))}"


class Layout(NamedTuple):
    """The texts of a table's columns that distinguish its rows or hold its scores."""

    frame: Frame
    numbers: list[str]  # columns of numbers, which are aligned to the right
    best: Frame  # places of the best scores, of the shape of `frame`
    shared: str  # the other columns in words, since all rows have their values


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


def text_table(frame: Frame, numbers: Collection[str] = (), width: int = WIDTH) -> str:
    """Return texts as a table, no line longer than `width`: columns that do not fit come below the others.

    Each block begins with the labels of the rows; row numbers precede them if they are not unique. A single row that
    does not fit is written as a list of names and values.
    """
    frame = frame.map(lambda text: shortened(printable(text), _LONGEST))
    columns = _columns(frame, numbers)

    def wide(names: Iterable[str]) -> int:
        return sum(len(columns[name][0]) + 2 for name in names) - 2

    if len(frame) == 1 and wide(columns) > width:
        return "\n".join(f"{name:<{max(map(len, columns))}}  {frame[name].iloc[0]}" for name in columns)
    first = next((place for place, name in enumerate(columns) if name in numbers), len(columns))
    labels: list[str] = []
    for name in list(columns)[:first]:
        labels += [name] if wide([*labels, name]) <= width // 2 else []
    blocks = [list(labels)]
    for name in frame.columns.drop(labels):
        if len(blocks[-1]) > len(labels) and wide([*blocks[-1], name]) > width:
            blocks.append(list(labels))
        blocks[-1].append(name)
    if len(blocks) > 1 and "row" not in frame and frame[labels].duplicated().any():
        frame.insert(0, "row", [f"#{place}" for place in range(1, len(frame) + 1)])
        return text_table(frame, numbers, width)
    rows = [["  ".join(row).rstrip() for row in zip(*(columns[name] for name in own), strict=True)] for own in blocks]
    return "\n\n".join("\n".join(own).strip("\n") for own in rows)


def _columns(frame: Frame, numbers: Collection[str]) -> dict[str, list[str]]:
    """Return the lines of each column, all of one length; a heading wider than the fields is broken between words."""
    heads = {}
    for name in map(str, frame):
        words = re.split(r"\s|(?<=-)", name)
        heads[name] = textwrap.wrap(name, max(_NARROW, *map(len, [*frame[name], *words]))) or [""]
    deep = max(map(len, heads.values()), default=0)
    found = {}
    for name, head in heads.items():
        lines = [*[""] * (deep - len(head)), *head, *frame[name]]
        width = max(map(len, lines))
        found[name] = [line.rjust(width) if name in numbers else line.ljust(width) for line in lines]
    return found


def plain_table(columns: Sequence[Column], rows: Sequence[Row]) -> str:
    """Return rows as text in these columns."""
    frame = Table("", "", None, frame_of(rows), columns).texts.map(one_line)
    return text_table(frame, [column.name for column in columns if column.number])


def reported(table: Table) -> str:
    """Return a table as commands print it after a run: a line above it states the values that all rows share."""
    layout = laid_out(table)
    return "\n".join(filter(None, [wrapped(layout.shared), text_table(layout.frame, layout.numbers)]))


def wrapped(text: str) -> str:
    """Return `text` in lines that fit a terminal, broken between words if possible."""
    return "\n".join(textwrap.wrap(one_line(text), WIDTH, break_on_hyphens=False))


def shortened(text: str, most: int = WIDTH) -> str:
    """Return `text`, its middle replaced by an ellipsis if it is longer than `most` letters."""
    half = (most - 1) // 2
    return text if len(text) <= most else f"{text[:half]}…{text[-(most - 1 - half) :]}"
