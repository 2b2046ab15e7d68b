"""One row per run: all trainings, all evaluations. Each row states its own gallery."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from pecl.report.tables.candidates import differing_fields
from pecl.report.tables.groups import group_of
from pecl.report.tables.scores import LANGUAGE, ROUTE, alignment_of, setting_columns
from pecl.report.tables.statistics import BEST, gain, hits, intervals
from pecl.report.tables.table import (
    MEAN_RECALL,
    RUN,
    Row,
    Table,
    difference,
    frame_of,
    gallery_column,
    intervals_of,
    numbers,
    test_captions,
    words,
)
from pecl.results.result import Result
from pecl.retrieval.measures import METRIC, RECALL_AT

_RUN_ID = words(RUN, "run_id", always=True)


def runs_table(results: Sequence[Result]) -> Table:
    """Return all trainings of one group, sorted."""
    return replace(training_table(sorted(results, key=_training_order)), group=group_of(results[0]))


def training_table(results: Sequence[Result]) -> Table:
    """Return one row per training: mean R@1 on the test part before and after, the gain and its interval."""
    different = differing_fields(results)
    found = intervals(gain(result) for result in results).tolist()
    rows = [_training(result, low, high, different) for result, (low, high) in zip(results, found, strict=True)]
    columns = (
        LANGUAGE,
        ROUTE,
        words("adapter"),
        numbers("parameters", form=","),
        *setting_columns(different),
        numbers("lr", form="g"),
        numbers("lambda", "alignment_weight", form="g"),
        numbers("seed", form="d"),
        gallery_column(),
        numbers("zero-shot R@1", "zero_shot"),
        numbers("trained R@1", "trained", always=True),
        *difference("gain", "gain"),
        numbers("val R@1", "val"),
        numbers("val R@1 among", "val_captions", form=","),
        _RUN_ID,
    )
    return Table("runs", "All runs", None, frame_of(rows), columns, tuple(results))


def evaluations_table(results: Sequence[Result]) -> Table:
    """Return all evaluations of one group, sorted."""
    order = sorted(results, key=lambda result: (result.config.language, _weights(result), result.run_id))
    return replace(evaluation_table(order), group=group_of(results[0]))


def evaluation_table(results: Sequence[Result]) -> Table:
    """Return one row per evaluation: recall in both directions, its mean and interval, and its gallery."""
    different = differing_fields(results)
    found = intervals(hits(result) for result in results).tolist()
    rows = [_evaluation(result, low, high, different) for result, (low, high) in zip(results, found, strict=True)]
    recalls = dict.fromkeys(name for row in rows for name in row if " recall@" in name)
    columns = (
        LANGUAGE,
        words("dataset"),
        words("test text"),
        words("adapter"),
        words("weights"),
        *setting_columns(different),
        gallery_column(),
        *(numbers(name.replace(" recall@", " R@").replace("_", " "), name) for name in recalls),
        numbers("mean R@1", METRIC),
        intervals_of("low", "high", ".3f"),
        numbers(MEAN_RECALL, "mean_recall"),
        _RUN_ID,
    )
    return Table("evaluations", "Evaluations", None, frame_of(rows), columns, tuple(results))


def _training_order(result: Result) -> tuple:
    config = result.config
    searched = (config.lr, config.alignment_weight, config.seed)
    return config.language, config.route, result.adapter.spec, *searched, result.run_id


def _training(result: Result, low: float, high: float, different: Sequence[str]) -> Row:
    config, adapter = result.config, result.adapter
    return {
        "language": config.language,
        "route": config.route,
        "adapter": adapter.spec,
        "parameters": adapter.trainable,
        "train_on": config.train_on,
        "shots": config.shots,
        "joint": config.joint,
        **_settings(result, different),
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
        "val_captions": result.data.split["val"],
        **_origin(result),
    }


def _evaluation(result: Result, low: float, high: float, different: Sequence[str]) -> Row:
    measured = result.measured()
    directions = {
        f"{direction} recall@{k}": own.recall[k] for direction, own in measured.directions.items() for k in RECALL_AT
    }
    return {
        "language": result.config.language,
        "test_text": result.data.query["test"],
        "adapter": result.adapter.spec if result.adapter else "none",
        "weights": _weights(result) or None,
        **_settings(result, different),
        **directions,
        METRIC: measured.mean_recall_at_1,
        "mean_recall": measured.mean_recall,
        "low": low,
        "high": high,
        **_origin(result),
    }


def _settings(result: Result, names: Sequence[str]) -> Row:
    return {name: getattr(result.config, name) for name in names}


def _weights(result: Result) -> str:
    """Return the stem of the adapter file of an evaluation; empty without one."""
    return Path(result.config.weights).stem if result.config.weights else ""


def _origin(result: Result) -> Row:
    group = group_of(result)
    return {"metric": group.metric, "test_captions": test_captions(result), **asdict(group), "run_id": result.run_id}
