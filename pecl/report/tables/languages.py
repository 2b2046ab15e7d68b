"""Language by route: scores and gains, and aligned routes against the baselines that have no alignment."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from pecl.config.routes import ROUTES
from pecl.report.tables.candidates import Candidate, varying
from pecl.report.tables.groups import one_group
from pecl.report.tables.rows import (
    Row,
    best_places,
    candidate_rows,
    remarks_on,
    runs_of,
    score_columns,
    setting_columns,
)
from pecl.report.tables.statistics import intervals
from pecl.report.tables.table import INTERVAL, Table, frame, interval, number, spread

ZERO_SHOT = {"target": "zero-shot", "target_to_english": "zero-shot (translated)"}  # test column -> name

# (aligned route, baseline): the same query, without an anchor
COMPARISONS = tuple(
    (aligned, baseline)
    for aligned, (query, anchor) in ROUTES.items()
    for baseline, (other, none) in ROUTES.items()
    if anchor is not None and none is None and other == query
)


def routes_table(candidates: Sequence[Candidate]) -> Table:
    """Return a row for each language and route: zero-shot, mean and standard deviation over seeds, and the gain.

    The gain is paired: bootstrap over test items of (trained - zero-shot), averaged over seeds within an item.

    Raises:
        DataError: the candidates were not measured alike, see `one_group`.
    """
    runs = runs_of(candidates)
    group = one_group(runs)
    rows = candidate_rows(candidates)
    different = varying(candidate.setting for candidate in candidates)
    shown = frame([_shown_route(candidate, row, different) for candidate, row in zip(candidates, rows, strict=True)])
    title = "Best candidate of each language and route, chosen by validation"
    best = best_places(rows, ("language", "test_text", *different), "mean", "trained")
    return Table("routes", title, group, pd.DataFrame(rows), shown, runs, remarks_on(candidates), best=best)


def _shown_route(candidate: Candidate, row: Row, different: Sequence[str]) -> Row:
    text = {"target": "captions", "target_to_english": "translated"}[candidate.query]
    setting = setting_columns(candidate, different)
    return {
        "language": candidate.language,
        **setting,
        "route": candidate.route,
        "test text": text,
        **score_columns(row),
    }


def aligned_table(candidates: Sequence[Candidate]) -> Table | None:
    """Return each aligned route against the baseline with the same query; None where no language has both.

    The difference is paired: bootstrap over test items of (aligned - baseline), each averaged over its seeds.

    Raises:
        DataError: the candidates were not measured alike, see `one_group`.
    """
    group = one_group(runs_of(candidates))
    by_key = {(candidate.language, candidate.setting, candidate.route): candidate for candidate in candidates}
    pairs = [
        (candidate, by_key[candidate.language, candidate.setting, baseline])
        for candidate in candidates
        for aligned, baseline in COMPARISONS
        if candidate.route == aligned and (candidate.language, candidate.setting, baseline) in by_key
    ]
    if not pairs:
        return None
    used = [candidate for pair in pairs for candidate in pair]
    found = intervals([aligned.trained_hits - baseline.trained_hits for aligned, baseline in pairs]).tolist()
    rows = [_difference(*pair, low, high) for pair, (low, high) in zip(pairs, found, strict=True)]
    different = varying(candidate.setting for candidate in used)
    shown = frame([_shown_difference(*pair, row, different) for pair, row in zip(pairs, rows, strict=True)])
    remarks = remarks_on(used)
    return Table(
        "aligned", "Aligned routes against baselines", group, pd.DataFrame(rows), shown, runs_of(used), remarks
    )


def _difference(aligned: Candidate, baseline: Candidate, low: float, high: float) -> Row:
    return {
        "language": aligned.language,
        **dict(aligned.setting),
        "aligned": aligned.route,
        "baseline": baseline.route,
        "aligned_mean": aligned.mean,
        "aligned_std": aligned.std,
        "baseline_mean": baseline.mean,
        "baseline_std": baseline.std,
        "difference": aligned.mean - baseline.mean,
        "difference_low": low,
        "difference_high": high,
        "aligned_seeds": aligned.seeds,
        "baseline_seeds": baseline.seeds,
        "run_ids": aligned.run_ids + baseline.run_ids,
    }


def _shown_difference(aligned: Candidate, baseline: Candidate, row: Row, different: Sequence[str]) -> Row:
    return {
        "language": aligned.language,
        **setting_columns(aligned, different),
        "aligned": aligned.route,
        "score": spread(aligned.mean, aligned.std),
        "baseline": baseline.route,
        "baseline score": spread(baseline.mean, baseline.std),
        "difference": number(row["difference"], "+.3f"),
        INTERVAL: interval(row["difference_low"], row["difference_high"]),
    }
