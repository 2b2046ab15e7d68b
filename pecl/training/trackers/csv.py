"""Curves as CSV: `metrics/<run>.csv` with the columns step, metric and value."""

import csv
import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pecl.files import write_text

_HEADER = ("step", "metric", "value")


class CsvTracker:
    """Writes a file per run. The configs are in the results."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "metrics"

    def log_config(self, run: str, config: Mapping[str, Any], step: int) -> None:
        """Keep the rows up to `step`, and begin the file anew at step 0."""
        path = self._path(run)
        rows = []
        if step and path.exists():
            with path.open(encoding="utf-8", newline="") as file:
                rows = [row for row in csv.reader(file) if row and row[0].isdecimal() and int(row[0]) <= step]
        write_text(path, _lines([_HEADER, *rows]))

    def log(self, run: str, metrics: Mapping[str, float], step: int) -> None:
        """Append a line per metric."""
        with self._path(run).open("a", encoding="utf-8", newline="") as file:
            file.write(_lines((step, name, value) for name, value in metrics.items()))

    def close(self, run: str) -> None:
        """Do nothing: no file is open."""

    def _path(self, run: str) -> Path:
        return self.folder / f"{run}.csv"


def _lines(rows: Iterable[Iterable[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
