"""`Table`: a DataFrame of raw values, and the columns that a reader sees.

Each table is made by one function, which reads in this order: which results, which rows, which columns. A number is
computed once, into the frame. A column formats the values of a row by a template, which all text formats share; CSV and
JSON hold the frame. pandas is imported where a table is made, so that commands which make none start quickly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from string import Formatter
from typing import TYPE_CHECKING, Any, TypeAlias

from pecl.report.selection.groups import BOOTSTRAP, Group
from pecl.results.result import Result

if TYPE_CHECKING:
    import pandas as pd

SHORT_ID = 8  # digits of a run id in text
INTERVAL = "95 % interval"
RUN = "run"  # name of the column of run ids

Row = dict[str, Any]
Frame: TypeAlias = "pd.DataFrame"


def frame_of(rows: Sequence[Row]) -> Frame:
    """Return rows as a DataFrame of unconverted values: a column may mix None and whole numbers."""
    import pandas as pd

    return pd.DataFrame(list(rows), dtype=object)


@dataclass(frozen=True)
class Column:
    """One column that a reader sees.

    Attributes:
        form: template of a field, such as `{gain:+.3f}`, or a function of a row; by default the value under the
            column's name, with underscores. `{score:%}` is in per cent, `{seeds:#}` counts a list, `{p:p}` is a p.
            A missing value is omitted together with the letters before it.
        always: whether the column stays in a table if all its fields are equal.
        absent: text of a field whose values are all missing.
        whole: letters of a line into which text breaks a long field at its spaces; 0 cuts out the middle instead.
    """

    name: str
    form: str | Callable[[Row], str] = ""
    always: bool = False
    absent: str = ""
    whole: int = 0

    @property
    def number(self) -> bool:
        """Whether its template formats numbers, which are aligned to the right."""
        return isinstance(self.form, str) and ":" in self.form

    def text(self, row: Row) -> str:
        """Return the field of a row, in which missing values are None."""
        if callable(self.form):
            return self.form(row)

        template = self.form or f"{{{self.name.replace(' ', '_')}}}"
        text = ""
        for before, key, spec, _ in Formatter().parse(template):
            if key is None:  # letters after the last value
                text += before if text else ""
            elif row[key] is not None:
                text += before + _value_text(row[key], spec or "")
        return text or self.absent


def _value_text(value: Any, spec: str) -> str:
    """Return a value by the format after the colon of a template."""
    if spec == "#":
        return str(len(value))
    if spec == "p":
        return f"{value:.3f}" if value >= 0.0005 else "<0.001"
    if spec == "%":
        tenths = int(f"{round(1000 * value, 6):.0f}")  # rounded first, so that 0.9435 does not become 94.3
        return f"{tenths / 10:.1f}"
    return format(value, spec)


def difference(name: str) -> tuple[Column, Column]:
    """Return the columns of a difference and of its interval."""
    return Column(name, f"{{{name}:+.3f}}", always=True), interval_column(f"{name}_low", f"{name}_high")


def interval_column(low: str, high: str, form: str = "+.3f") -> Column:
    """Return the column of an interval."""
    return Column(INTERVAL, f"[{{{low}:{form}}}, {{{high}:{form}}}]", always=True)


@dataclass(frozen=True)
class Table:
    """One table.

    Attributes:
        name: its name for `--table` and in file names.
        group: group of its numbers; None for published numbers.
        frame: raw values, a row per row of the table; lists if a row has several seeds or runs.
        results: runs that the numbers come from.
        remarks: further sentences of the note.
        best: (index of a row, name of a column) of the best of comparable scores.
        setup: settings that its trainings share in addition to the group, unlike other tables of the group.
        references: those of `results` that give only a score of the base encoder, which depends on no seed.
        resampled: what its intervals resample, and how often.
        footnotes: sentences that stay below the table; those of `remarks` move into a heading that tables share.
    """

    name: str
    title: str
    group: Group | None
    frame: Frame
    columns: Sequence[Column]
    results: Sequence[Result] = ()
    remarks: Sequence[str] = ()
    best: frozenset[tuple[int, str]] = frozenset()
    setup: str = ""
    references: Sequence[Result] = ()
    resampled: str = BOOTSTRAP
    footnotes: Sequence[str] = ()

    @cached_property
    def rows(self) -> list[Row]:
        """Rows of the frame as dicts; missing values are None."""
        return self.frame.astype(object).where(self.frame.notna(), None).to_dict("records")

    @cached_property
    def texts(self) -> Frame:
        """Fields as a reader sees them, a column per heading."""
        return frame_of([{column.name: column.text(row) for column in self.columns} for row in self.rows])

    @property
    def origin(self) -> dict[str, Any]:
        """Numbers of test captions (several if rows state their own), seeds, run ids; and the method of intervals."""
        trained = [result for result in self.results if result.kind == "train" and result not in self.references]
        origin = {
            "test_captions": sorted({result.test_captions for result in self.results}),
            "seeds": sorted({result.config.seed for result in trained}),
            "run_ids": sorted({result.run_id for result in self.results}),
        }
        if any(column.name == INTERVAL for column in self.columns):
            origin["bootstrap"] = self.resampled
        return origin

    @property
    def short_ids(self) -> str:
        """First digits of the ids of its runs."""
        short_ids = [run_id[:SHORT_ID] for run_id in self.origin["run_ids"]]
        return f"runs {', '.join(short_ids)}" if short_ids else ""

    @property
    def heading(self) -> tuple[str, str]:
        """The title and the details of its group; both empty for published numbers."""
        if self.group is None:
            return "", ""
        title = f"{self.group.title}, {self.setup}" if self.setup else self.group.title
        return title, self.group.details

    @property
    def notes(self) -> list[str]:
        """The parts of the line below the table, which the heading does not state: n, seeds, bootstrap and remarks."""
        origin = self.origin
        parts = []
        if self.group is not None:
            captions = ", ".join(f"{number:,}" for number in origin["test_captions"])
            parts.append(f"n = {captions} test captions")
        if origin["seeds"]:
            parts.append(seeds_text(origin["seeds"]))
        if "bootstrap" in origin:
            parts.append(f"intervals: {origin['bootstrap']}")
        return [*parts, *self.remarks, *self.footnotes]

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object of the table: rows with raw values; missing values are None."""
        return {
            "name": self.name,
            "title": self.title,
            "setup": self.setup,
            "group": self.group and {**asdict(self.group), "metric": self.group.metric},
            **self.origin,
            "remarks": [*self.remarks, *self.footnotes],
            "rows": self.rows,
        }


def seeds_text(seeds: Iterable[int]) -> str:
    """Return `seed 1` or `seeds 1, 2`."""
    ordered = sorted(set(seeds))
    word = "seeds" if len(ordered) > 1 else "seed"
    return f"{word} {', '.join(map(str, ordered))}"
