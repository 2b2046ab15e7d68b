"""One row per run: all trainings, all evaluations. Each row states its own gallery."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from pecl.report.tables.candidates import differing_fields
from pecl.report.tables.groups import group_of
from pecl.report.tables.scores import ADAPTER, LANGUAGE, PARAMETERS, ROUTE, alignment_of, setting_columns
from pecl.report.tables.statistics import BEST, gain, hits, intervals
from pecl.report.tables.table import (
    GALLERY,
    MEAN_RECALL,
    RUN,
    Column,
    Row,
    Table,
    difference,
    frame_of,
    interval_column,
    test_captions,
)
from pecl.results.result import Result
from pecl.retrieval.measures import METRIC, RECALL_AT

_RUN_ID = Column(RUN, "{run_id}", always=True)


def runs_table(results: Sequence[Result]) -> Table:
    """Return one row per training of a group: mean R@1 on the test part before and after, the gain and its interval."""
    results = sorted(results, key=_training_order)
    different = differing_fields(results)
    frame = frame_of([_training(result, different) for result in results])
    frame["gain_low"], frame["gain_high"] = intervals(map(gain, results)).T
    columns = (
        *(LANGUAGE, ROUTE, ADAPTER, PARAMETERS, *setting_columns(different)),
        Column("lr", "{lr:g}"),
        Column("lambda", "{alignment_weight:g}"),
        Column("seed", "{seed:d}"),
        GALLERY,
        Column("zero-shot R@1", "{zero_shot:.3f}"),
        Column("trained R@1", "{trained:.3f}", always=True),
        *difference("gain"),
        Column("val R@1", "{val:.3f}"),
        Column("val R@1 among", "{val_captions:,}"),
        _RUN_ID,
    )
    return Table("runs", "All runs", group_of(results[0]), frame, columns, results)


def evaluations_table(results: Sequence[Result]) -> Table:
    """Return one row per evaluation of a group: recall in both directions, its mean and interval, and its gallery."""
    results = sorted(results, key=lambda result: (result.config.language, _weights(result), result.run_id))
    different = differing_fields(results)
    frame = frame_of([_evaluation(result, different) for result in results])
    frame["low"], frame["high"] = intervals(map(hits, results)).T
    columns = (
        *(LANGUAGE, Column("dataset"), Column("test text"), ADAPTER, Column("weights"), *setting_columns(different)),
        GALLERY,
        *(
            Column(name.replace(" recall@", " R@").replace("_", " "), f"{{{name}:.3f}}")
            for name in frame.columns[frame.columns.str.contains(" recall@")]
        ),
        Column("mean R@1", f"{{{METRIC}:.3f}}"),
        interval_column("low", "high", ".3f"),
        Column(MEAN_RECALL, "{mean_recall:.3f}"),
        _RUN_ID,
    )
    return Table("evaluations", "Evaluations", group_of(results[0]), frame, columns, results)


def _training_order(result: Result) -> tuple:
    config = result.config
    searched = (config.lr, config.alignment_weight, config.seed)
    return config.language, config.route, result.adapter.spec, *searched, result.run_id


def _training(result: Result, different: Sequence[str]) -> Row:
    before, after = result.recall(stage="zero_shot"), result.recall(stage=BEST)
    kept = ("language", "route", "train_on", "shots", "joint", *different, "lr", "seed")
    return {
        **{name: getattr(result.config, name) for name in kept},
        "adapter": result.adapter.spec,
        "parameters": result.adapter.trainable,
        **alignment_of(result.config),
        "zero_shot": before,
        "trained": after,
        "final": result.recall(stage="final"),
        "gain": after - before,
        "val": result.recall("val", BEST),
        "val_captions": result.data.split["val"],
        **_origin(result),
    }


def _evaluation(result: Result, different: Sequence[str]) -> Row:
    measured = result.measured()
    recalls = {name: own.recall for name, own in measured.directions.items()}
    return {
        "language": result.config.language,
        "test_text": result.data.query["test"],
        "adapter": result.adapter.spec if result.adapter else "none",
        "weights": _weights(result) or None,
        **{name: getattr(result.config, name) for name in different},
        **{f"{name} recall@{k}": own[k] for name, own in recalls.items() for k in RECALL_AT},
        METRIC: measured.mean_recall_at_1,
        "mean_recall": measured.mean_recall,
        **_origin(result),
    }


def _weights(result: Result) -> str:
    return Path(result.config.weights).stem if result.config.weights else ""


def _origin(result: Result) -> Row:
    group = group_of(result)
    return {"metric": group.metric, "test_captions": test_captions(result), **asdict(group), "run_id": result.run_id}
