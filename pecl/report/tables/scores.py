"""Tables of scores: chosen candidates (routes, alignment, adapters, shots), all trainings, and all evaluations.

Tables of candidates show columns of one frame of raw values, a row per candidate, from `candidates_frame`. In the other
two each row states its own gallery.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from operator import attrgetter
from pathlib import Path
from typing import Any

from pecl.config import IDENTITY_DEFAULTS
from pecl.config.routes import ROUTES, WITHOUT_ANCHOR
from pecl.report.tables.candidates import (
    Candidate,
    differing_fields,
    recorded_fields,
    varying,
    with_several,
    without,
)
from pecl.report.tables.groups import BEST, group_of, intervals
from pecl.report.tables.table import RUN, Column, Frame, Row, Table, difference, frame_of, interval_column
from pecl.results.result import Result
from pecl.retrieval.measures import METRIC, RECALL_AT

ZERO_SHOT = {"target": "zero-shot", "target_to_english": "zero-shot (translated)"}  # test column -> name
TEXTS = {"target": "captions", "target_to_english": "translated"}  # test column -> name of the text

# (aligned route, baseline): the baseline has the same query and no anchor
COMPARISONS = tuple(
    (aligned, baseline)
    for aligned, (query, anchor) in ROUTES.items()
    for baseline, (other, none) in ROUTES.items()
    if anchor is not None and none is None and other == query
)

MEAN_RECALL = "R@1,5,10"  # the mean of recall@1, 5 and 10 of both directions
SCORES = (
    Column("zero-shot", "{zero_shot:.3f}"),
    Column("trained", "{mean:.3f} ± {std:.3f}", always=True),
    *difference("gain"),
    Column(f"{MEAN_RECALL} before", "{mean_recall_before:.3f}"),
    Column(f"{MEAN_RECALL} after", "{mean_recall:.3f}"),
)
TEST_TEXT = Column("test text", lambda row: TEXTS[row["test_text"]])
LANGUAGE, ROUTE, ADAPTER = map(Column, ("language", "route", "adapter"))
PARAMETERS, SHARE = Column("parameters", "{parameters:,}"), Column("share", "{share:.3%}")
TRAINING_PAIRS = Column("training pairs", always=True)
GALLERY, _RUN_ID = Column("gallery", "{gallery_size:,} {gallery_kind}"), Column(RUN, "{run_id}", always=True)

_NONE = {"shots": "all", "train_size": "all", "joint": "alone"}  # text of None, where it is not "none"
_SCORED = ("zero_shot", "mean", "std", "gain", "mean_recall_before", "mean_recall")  # attributes of a candidate
_ALWAYS = ("adapter", "train_on", "shots")  # fields of a setting that a reader looks for, even if all are equal


def routes_table(candidates: Sequence[Candidate]) -> Table:
    """Return a row for each language and route: zero-shot, mean and standard deviation over seeds, and the gain.

    The gain is paired: bootstrap over test items of (trained - zero-shot), averaged over seeds within an item.
    """
    different = varying(one.setting for one in candidates)
    columns = LANGUAGE, *setting_columns(different), ROUTE, TEST_TEXT, *SCORES
    title = "Best candidate of each language and route, chosen by validation"
    table = Table("routes", title, None, candidates_frame(candidates), columns)
    return _table(table, candidates, ("language", "test_text", *different))


def aligned_table(candidates: Sequence[Candidate]) -> Table | None:
    """Return each aligned route against the baseline with the same query; None if no language has both.

    The difference is paired: bootstrap over test items of (aligned - baseline), each averaged over its seeds.
    """
    by_key = {(one.language, one.setting, one.route): one for one in candidates}
    baselines = dict(COMPARISONS)
    keys = [(one, (one.language, one.setting, baselines.get(one.route, ""))) for one in candidates]
    pairs = [(one, by_key[key]) for one, key in keys if key in by_key]
    if not pairs:
        return None
    used = [candidate for pair in pairs for candidate in pair]
    fields = recorded_fields(one.setting for one in used)
    columns = (
        LANGUAGE,
        *setting_columns(varying(one.setting for one in used)),
        Column("aligned"),
        Column("score", "{aligned_mean:.3f} ± {aligned_std:.3f}"),
        Column("baseline"),
        Column("baseline score", "{baseline_mean:.3f} ± {baseline_std:.3f}"),
        *difference("difference"),
    )
    rows = [
        {
            "language": aligned.language,
            **{name: value for name, value in aligned.setting if name in fields},
            "aligned": aligned.route,
            "baseline": baseline.route,
            **{f"aligned_{key}": getattr(aligned, key) for key in ("mean", "std", "seeds")},
            **{f"baseline_{key}": getattr(baseline, key) for key in ("mean", "std", "seeds")},
            "difference": aligned.mean - baseline.mean,
            "run_ids": aligned.run_ids + baseline.run_ids,
        }
        for aligned, baseline in pairs
    ]
    ends = intervals(aligned.trained_hits - baseline.trained_hits for aligned, baseline in pairs)
    frame = frame_of(rows).assign(difference_low=ends[:, 0], difference_high=ends[:, 1])
    return _table(Table("aligned", "Aligned routes against baselines", None, frame, columns), used)


def adapters_table(candidates: Sequence[Candidate]) -> Table | None:
    """Return the cost and gain of each adapter: parameters, share of the tower, time, memory, and scores.

    None if no two candidates differ only in their adapter.
    Peak memory is that of the process, so it describes a run only if each run had a separate process.
    """
    found = with_several(candidates, "adapter")
    order = sorted(found, key=lambda one: (one.language, one.route, one.adapter.trainable))
    if not order:
        return None
    different = varying((one.setting for one in order), "adapter")
    columns = (
        *(LANGUAGE, ROUTE, ADAPTER, *setting_columns(different), PARAMETERS, *SCORES, SHARE),
        Column("steps", "{steps:d}"),
        Column("s/step", "{seconds_per_step:.2f}"),
        Column("peak MiB", "{peak_memory_mb:.0f}"),
    )
    table = Table("adapters", "Adapters", None, candidates_frame(order), columns)
    return _table(table, order, ("language", "route", *different))


def shots_table(candidates: Sequence[Candidate]) -> Table | None:
    """Return scores by number of shots; None if no two candidates differ only in it.

    The few-shot split takes the shots from the test part, so galleries differ in size. Each row states its own, with
    its own zero-shot score and a gain paired within it: gains are comparable between rows, recalls are not.
    """
    order = sorted(with_several(candidates, "shots"), key=lambda one: (str(without(one, "shots")), one.pairs))
    if not order:
        return None
    different = varying((one.setting for one in order), "shots")
    columns = LANGUAGE, ROUTE, *setting_columns([*different, "shots"]), GALLERY, *SCORES
    return _table(Table("shots", "Gain by number of shots", None, candidates_frame(order), columns), order)


def runs_table(results: Sequence[Result]) -> Table:
    """Return one row per training of a group: mean R@1 on the test part before and after, the gain and its interval."""
    searched = ("config.lr", "config.alignment_weight", "config.seed")
    results = sorted(results, key=attrgetter("config.language", "config.route", "adapter.spec", *searched, "run_id"))
    different = differing_fields(results)
    kept = ("language", "route", "train_on", "shots", "joint", *different, "lr", "seed")
    rows = [
        {
            **{name: getattr(result.config, name) for name in kept},
            "adapter": result.adapter.spec,
            "parameters": result.adapter.trainable,
            **_alignment(result),
            "zero_shot": result.recall(stage="zero_shot"),
            "trained": result.recall(stage=BEST),
            "final": result.recall(stage="final"),
            "gain": result.recall(stage=BEST) - result.recall(stage="zero_shot"),
            "val": result.recall("val", BEST),
            "val_captions": result.data.split["val"],
            **_origin(result),
            "run_id": result.run_id,
        }
        for result in results
    ]
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
    ends = intervals(result.gains for result in results)
    frame = frame_of(rows).assign(gain_low=ends[:, 0], gain_high=ends[:, 1])
    return Table("runs", "All runs", group_of(results[0]), frame, columns, results)


def evaluations_table(results: Sequence[Result]) -> Table:
    """Return one row per evaluation of a group: recall in both directions, its mean and interval, and its gallery."""

    def weights(result: Result) -> str:
        return Path(result.config.weights).stem if result.config.weights else ""

    results = sorted(results, key=lambda result: (result.config.language, weights(result), result.run_id))
    different = [name for name in differing_fields(results) if name != "all_pairs"]
    marked = any(result.data.training_pairs for result in results)
    found = [result.measured() for result in results]
    directions = [(name, k) for name in found[0].directions for k in RECALL_AT]
    rows = [
        {
            "language": result.config.language,
            "test_text": result.data.query["test"],
            "adapter": result.adapter.spec if result.adapter else "none",
            "weights": weights(result) or None,
            **{name: getattr(result.config, name) for name in different},
            **({"training_pairs": training_pairs_text(result)} if marked else {}),
            **{f"{name} recall@{k}": measured.directions[name].recall[k] for name, k in directions},
            METRIC: measured.mean_recall_at_1,
            "mean_recall": measured.mean_recall,
            **_origin(result),
            "run_id": result.run_id,
        }
        for result, measured in zip(results, found, strict=True)
    ]
    columns = (
        *(LANGUAGE, Column("dataset"), Column("test text"), ADAPTER, Column("weights"), *setting_columns(different)),
        *([TRAINING_PAIRS] if marked else []),
        GALLERY,
        *(Column(f"{name.replace('_', ' ')} R@{k}", f"{{{name} recall@{k}:.3f}}") for name, k in directions),
        Column("mean R@1", f"{{{METRIC}:.3f}}"),
        interval_column("low", "high", ".3f"),
        Column(MEAN_RECALL, "{mean_recall:.3f}"),
        _RUN_ID,
    )
    ends = intervals(result.hits() for result in results)
    frame = frame_of(rows).assign(low=ends[:, 0], high=ends[:, 1])
    return Table("evaluations", "Evaluations", group_of(results[0]), frame, columns, results)


def training_pairs_text(result: Result) -> str | None:
    """Return how many pairs trained the evaluated adapter, and whether they were tested; None without a record."""
    counts = result.data.training_pairs
    if counts is None:
        return None
    if counts.get("tested"):
        return f"{counts['tested']:,} of {result.data.split['test']:,} tested"
    return f"{counts.get('left_out', 0):,} left out"


def _table(table: Table, candidates: Sequence[Candidate], among: Sequence[str] = ()) -> Table:
    """Return a table with its runs; the best trained scores of rows with equal values of `among` are marked."""
    runs, remarks = [run for one in candidates for run in one.runs], setting_remark(candidates)
    best = best_places(table.frame, among, "mean", "trained") if among else frozenset()
    group = group_of(runs[0])
    if any(group_of(run) != group for run in runs):
        group = replace(group, gallery_size=None)
        remarks.append("galleries differ between rows: compare gains, not recalls")
    return replace(table, group=group, results=runs, remarks=remarks, best=best)


def candidates_frame(candidates: Sequence[Candidate]) -> Frame:
    """Return the raw values of each candidate: scores before and after, gain and its interval, and its origin."""
    kept = {*varying(one.setting for one in candidates), *_ALWAYS}
    ends = intervals(candidate.gains for candidate in candidates).tolist()
    rows = [
        {
            "language": one.language,
            "route": one.route,
            **{name: value for name, value in one.setting if name in kept},
            "test_text": one.query,
            **{name: getattr(one, name) for name in _SCORED},
            "gain_low": low,
            "gain_high": high,
            "val": one.validation,
            "parameters": one.adapter.trainable,
            "share": one.adapter.share,
            "steps": one.runs[0].steps,
            "seconds_per_step": one.runs[0].seconds.per_step,
            "peak_memory_mb": one.runs[0].peak_memory_mb,
            "lr": one.config.lr,
            **_alignment(one.runs[0]),
            "candidates_compared": one.compared,
            "candidates_without_the_seed": one.aside,
            **_origin(one.chosen_run),
            "seeds": one.seeds,
            "run_ids": one.run_ids,
        }
        for one, (low, high) in zip(candidates, ends, strict=True)
    ]
    return frame_of(rows)


def _origin(result: Result) -> Row:
    group = group_of(result)
    return {"metric": group.metric, "test_captions": result.test_captions, **asdict(group)}


def _alignment(result: Result) -> Row:
    """Return name and weight of a run's alignment, None if its route has no anchor."""
    names, config = ("alignment", "alignment_weight"), result.config
    return {name: None if config.route in WITHOUT_ANCHOR else getattr(config, name) for name in names}


