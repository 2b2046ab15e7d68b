"""What the tables of chosen candidates share: a row of raw numbers a candidate, and how its scores are shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from pecl.config import ExperimentConfig
from pecl.config.routes import WITHOUT_ANCHOR
from pecl.report.tables.candidates import Candidate, varying
from pecl.report.tables.groups import group_of
from pecl.report.tables.statistics import intervals
from pecl.report.tables.table import INTERVAL, MEAN_RECALL, interval, number, spread
from pecl.results.result import Result

Row = dict[str, Any]
_NONE = {"shots": "all", "train_size": "all", "joint": "alone"}  # what None means, where it is not "none"
_ALWAYS = ("adapter", "train_on", "shots")  # fields of a setting that a reader looks for, equal or not
_IN_HEADINGS = frozenset({"train_on"})  # of those, what the study's name says


def runs_of(candidates: Sequence[Candidate]) -> tuple[Result, ...]:
    """Return the runs of all candidates."""
    return tuple(run for candidate in candidates for run in candidate.runs)


def candidate_rows(candidates: Sequence[Candidate]) -> list[Row]:
    """Return the raw numbers of each candidate: scores before and after, gain and its interval, and what it was."""
    different = varying(candidate.setting for candidate in candidates)
    found = intervals([candidate.gains for candidate in candidates])
    return [
        _row(candidate, low, high, different) for candidate, (low, high) in zip(candidates, found.tolist(), strict=True)
    ]


def _row(candidate: Candidate, low: float, high: float, different: Sequence[str]) -> Row:
    group = group_of(candidate.chosen_run)
    setting = {name: value for name, value in candidate.setting if name in _ALWAYS or name in different}
    return {
        "language": candidate.language,
        "route": candidate.route,
        **setting,
        "test_text": candidate.query,
        "zero_shot": candidate.zero_shot,
        "mean": candidate.mean,
        "std": candidate.std,
        "gain": candidate.mean - candidate.zero_shot,
        "gain_low": low,
        "gain_high": high,
        "mean_recall_before": candidate.mean_recall_before,
        "mean_recall": candidate.mean_recall,
        "val": candidate.validation,
        "lr": candidate.config.lr,
        **alignment_of(candidate.config),
        "candidates_compared": candidate.compared,
        "candidates_without_the_seed": candidate.aside,
        "metric": group.metric,
        "test_captions": candidate.captions,
        **asdict(group),
        "seeds": candidate.seeds,
        "run_ids": candidate.run_ids,
    }


def alignment_of(config: ExperimentConfig) -> Row:
    """Return name and weight of a run's alignment, None where its route has nothing to align to."""
    aligned = config.route not in WITHOUT_ANCHOR
    return {name: getattr(config, name) if aligned else None for name in ("alignment", "alignment_weight")}


def setting_columns(candidate: Candidate, different: Sequence[str]) -> Row:
    """Return the fields of a candidate's setting that differ within a table, as text."""
    return {name.replace("_", " "): setting_text(name, value) for name, value in candidate.setting if name in different}


def setting_remark(candidates: Sequence[Candidate]) -> str:
    """Return what all candidates of a table share of the fields that a reader looks for and that no heading says.

    Text of its own is what a distillation is trained on, so that shots say nothing about it.
    """
    left_out = {*varying(candidate.setting for candidate in candidates), *_IN_HEADINGS}
    if all(candidate.config.text is not None for candidate in candidates):
        left_out.add("shots")
    shared = [(name, value) for name, value in candidates[0].setting if name in _ALWAYS and name not in left_out]
    return ", ".join(f"{name.replace('_', ' ')} {setting_text(name, value)}" for name, value in shared)


def remarks_on(candidates: Sequence[Candidate]) -> tuple[str, ...]:
    """Return the remarks that tables of chosen candidates share."""
    aside = sum(candidate.aside for candidate in candidates)
    without = f"{aside} candidates could not be compared: they have no run with the seed of the others"
    return tuple(filter(None, [setting_remark(candidates), without if aside else ""]))


def best_places(rows: Sequence[Row], among: Sequence[str], score: str, column: str) -> frozenset[tuple[int, str]]:
    """Return (place, `column`) of the rows whose `score` is the highest of those with equal values of `among`.

    A row that compares with no other is not the best of anything.
    """
    groups: dict[str, list[int]] = {}
    for place, row in enumerate(rows):
        groups.setdefault(str([row.get(name) for name in among]), []).append(place)
    several = [own for own in groups.values() if len(own) > 1]
    best = [(own, max(rows[place][score] for place in own)) for own in several]
    return frozenset((place, column) for own, most in best for place in own if rows[place][score] == most)


def score_columns(row: Row) -> Row:
    """Return the scores of a row as text."""
    return {
        "zero-shot": number(row["zero_shot"]),
        "trained": spread(row["mean"], row["std"]),
        "gain": number(row["gain"], "+.3f"),
        INTERVAL: interval(row["gain_low"], row["gain_high"]),
        f"{MEAN_RECALL} before": number(row["mean_recall_before"]),
        f"{MEAN_RECALL} after": number(row["mean_recall"]),
    }


def setting_text(name: str, value: Any) -> str:
    """Return the value of a config's field as text."""
    return _NONE.get(name, "none") if value is None else str(value)
