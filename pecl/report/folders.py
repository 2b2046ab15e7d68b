"""Folders of results in a notebook: a DataFrame with a row per run and stage, and the tables of `pecl report`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pecl.report.tables import Report, Table, report
from pecl.report.tables.comparison import comparison_tables
from pecl.report.tables.groups import select
from pecl.results.result import Result, collect
from pecl.retrieval.measures import METRIC

if TYPE_CHECKING:
    import pandas as pd

Folders = str | Path | Sequence[str | Path]


def read_results(folders: Folders) -> pd.DataFrame:
    """Return a row per run and measured stage: zero_shot, final and best; a run without measurements has one row.

    Columns are run_id, kind, status, error, stage; the fields of the config under their names; then, on the test part,
    `<direction> recall@<k>`, `mean_recall@1` and `mean_recall`; on the validation part `val mean_recall@1`; kind and
    size of the gallery, the trainable parameters and their share of the tower, the seconds of the training and of a
    step, peak memory in MiB, and the file. Values that a run lacks are missing. Recalls and shares are in [0, 1].

    Raises:
        DataError: a folder is missing, a result is damaged, or two files hold different results of one run.
    """
    import pandas as pd

    results = collect(_listed(folders))
    return pd.DataFrame([row for result in results for row in _rows(result)])


def make_tables(folders: Folders, where: Sequence[str] = ()) -> Report:
    """Return the tables of `pecl report`: all as `.tables`, or those of one name by `.named("routes")`.

    The `frame` of a table has raw values, its `texts` the fields that a reader sees.
    `where` has conditions such as `gallery_size=900`, as the flag `--where`.

    Raises:
        ConfigError: a condition is not `key=value`, or has an unknown key.
        DataError: there is no complete result, or none that meets the conditions, or one is damaged.
    """
    return report(collect(_listed(folders)), where=where)


def compare(folders: Folders, *names: str, where: Sequence[str] = ()) -> list[Table]:
    """Return the tables of `pecl report --compare`: differences by language, then over languages.

    `names` are methods as the summary names them, the first against each other one, or `best` for all against the best.

    Raises:
        ConfigError: a name is unknown, or only one is given.
        DataError: no results that were measured alike have two of them.
    """
    complete = [result for result in collect(_listed(folders)) if result.status == "complete"]
    return comparison_tables(select(complete, where), names)


def _listed(folders: Folders) -> Sequence[str | Path]:
    return [folders] if isinstance(folders, str | Path) else folders


def _rows(result: Result) -> Iterator[dict[str, Any]]:
    """Yield the row of each stage of a run."""
    complete = result.status == "complete"
    stages = result.stages if complete else (None,)

    for stage in stages:
        row = {
            "run_id": result.run_id,
            "kind": result.kind,
            "status": result.status,
            "error": result.error,
            "stage": stage,
            **asdict(result.config),
        }
        if stage is not None:
            row |= _recalls(result, stage)
            row |= {"gallery_kind": result.data.gallery.kind, "gallery_size": result.data.gallery.size}

        adapter = result.adapter
        seconds = result.seconds
        row |= {
            "trainable": adapter.trainable if adapter else None,
            "share": adapter.share if adapter else None,
            "train_seconds": seconds.train if seconds else None,
            "seconds_per_step": seconds.per_step if seconds else None,
            "peak_memory_mb": result.peak_memory_mb,
            "path": result.path,
        }
        yield row


def _recalls(result: Result, stage: str) -> dict[str, float | None]:
    """Return the recalls of a stage on the test part, and the mean recall@1 on the validation part."""
    measured = result.measured(stage=stage)
    recalls: dict[str, float | None] = {
        f"{direction} recall@{k}": recall
        for direction, metrics in measured.directions.items()
        for k, recall in metrics.recall.items()
    }
    recalls[METRIC] = measured.mean_recall_at_1
    recalls["mean_recall"] = measured.mean_recall

    validation = result.metrics.get("val", {}).get(stage)
    recalls[f"val {METRIC}"] = None if validation is None else validation.mean_recall_at_1
    return recalls
