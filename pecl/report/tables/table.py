"""`Table`: numbers for a program, the same numbers as a paper shows them, and where they come from."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd

from pecl.report.tables.groups import Group
from pecl.report.tables.statistics import BOOTSTRAP
from pecl.results.result import Result
from pecl.retrieval.measures import DIRECTIONS

SHORT_ID = 8  # digits of a run id in text
INTERVAL = "95 % interval"
RUN = "run"  # the column of run ids
MEAN_RECALL = "R@1,5,10"  # the mean of recall@1, 5 and 10 of both directions


@dataclass(frozen=True)
class Table:
    """One table.

    Attributes:
        name: what `--table` and file names call it.
        title: what it shows.
        group: what its numbers share; None for published numbers.
        rows: one row a number or run, raw values; lists where a row has several seeds or runs.
        shown: the same as text, laid out for a reader.
        results: runs that the numbers come from.
        remarks: further sentences of the note.
        bootstrap: whether it has intervals.
        best: (place of a row, name of a shown column) of the best scores among those that compare.
        study: what the trainings of the table share beside its group, and other tables of that group do not.
        references: those of `results` that give a score of the plain tower alone, so that their seeds say nothing.
    """

    name: str
    title: str
    group: Group | None
    rows: pd.DataFrame
    shown: pd.DataFrame
    results: tuple[Result, ...]
    remarks: tuple[str, ...] = ()
    bootstrap: bool = True
    best: frozenset[tuple[int, str]] = frozenset()
    study: str = ""
    references: tuple[Result, ...] = ()

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
    def note(self) -> str:
        """The line below the table, of what its heading does not say: n, seeds, bootstrap and remarks."""
        return "; ".join(self.said)

    @property
    def short_ids(self) -> str:
        """First digits of the ids of its runs."""
        return f"runs {', '.join(run_id[:SHORT_ID] for run_id in self.run_ids)}" if self.results else ""

    def heading(self) -> tuple[str, str]:
        """Return the title of what its numbers share, and the details; both empty for published numbers."""
        if self.group is None:
            return "", ""
        title, details = self.group.title(), self.group.details()
        return f"{title}, {self.study}" if self.study else title, details

    @property
    def said(self) -> list[str]:
        """The parts of the note."""
        parts = []
        if self.group:
            parts.append(f"n = {', '.join(f'{number:,}' for number in self.captions)} test captions")
        if self.seeds:
            parts.append(seeds_text(self.seeds))
        if self.bootstrap:
            parts.append(f"intervals: {BOOTSTRAP}")
        return [*parts, *self.remarks]

    def to_dict(self) -> dict[str, Any]:
        """Return the form that JSON holds: rows with raw values, None where there is no number."""
        rows = [{key: _plain(value) for key, value in row.items()} for row in self.rows.to_dict("records")]
        group = self.group and {**asdict(self.group), "metric": self.group.metric}
        origin = {"test_captions": self.captions, "seeds": self.seeds, "run_ids": self.run_ids}
        bootstrap = {"bootstrap": BOOTSTRAP} if self.bootstrap else {}
        head = {"name": self.name, "title": self.title, "study": self.study, "group": group, **origin, **bootstrap}
        return {**head, "remarks": list(self.remarks), "rows": rows}


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value


def test_captions(result: Result) -> int:
    """Return the number of test captions: queries of the direction that starts from text."""
    return len(result.ranks(DIRECTIONS[result.data.gallery.kind][1]))


def seeds_text(seeds: Iterable[int]) -> str:
    """Return `seed 1` or `seeds 1, 2`."""
    named = sorted(set(seeds))
    return f"seed{'s' if len(named) > 1 else ''} {', '.join(map(str, named))}"


def number(value: float | None, form: str = ".3f") -> str:
    """Return a number as text, an empty one where there is none."""
    return "" if value is None or math.isnan(value) else format(value, form)


def interval(low: float, high: float, form: str = "+.3f") -> str:
    """Return an interval as text."""
    return f"[{low:{form}}, {high:{form}}]"


def spread(mean: float, std: float) -> str:
    """Return a mean with its standard deviation as text; the mean alone where there is one seed."""
    return f"{mean:.3f}" if math.isnan(std) else f"{mean:.3f} ± {std:.3f}"


def frame(rows: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """Return rows as a table; a column that a row lacks is empty text there."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    return pd.DataFrame([{name: row.get(name, "") for name in columns} for row in rows], columns=columns)
