"""Tables of chosen candidates: by language and route, aligned routes, adapters, and numbers of shots.

Each shows columns of one frame of raw values, a row per candidate, from `candidates_frame`; aligned routes have a row
per pair of candidates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pecl.config.routes import ROUTES
from pecl.report.selection.candidates import Candidate, recorded_fields, varying, with_several, without
from pecl.report.selection.groups import group_of, intervals
from pecl.report.tables.columns import (
    ADAPTER,
    GALLERY,
    LANGUAGE,
    PARAMETERS,
    ROUTE,
    SCORES,
    SHARE,
    TEST_TEXT,
    alignment_values,
    best_fields,
    origin_values,
    setting_columns,
    setting_remark,
    stated_fields,
)
from pecl.report.tables.table import Column, Frame, Row, Table, difference, frame_of

# (aligned route, baseline): the baseline has the same query and no anchor
COMPARISONS = tuple(
    (aligned, baseline)
    for aligned, (aligned_query, aligned_anchor) in ROUTES.items()
    for baseline, (query, anchor) in ROUTES.items()
    if aligned_anchor is not None and anchor is None and query == aligned_query
)


def routes_table(candidates: Sequence[Candidate]) -> Table:
    """Return a row for each language and route: zero-shot, mean and standard deviation over seeds, and the gain.

    The gain is paired: bootstrap over test items of (trained - zero-shot), averaged over seeds within an item.
    """
    fields = varying(candidate.setting for candidate in candidates)
    frame = candidates_frame(candidates)
    columns = (LANGUAGE, *setting_columns(fields), ROUTE, TEST_TEXT, *SCORES)

    title = "Best candidate of each language and route, chosen by validation"
    best = best_fields(frame, ("language", "test_text", *fields), "mean", "trained")
    return _table("routes", title, frame, columns, candidates, best)


def aligned_table(candidates: Sequence[Candidate]) -> Table | None:
    """Return each aligned route against the baseline with the same query; None if no language has both.

    The difference is paired: bootstrap over test items of (aligned - baseline), each averaged over its seeds.
    """
    pairs = _aligned_pairs(candidates)
    if not pairs:
        return None

    compared = [candidate for pair in pairs for candidate in pair]
    fields = recorded_fields(candidate.setting for candidate in compared)
    ends = intervals(aligned.trained_hits - baseline.trained_hits for aligned, baseline in pairs)
    rows = [_aligned_row(aligned, baseline, fields) for aligned, baseline in pairs]
    frame = frame_of(rows).assign(difference_low=ends[:, 0], difference_high=ends[:, 1])

    columns = (
        LANGUAGE,
        *setting_columns(varying(candidate.setting for candidate in compared)),
        Column("aligned"),
        Column("score", "{aligned_mean:.3f} ± {aligned_std:.3f}"),
        Column("baseline"),
        Column("baseline score", "{baseline_mean:.3f} ± {baseline_std:.3f}"),
        *difference("difference"),
    )
    return _table("aligned", "Aligned routes against baselines", frame, columns, compared)


def _aligned_pairs(candidates: Sequence[Candidate]) -> list[tuple[Candidate, Candidate]]:
    """Return (aligned candidate, baseline) of one language and setting."""
    by_key = {(candidate.language, candidate.setting, candidate.route): candidate for candidate in candidates}
    baselines = dict(COMPARISONS)

    pairs = []
    for candidate in candidates:
        if candidate.route not in baselines:
            continue
        baseline = by_key.get((candidate.language, candidate.setting, baselines[candidate.route]))
        if baseline is not None:
            pairs.append((candidate, baseline))
    return pairs


def _aligned_row(aligned: Candidate, baseline: Candidate, fields: Sequence[str]) -> Row:
    setting = {name: value for name, value in aligned.setting if name in fields}

    return {
        "language": aligned.language,
        **setting,
        "aligned": aligned.route,
        "baseline": baseline.route,
        "aligned_mean": aligned.mean,
        "aligned_std": aligned.std,
        "aligned_seeds": aligned.seeds,
        "baseline_mean": baseline.mean,
        "baseline_std": baseline.std,
        "baseline_seeds": baseline.seeds,
        "difference": aligned.mean - baseline.mean,
        "run_ids": aligned.run_ids + baseline.run_ids,
    }


def adapters_table(candidates: Sequence[Candidate]) -> Table | None:
    """Return the cost and gain of each adapter: parameters, share of the tower, time, memory, and scores.

    None if no two candidates differ only in their adapter.
    Peak memory is that of the process, so it describes a run only if each run had a separate process.
    """
    compared = sorted(with_several(candidates, "adapter"), key=_language_route_and_parameters)
    if not compared:
        return None

    fields = varying((candidate.setting for candidate in compared), "adapter")
    frame = candidates_frame(compared)
    columns = (
        LANGUAGE,
        ROUTE,
        ADAPTER,
        *setting_columns(fields),
        PARAMETERS,
        *SCORES,
        SHARE,
        Column("steps", "{steps:d}"),
        Column("s/step", "{seconds_per_step:.2f}"),
        Column("peak MiB", "{peak_memory_mb:.0f}"),
    )
    best = best_fields(frame, ("language", "route", *fields), "mean", "trained")
    table = _table("adapters", "Adapters", frame, columns, compared, best)
    if all(candidate.runs[0].fleet.size == 1 for candidate in compared):
        return table
    return replace(table, remarks=[*table.remarks, "s/step: of a fleet, divided by its number of runs"])


def _language_route_and_parameters(candidate: Candidate) -> tuple[str, str, int]:
    return candidate.language, candidate.route, candidate.adapter.trainable


def shots_table(candidates: Sequence[Candidate]) -> Table | None:
    """Return scores by number of shots; None if no two candidates differ only in it.

    The few-shot split takes the shots from the test part, so galleries differ in size. Each row states its own, with
    its own zero-shot score and a gain paired within it: gains are comparable between rows, recalls are not.
    """
    compared = sorted(with_several(candidates, "shots"), key=_setting_and_pairs)
    if not compared:
        return None

    fields = varying((candidate.setting for candidate in compared), "shots")
    columns = (LANGUAGE, ROUTE, *setting_columns([*fields, "shots"]), GALLERY, *SCORES)
    return _table("shots", "Gain by number of shots", candidates_frame(compared), columns, compared)


def _setting_and_pairs(candidate: Candidate) -> tuple[str, int]:
    return str(without(candidate, "shots")), candidate.pairs


def _table(
    name: str,
    title: str,
    frame: Frame,
    columns: Sequence[Column],
    candidates: Sequence[Candidate],
    best: frozenset[tuple[int, str]] = frozenset(),
) -> Table:
    """Return a table of candidates with their runs, group and setting."""
    runs = [run for candidate in candidates for run in candidate.runs]
    remarks = setting_remark(candidates)

    group = group_of(runs[0])
    if any(group_of(run) != group for run in runs):
        group = replace(group, gallery_size=None)
        remarks.append("galleries differ between rows: compare gains, not recalls")

    return Table(name, title, group, frame, columns, runs, remarks, best)


def candidates_frame(candidates: Sequence[Candidate]) -> Frame:
    """Return the raw values of each candidate: scores before and after, gain and its interval, and its origin."""
    fields = stated_fields(candidates)
    ends = intervals(candidate.gains for candidate in candidates).tolist()
    return frame_of(
        [_candidate_row(candidate, fields, low, high) for candidate, (low, high) in zip(candidates, ends, strict=True)]
    )


def _candidate_row(candidate: Candidate, fields: set[str], gain_low: float, gain_high: float) -> Row:
    first = candidate.runs[0]
    setting = {name: value for name, value in candidate.setting if name in fields}

    return {
        "language": candidate.language,
        "route": candidate.route,
        **setting,
        "test_text": candidate.query,
        "zero_shot": candidate.zero_shot,
        "mean": candidate.mean,
        "std": candidate.std,
        "gain": candidate.gain,
        "mean_recall_before": candidate.mean_recall_before,
        "mean_recall": candidate.mean_recall,
        "gain_low": gain_low,
        "gain_high": gain_high,
        "val": candidate.validation,
        "parameters": candidate.adapter.trainable,
        "share": candidate.adapter.share,
        "steps": first.steps,
        "seconds_per_step": first.seconds.per_step / first.fleet.size,  # a step of a fleet is one of all its runs
        "peak_memory_mb": first.peak_memory_mb,
        "lr": candidate.config.lr,
        **alignment_values(first),
        "candidates_compared": candidate.compared,
        "candidates_without_the_seed": candidate.aside,
        **origin_values(candidate.chosen_run),
        "seeds": candidate.seeds,
        "run_ids": candidate.run_ids,
    }
