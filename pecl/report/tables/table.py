"""`Table`: a DataFrame of raw values, and the columns in which a reader sees them.

A number is computed once, into the frame. A column writes the values of a row by a template, so that all formats show
one specification; CSV and JSON hold the frame. pandas is imported where a table is made, so that commands which make
none start quickly.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from string import Formatter
from typing import TYPE_CHECKING, Any

from pecl.report.tables.groups import Group
from pecl.report.tables.statistics import BOOTSTRAP
from pecl.results.result import Result
from pecl.retrieval.measures import DIRECTIONS

if TYPE_CHECKING:
    import pandas as pd

SHORT_ID = 8  # digits of a run id in text
INTERVAL = "95 % interval"
RUN = "run"  # name of the column of run ids
MEAN_RECALL = "R@1,5,10"  # the mean of recall@1, 5 and 10 of both directions

Row = dict[str, Any]


def frame_of(rows: Sequence[Row]) -> pd.DataFrame:
    """Return rows as a DataFrame of the values as they are: one column may have None and whole numbers."""
    import pandas as pd

    return pd.DataFrame(list(rows), dtype=object)


def _per_cent(score: float) -> str:
    """Return tenths of a per cent, rounded first, so that 0.9435 does not become 94.3."""
    return f"{int(f'{round(1000 * score, 6):.0f}') / 10:.1f}"


_SIGNS = {"%": _per_cent, "#": lambda values: str(len(values))}


@dataclass(frozen=True)
class Column:
    """One column that a reader sees."""

    name: str
    # template of a field, such as `{gain:+.3f}`, or a function of a row; by default the value under its name, with
    # underscores. `{score:%}` is in per cent, `{seeds:#}` is their number. Missing values leave, with the letters
    # before them.
    form: str | Callable[[Row], str] = ""
    always: bool = False  # whether it stays in a table where all its fields are equal
    absent: str = ""  # text of a field whose values are all missing

    @property
    def number(self) -> bool:
        """Whether its template formats numbers, which are aligned to the right."""
        return isinstance(self.form, str) and ":" in self.form

    def text(self, row: Row) -> str:
        """Return the field of a row."""
        if callable(self.form):
            return self.form(row)
        said = ""
        for before, key, form, _ in Formatter().parse(self.form or f"{{{self.name.replace(' ', '_')}}}"):
            if key is None:
                said += before if said else ""
            elif not missing(row[key]):
                said += before + (_SIGNS[form](row[key]) if form in _SIGNS else format(row[key], form or ""))
        return said or self.absent


def difference(name: str) -> tuple[Column, Column]:
    """Return the columns of a difference and of its interval."""
    return Column(name, f"{{{name}:+.3f}}", True), interval_column(f"{name}_low", f"{name}_high")


def interval_column(low: str, high: str, form: str = "+.3f") -> Column:
    """Return the column of an interval."""
    return Column(INTERVAL, f"[{{{low}:{form}}}, {{{high}:{form}}}]", True)


GALLERY = Column("gallery", "{gallery_size:,} {gallery_kind}")


def missing(value: Any) -> bool:
    """Return whether a field holds None or not a number in place of a value."""
    return value is None or (isinstance(value, float) and math.isnan(value))


@dataclass(frozen=True)
class Table:
    """One table."""

    name: str  # its name for `--table` and in file names
    title: str
    group: Group | None  # group of its numbers; None for published numbers
    frame: pd.DataFrame  # raw values, a row per row of the table; lists where a row has several seeds or runs
    columns: Sequence[Column]
    results: Sequence[Result] = ()  # runs that the numbers come from
    remarks: Sequence[str] = ()  # further sentences of the note
    # (place of a row, name of a column) of the best scores among those that compare
    best: frozenset[tuple[int, str]] = frozenset()
    setup: str = ""  # settings that its trainings share in addition to the group, unlike other tables of the group
    # those of `results` that give only a score of the plain tower, so that their seeds say nothing
    references: Sequence[Result] = ()

    @property
    def rows(self) -> list[Row]:
        """Rows of the frame as dicts, None where there is no number."""
        rows = self.frame.to_dict("records")
        return [{str(key): None if missing(value) else value for key, value in row.items()} for row in rows]

    @property
    def texts(self) -> pd.DataFrame:
        """Fields as a reader sees them, a column per heading."""
        rows = self.rows
        return frame_of([{column.name: column.text(row) for column in self.columns} for row in rows])

    @property
    def bootstrap(self) -> dict[str, str]:
        """The bootstrap of its intervals, where it has some."""
        return {"bootstrap": BOOTSTRAP} if any(column.name == INTERVAL for column in self.columns) else {}

    @property
    def seeds(self) -> list[int]:
        """Seeds of the trainings that the numbers come from, sorted."""
        trained = [result for result in self.results if result.kind == "train" and result not in self.references]
        return sorted({result.config.seed for result in trained})

    @property
    def captions(self) -> list[int]:
        """Numbers of test captions, sorted: one number, or several where the table states them by row."""
        return sorted({test_captions(result) for result in self.results})

    @property
    def short_ids(self) -> str:
        """First digits of the ids of its runs."""
        found = sorted({result.run_id[:SHORT_ID] for result in self.results})
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
        parts = [f"n = {', '.join(f'{number:,}' for number in self.captions)} test captions"] if self.group else []
        parts += [seeds_text(self.seeds)] if self.seeds else []
        parts += [f"intervals: {text}" for text in self.bootstrap.values()]
        return [*parts, *self.remarks]

    def to_dict(self) -> dict[str, Any]:
        """Return the form that JSON holds: rows with raw values, None where there is no number."""
        return {
            "name": self.name,
            "title": self.title,
            "setup": self.setup,
            "group": self.group and {**asdict(self.group), "metric": self.group.metric},
            "test_captions": self.captions,
            "seeds": self.seeds,
            "run_ids": sorted({result.run_id for result in self.results}),
            **self.bootstrap,
            "remarks": list(self.remarks),
            "rows": self.rows,
        }


def test_captions(result: Result) -> int:
    """Return the number of test captions: queries of the direction that starts from text."""
    return len(result.ranks(DIRECTIONS[result.data.gallery.kind][1]))


def seeds_text(seeds: Iterable[int]) -> str:
    """Return `seed 1` or `seeds 1, 2`."""
    named = sorted(set(seeds))
    return f"seed{'s' if len(named) > 1 else ''} {', '.join(map(str, named))}"
