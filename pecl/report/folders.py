"""Folders of results in a notebook: a DataFrame with a row per run and stage, and the tables of `pecl report`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pecl.report.selection.groups import select
from pecl.report.tables import Report, report
from pecl.report.tables.comparison import comparison_tables
from pecl.report.tables.table import Table
from pecl.results.result import AnyRun, Result, Run, TrainingResult, UnfinishedRun, collect, collect_runs
from pecl.retrieval.measures import METRIC

if TYPE_CHECKING:
    import pandas as pd

_COSTS = ("trainable", "share", "train_seconds", "seconds_per_step", "peak_memory_mb")
Folders = str | Path | Sequence[str | Path]


def read_results(folders: Folders) -> pd.DataFrame:
    """Return a row per run and measured stage: zero_shot, final and best; a run without measurements has one row.

    Columns are run_id, kind, status, error, stage; the fields of the config under their names; then, on the test part,
    `<direction> recall@<k>`, `mean_recall@1` and `mean_recall`; on the validation part `val mean_recall@1`, which
    pruned runs have, too; the steps of the training, kind and size of the gallery, the trainable parameters and their
    share of the tower, the seconds of the training and of a step, peak memory in MiB, and the file. Values that a run
    lacks are missing. Recalls and shares are in [0, 1].

    Raises:
        DataError: a folder is missing, a result is damaged, or two files hold different results of one run.
    """
    import pandas as pd

    return pd.DataFrame([row for run in collect_runs(_listed(folders)) for row in _rows(run)])


def make_tables(folders: Folders, where: Sequence[str] = ()) -> Report:
    """Return the tables of `pecl report`: iterate over all, or take those of one name by `.named("routes")`.

    The `frame` of a table has raw values, its `texts` the fields that a reader sees.
    `where` has conditions such as `gallery_size=900`, as the flag `--where`.

    Raises:
        ConfigError: a condition is not `key=value`, or has an unknown key.
        DataError: there is no complete result, or none that meets the conditions, or one is damaged.
    """
    return report(collect_runs(_listed(folders)), where=where)


def compare(folders: Folders, *names: str, where: Sequence[str] = ()) -> list[Table]:
    """Return the tables of `pecl report --compare`: differences by language, then over languages.

    `names` are methods as the summary names them, the first against each other one, or `best` for all against the best.

    Raises:
        ConfigError: a name is unknown, or only one is given.
        DataError: no results that were measured alike have two of them.
    """
    return comparison_tables(select(collect(_listed(folders)), where), names)


def _listed(folders: Folders) -> Sequence[str | Path]:
    return [folders] if isinstance(folders, str | Path) else folders


def _rows(run: AnyRun) -> Iterator[dict[str, Any]]:
    """Yield the row of each stage of a run; an unfinished run has one row."""
    config = {field.name: getattr(run.config, field.name) for field in fields(run.config)}
    costs = _costs(run)
    if isinstance(run, UnfinishedRun):
        unfinished = {f"val {METRIC}": run.validation_recall, "steps": run.steps}
        yield {**_identity(run, None, run.error), **config, **unfinished, **costs, "path": run.path}
        return

    for stage in run.stages:
        yield {
            **_identity(run, stage, None),
            **config,
            **_recalls(run, stage),
            "steps": run.steps if isinstance(run, TrainingResult) else None,
            "gallery_kind": run.data.gallery.kind,
            "gallery_size": run.data.gallery.size,
            **costs,
            "path": run.path,
        }


def _identity(run: Run, stage: str | None, error: str | None) -> dict[str, Any]:
    return {"run_id": run.run_id, "kind": run.kind, "status": run.status, "error": error, "stage": stage}


def _costs(run: AnyRun) -> dict[str, Any]:
    """Return parameters, seconds and memory of a run; None for what it lacks."""
    costs: dict[str, Any] = dict.fromkeys(_COSTS)
    if isinstance(run, Result):
        costs["peak_memory_mb"] = run.peak_memory_mb
        if run.adapter is not None:
            costs["trainable"] = run.adapter.trainable
            costs["share"] = run.adapter.share
    if isinstance(run, TrainingResult):
        costs["train_seconds"] = run.seconds.train
        costs["seconds_per_step"] = run.seconds.per_step
    return costs


def _recalls(result: Result, stage: str) -> dict[str, float | None]:
    """Return the recalls of a stage on the test part, and the mean recall@1 on the validation part."""
    scores = result.measured(stage=stage)
    recalls: dict[str, float | None] = {
        f"{direction} recall@{k}": recall
        for direction, metrics in scores.directions.items()
        for k, recall in metrics.recall.items()
    }
    recalls[METRIC] = scores.mean_recall_at_1
    recalls["mean_recall"] = scores.mean_recall

    validation = result.metrics.get("val", {}).get(stage)
    recalls[f"val {METRIC}"] = None if validation is None else validation.mean_recall_at_1
    return recalls
