"""Lists: a row per training, and a row per evaluation. Each row states its own gallery."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from pathlib import Path

from pecl.report.selection.candidates import differing_fields
from pecl.report.selection.groups import BEST, group_of, intervals
from pecl.report.tables.columns import (
    ADAPTER,
    GALLERY,
    LANGUAGE,
    MEAN_RECALL,
    PARAMETERS,
    ROUTE,
    RUN_ID,
    TRAINING_PAIRS,
    alignment_values,
    origin_values,
    setting_columns,
)
from pecl.report.tables.table import Column, Row, Table, difference, frame_of, interval_column
from pecl.results.result import Result, TrainingResult
from pecl.retrieval.measures import METRIC, RECALL_AT

_ORDER_OF_RUNS = attrgetter(
    "config.language",
    "config.route",
    "adapter.spec",
    "config.lr",
    "config.alignment_weight",
    "config.seed",
    "run_id",
)


def runs_table(results: Sequence[TrainingResult]) -> Table:
    """Return one row per training of a group: mean R@1 on the test part before and after, the gain and its interval."""
    results = sorted(results, key=_ORDER_OF_RUNS)
    fields = differing_fields(results)
    ends = intervals(result.gains for result in results)
    frame = frame_of([_run_row(result, fields) for result in results])

    columns = (
        LANGUAGE,
        ROUTE,
        ADAPTER,
        PARAMETERS,
        *setting_columns(fields),
        Column("lr", "{lr:g}"),
        Column("lambda", "{alignment_weight:g}"),
        Column("seed", "{seed:d}"),
        GALLERY,
        Column("zero-shot R@1", "{zero_shot:.3f}"),
        Column("trained R@1", "{trained:.3f}", always=True),
        *difference("gain"),
        Column("val R@1", "{val:.3f}"),
        Column("val R@1 among", "{val_captions:,}"),
        RUN_ID,
    )
    frame = frame.assign(gain_low=ends[:, 0], gain_high=ends[:, 1])
    return Table("runs", "All runs", group_of(results[0]), frame, columns, results)


def _run_row(result: TrainingResult, fields: Sequence[str]) -> Row:
    zero_shot = result.recall(stage="zero_shot")
    best = result.recall(stage=BEST)
    names = ("language", "route", "train_on", "shots", "joint", *fields, "lr", "seed")

    return {
        **{name: getattr(result.config, name) for name in names},
        "adapter": result.adapter.spec,
        "parameters": result.adapter.trainable,
        **alignment_values(result),
        "zero_shot": zero_shot,
        "trained": best,
        "final": result.recall(stage="final"),
        "gain": best - zero_shot,
        "val": result.recall("val", BEST),
        "val_captions": result.data.split["val"],
        **origin_values(result),
        "run_id": result.run_id,
    }


def evaluations_table(results: Sequence[Result]) -> Table:
    """Return one row per evaluation of a group: recall in both directions, its mean and interval, and its gallery."""
    results = sorted(results, key=_language_weights_and_id)
    fields = [name for name in differing_fields(results) if name not in ("all_pairs", "dataset")]
    states_pairs = any(result.data.training_pairs for result in results)
    ends = intervals(result.hits() for result in results)
    frame = frame_of([_evaluation_row(result, fields, states_pairs) for result in results])

    directions = results[0].measured().directions
    columns = (
        LANGUAGE,
        Column("dataset"),
        Column("test text"),
        ADAPTER,
        Column("weights"),
        *setting_columns(fields),
        *([TRAINING_PAIRS] if states_pairs else []),
        GALLERY,
        *(_recall_column(direction, k) for direction in directions for k in RECALL_AT),
        Column("mean R@1", f"{{{METRIC}:.3f}}"),
        interval_column("low", "high", ".3f"),
        Column(MEAN_RECALL, "{mean_recall:.3f}"),
        RUN_ID,
    )
    frame = frame.assign(low=ends[:, 0], high=ends[:, 1])
    return Table("evaluations", "Evaluations", group_of(results[0]), frame, columns, results)


def _evaluation_row(result: Result, fields: Sequence[str], states_pairs: bool) -> Row:
    scores = result.measured()
    row: Row = {
        "language": result.config.language,
        "test_text": result.data.query["test"],
        "adapter": result.adapter.spec if result.adapter else "none",
        "weights": _weights_name(result) or None,
        **{name: getattr(result.config, name) for name in fields},
    }
    if states_pairs:
        row["training_pairs"] = training_pairs_text(result)

    for direction, metrics in scores.directions.items():
        for k in RECALL_AT:
            row[f"{direction} recall@{k}"] = metrics.recall[k]

    return {
        **row,
        METRIC: scores.mean_recall_at_1,
        "mean_recall": scores.mean_recall,
        **origin_values(result),
        "run_id": result.run_id,
    }


def _recall_column(direction: str, k: int) -> Column:
    return Column(f"{direction.replace('_', ' ')} R@{k}", f"{{{direction} recall@{k}:.3f}}")


def _language_weights_and_id(result: Result) -> tuple[str, str, str]:
    return result.config.language, _weights_name(result), result.run_id


def _weights_name(result: Result) -> str:
    """Return the stem of the adapter file that was evaluated; empty for the base encoder."""
    return Path(result.config.weights).stem if result.config.weights else ""


def training_pairs_text(result: Result) -> str | None:
    """Return how many pairs trained the evaluated adapter, and whether they were tested; None without a record."""
    counts = result.data.training_pairs
    if counts is None:
        return None
    if counts.get("tested"):
        return f"{counts['tested']:,} of {result.data.split['test']:,} tested"
    return f"{counts.get('left_out', 0):,} left out"