def setting_columns(names: Iterable[str]) -> list[Column]:
    """Return the columns of fields of the config, which rows hold under their names."""
    numbers = {name for name, value in IDENTITY_DEFAULTS.items() if type(value) in (int, float)}
    numbers |= {"train_size", "photographs"}
    forms = {name: f"{{{name}:}}" if name in numbers else f"{{{name}}}" for name in names}
    return [Column(name.replace("_", " "), form, absent=setting_text(name, None)) for name, form in forms.items()]


def setting_text(name: str, value: Any) -> str:
    """Return the value of a config's field as text."""
    return _NONE.get(name, "none") if value is None else str(value)


def setting_remark(candidates: Sequence[Candidate]) -> list[str]:
    """Return a remark on the fields of `_ALWAYS` in which all candidates are equal, or no remark.

    Shots say nothing about a distillation, which is trained on separate text.
    """
    left_out = {*varying(one.setting for one in candidates), "train_on"}
    if all(candidate.config.text is not None for candidate in candidates):
        left_out.add("shots")
    shared = [(name, value) for name, value in candidates[0].setting if name in _ALWAYS and name not in left_out]
    said = ", ".join(f"{name.replace('_', ' ')} {setting_text(name, value)}" for name, value in shared)
    return [said] if said else []


def best_places(frame: Frame, among: Sequence[str], score: str, column: str) -> frozenset[tuple[int, str]]:
    """Return (place, `column`) of the rows whose `score` is the highest of those with equal values of `among`.

    A row without another to compare with is never the best.
    """
    groups = frame.astype({score: float}).groupby(list(among), dropna=False)[score]
    best = (frame[score] == groups.transform("max")) & (groups.transform("size") > 1)
    return frozenset((place, column) for place in frame.index[best])
