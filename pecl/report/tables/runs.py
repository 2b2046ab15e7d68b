"""One row a run: all trainings, all evaluations. Each row states its own gallery."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import pandas as pd

from pecl.report.tables.candidates import differing_fields
from pecl.report.tables.groups import group_of
from pecl.report.tables.rows import Row, alignment_of, setting_text
from pecl.report.tables.statistics import BEST, gain, hits, intervals
from pecl.report.tables.table import INTERVAL, MEAN_RECALL, RUN, Table, interval, test_captions
from pecl.results.result import Result
from pecl.retrieval.measures import METRIC, RECALL_AT


def runs_table(results: Sequence[Result]) -> Table:
    """Return all trainings of one group."""
    results = sorted(results, key=_training_order)
    return Table(
        "runs",
        "All runs",
        group_of(results[0]),
        pd.DataFrame(rows := training_rows(results)),
        _shown_trainings(results, rows),
        tuple(results),
    )


def _training_order(result: Result) -> tuple:
    config = result.config
    searched = (config.lr, config.alignment_weight, config.seed)
    return config.language, config.route, result.adapter.spec, *searched, result.run_id


def training_table(results: Sequence[Result]) -> pd.DataFrame:
    """Return one row a training, as text: mean R@1 on the test part before and after, the gain and its interval."""
    return _shown_trainings(results, training_rows(results))


def training_rows(results: Sequence[Result]) -> list[Row]:
    """Return the raw numbers of each training."""
    found = intervals(gain(result) for result in results).tolist()
    return [_training(result, low, high) for result, (low, high) in zip(results, found, strict=True)]


def _training(result: Result, low: float, high: float) -> Row:
    config, adapter = result.config, result.adapter
    return {
        "language": config.language,
        "route": config.route,
        "adapter": adapter.spec,
        "parameters": adapter.trainable,
        "train_on": config.train_on,
        "shots": config.shots,
        "joint": config.joint,
        "lr": config.lr,
        **alignment_of(config),
        "seed": config.seed,
        "zero_shot": (before := result.recall(stage="zero_shot")),
        "trained": (after := result.recall(stage=BEST)),
        "final": result.recall(stage="final"),
        "gain": after - before,
        "gain_low": low,
        "gain_high": high,
        "val": result.recall("val", BEST),
        **_origin(result),
    }


def _shown_trainings(results: Sequence[Result], rows: Sequence[Row]) -> pd.DataFrame:
    different = differing_fields(results)
    return pd.DataFrame(
        {
            "language": row["language"],
            "route": row["route"],
            "adapter": row["adapter"],
            "parameters": f"{row['parameters']:,}",
            **_different(result, different),
            "lr": f"{row['lr']:g}",
            "lambda": "" if row["alignment_weight"] is None else f"{row['alignment_weight']:g}",
            "seed": row["seed"],
            "gallery": f"{row['gallery_size']:,} {row['gallery_kind']}",
            "zero-shot R@1": f"{row['zero_shot']:.3f}",
            "trained R@1": f"{row['trained']:.3f}",
            "gain": f"{row['gain']:+.3f}",
            INTERVAL: interval(row["gain_low"], row["gain_high"]),
            "val R@1": f"{row['val']:.3f}",
            RUN: row["run_id"],
        }
        for result, row in zip(results, rows, strict=True)
    )


def evaluations_table(results: Sequence[Result]) -> Table:
    """Return all evaluations of one group."""
    results = sorted(results, key=lambda result: (result.config.language, _weights(result), result.run_id))
    rows = pd.DataFrame(_evaluations(results))
    shown = evaluation_table(results).assign(**{RUN: [result.run_id for result in results]})
    return Table("evaluations", "Evaluations", group_of(results[0]), rows, shown, tuple(results))


def evaluation_table(results: Sequence[Result]) -> pd.DataFrame:
    """Return one row an evaluation, as text: recall in both directions, its mean and interval, and its gallery."""
    different = differing_fields(results)
    return pd.DataFrame(
        {
            "language": row["language"],
            "dataset": row["dataset"],
            "test text": row["test_text"],
            "adapter": row["adapter"],
            "weights": _weights(result),
            **_different(result, different),
            "gallery": f"{row['gallery_size']:,} {row['gallery_kind']}",
            **{_readable(name): f"{value:.3f}" for name, value in row.items() if "recall@" in name and name != METRIC},
            "mean R@1": f"{row[METRIC]:.3f}",
            INTERVAL: interval(row["low"], row["high"], ".3f"),
            MEAN_RECALL: f"{row['mean_recall']:.3f}",
        }
        for result, row in zip(results, _evaluations(results), strict=True)
    )


def _different(result: Result, fields: Sequence[str]) -> Row:
    return {name.replace("_", " "): setting_text(name, getattr(result.config, name)) for name in fields}


def _weights(result: Result) -> str:
    """Return the name of the file of the adapter that an evaluation was given, empty where it was given none."""
    return Path(result.config.weights).stem if result.config.weights else ""


def _readable(name: str) -> str:
    return name.replace(" recall@", " R@").replace("_", " ")


def _evaluations(results: Sequence[Result]) -> list[Row]:
    found = intervals(hits(result) for result in results).tolist()
    return [_evaluation(result, low, high) for result, (low, high) in zip(results, found, strict=True)]


def _evaluation(result: Result, low: float, high: float) -> Row:
    measured = result.measured()
    directions = {
        f"{direction} recall@{k}": own.recall[k] for direction, own in measured.directions.items() for k in RECALL_AT
    }
    return {
        "language": result.config.language,
        "test_text": result.data.query["test"],
        "adapter": result.adapter.spec if result.adapter else "none",
        **directions,
        METRIC: measured.mean_recall_at_1,
        "mean_recall": measured.mean_recall,
        "low": low,
        "high": high,
        **_origin(result),
    }


def _origin(result: Result) -> Row:
    group = group_of(result)
    return {
        "metric": group.metric,
        "test_captions": test_captions(result),
        **asdict(group),
        "run_id": result.run_id,
    }
