"""`Table`: a DataFrame of raw values, and the columns in which a reader sees them.

A number is computed once, into the frame. A column names the values that it shows and how it writes them, so that the
formats are renderings of one specification; CSV and JSON hold the frame. pandas is imported where a table is made, so
that commands which make none start quickly.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
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
    """Return rows as a DataFrame of the values as they are: None and whole numbers may stand in one column."""
    import pandas as pd

    return pd.DataFrame(list(rows), dtype=object)


@dataclass(frozen=True)
class Column:
    """One column that a reader sees.

    Attributes:
        keys: columns of the frame that it shows.
        form: writes the values of a row as text.
        number: whether it is aligned as numbers.
        always: whether it stays in a table where all its fields are equal.
        absent: text of a field whose values are all missing.
    """

    name: str
    keys: tuple[str, ...]
    form: Callable[..., str] = str
    number: bool = False
    always: bool = False
    absent: str = ""

    def texts(self, frame: pd.DataFrame) -> list[str]:
        """Return the fields of all rows.

        Raises:
            KeyError: the frame has none of the keys.
        """
        if len(frame) and not any(key in frame for key in self.keys):
            raise KeyError(f"column {self.name!r}: no row has {' or '.join(self.keys)}")
        values = [frame[key].tolist() if key in frame else [None] * len(frame) for key in self.keys]
        return [self.absent if all(map(missing, row)) else self.form(*row) for row in zip(*values, strict=True)]


def words(name: str, *keys: str, form: Callable[..., str] = str, always: bool = False, absent: str = "") -> Column:
    """Return a column of text; its key is its name, with underscores, where none is given."""
    return Column(name, keys or (name.replace(" ", "_"),), form, always=always, absent=absent)


def numbers(name: str, *keys: str, form: str | Callable[..., str] = ".3f", always: bool = False) -> Column:
    """Return a column of numbers, written by a format specification or a function; its key is as in `words`."""
    write = f"{{:{form}}}".format if isinstance(form, str) else form
    return Column(name, keys or (name.replace(" ", "_"),), write, True, always)


def difference(name: str, key: str) -> tuple[Column, Column]:
    """Return the columns of a difference and of its interval, which are `key`, `key`_low and `key`_high."""
    return numbers(name, key, form="+.3f", always=True), intervals_of(f"{key}_low", f"{key}_high")


def intervals_of(low: str, high: str, form: str = "+.3f") -> Column:
    """Return the column of an interval."""
    return numbers(INTERVAL, low, high, form=lambda *ends: f"[{ends[0]:{form}}, {ends[1]:{form}}]", always=True)


def gallery_column() -> Column:
    """Return the column that states size and kind of a row's gallery."""
    return numbers("gallery", "gallery_size", "gallery_kind", form=lambda size, kind: f"{size:,} {kind}")


def mean_and_std(mean: float, std: float) -> str:
    """Return a mean with its standard deviation as text; only the mean where there is one seed."""
    return f"{mean:.3f}" if math.isnan(std) else f"{mean:.3f} ± {std:.3f}"


def missing(value: Any) -> bool:
    """Return whether a field holds None or not a number in place of a value."""
    return value is None or (isinstance(value, float) and math.isnan(value))


@dataclass(frozen=True)
class Table:
    """One table.

    Attributes:
        name: its name for `--table` and in file names.
        group: group of its numbers; None for published numbers.
        frame: raw values, a row per row of the table; lists where a row has several seeds or runs.
        results: runs that the numbers come from.
        remarks: further sentences of the note.
        bootstrap: whether it has intervals.
        best: (place of a row, name of a column) of the best scores among those that compare.
        setup: settings that its trainings share in addition to the group, unlike other tables of the group.
        references: those of `results` that give only a score of the plain tower, so that their seeds say nothing.
    """

    name: str
    title: str
    group: Group | None
    frame: pd.DataFrame
    columns: Sequence[Column]
    results: tuple[Result, ...] = ()
    remarks: tuple[str, ...] = ()
    bootstrap: bool = True
    best: frozenset[tuple[int, str]] = frozenset()
    setup: str = ""
    references: tuple[Result, ...] = ()

    @property
    def rows(self) -> list[Row]:
        """Rows of the frame as dicts, None where there is no number."""
        rows = self.frame.to_dict("records")
        return [{str(key): None if missing(value) else value for key, value in row.items()} for row in rows]

    @property
    def texts(self) -> pd.DataFrame:
        """Fields as a reader sees them, a column per heading."""
        import pandas as pd

        return pd.DataFrame({column.name: column.texts(self.frame) for column in self.columns})

    @property
    def run_ids(self) -> list[str]:
        """Ids of the runs that the numbers come from, sorted."""
        return sorted({result.run_id for result in self.results})

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
        return f"runs {', '.join(run_id[:SHORT_ID] for run_id in self.run_ids)}" if self.results else ""

    def heading(self) -> tuple[str, str]:
        """Return the title and the details of its group; both empty for published numbers."""
        if self.group is None:
            return "", ""
        title, details = self.group.title(), self.group.details()
        return f"{title}, {self.setup}" if self.setup else title, details

    @property
    def notes(self) -> list[str]:
        """The parts of the line below the table, which the heading does not state: n, seeds, bootstrap and remarks."""
        parts = [f"n = {', '.join(f'{number:,}' for number in self.captions)} test captions"] if self.group else []
        parts += [seeds_text(self.seeds)] if self.seeds else []
        parts += [f"intervals: {BOOTSTRAP}"] if self.bootstrap else []
        return [*parts, *self.remarks]

    def to_dict(self) -> dict[str, Any]:
        """Return the form that JSON holds: rows with raw values, None where there is no number."""
        group = self.group and {**asdict(self.group), "metric": self.group.metric}
        origin = {"test_captions": self.captions, "seeds": self.seeds, "run_ids": self.run_ids}
        bootstrap = {"bootstrap": BOOTSTRAP} if self.bootstrap else {}
        head = {"name": self.name, "title": self.title, "setup": self.setup, "group": group, **origin, **bootstrap}
        return {**head, "remarks": list(self.remarks), "rows": self.rows}


def test_captions(result: Result) -> int:
    """Return the number of test captions: queries of the direction that starts from text."""
    return len(result.ranks(DIRECTIONS[result.data.gallery.kind][1]))


def seeds_text(seeds: Iterable[int]) -> str:
    """Return `seed 1` or `seeds 1, 2`."""
    named = sorted(set(seeds))
    return f"seed{'s' if len(named) > 1 else ''} {', '.join(map(str, named))}"
