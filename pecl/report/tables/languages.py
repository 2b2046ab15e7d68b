"""Language by route: scores and gains, and aligned routes against the baselines that have no alignment."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from pecl.report.tables.candidates import Candidate, Setting, varying
from pecl.report.tables.groups import one_group
from pecl.report.tables.rows import Row, candidate_rows, remarks_on, runs_of, setting_columns
from pecl.report.tables.statistics import intervals
from pecl.report.tables.table import INTERVAL, Table, frame, interval, number, spread
from pecl.routes import ROUTES

ZERO_SHOT = {"target": "zero-shot", "target_to_english": "zero-shot (translated)"}  # test column -> name

# (aligned route, baseline): the same query, without an anchor
COMPARISONS = tuple(
    (aligned, baseline)
    for aligned, (query, anchor) in ROUTES.items()
    for baseline, (other, none) in ROUTES.items()
    if anchor is not None and none is None and other == query
)


def routes_table(candidates: Sequence[Candidate]) -> Table:
    """Return language by route: zero-shot, and for each route mean and standard deviation over seeds, and the gain.

    The gain is paired: bootstrap over test items of (trained - zero-shot), averaged over seeds within an item.

    Raises:
        DataError: the candidates were not measured alike, see `one_group`.
    """
    runs = runs_of(candidates)
    group = one_group(runs)
    rows = candidate_rows(candidates)
    title = "Best candidate of each language and route, chosen by validation"
    shown = frame(_by_language(candidates, rows))
    return Table("routes", title, group, pd.DataFrame(rows), shown, runs, remarks_on(candidates))


def _by_language(candidates: Sequence[Candidate], rows: Sequence[Row]) -> list[Row]:
    different = varying(candidate.setting for candidate in candidates)
    lines: dict[tuple[str, Setting], list[tuple[Candidate, Row]]] = {}
    for candidate, row in zip(candidates, rows, strict=True):
        lines.setdefault((candidate.language, candidate.setting), []).append((candidate, row))
    queries = [query for query in ZERO_SHOT if any(candidate.query == query for candidate in candidates)]
    routes = [name for name in ROUTES if any(candidate.route == name for candidate in candidates)]
    return [_line(lines[key], different, queries, routes) for key in lines]


def _line(
    line: Sequence[tuple[Candidate, Row]], different: Sequence[str], queries: Sequence[str], routes: Sequence[str]
) -> Row:
    first = line[0][0]
    zero_shot = {candidate.query: number(candidate.zero_shot) for candidate, _ in line}
    by_route = {candidate.route: row for candidate, row in line}
    shown = {"language": first.language, **setting_columns(first, different)}
    shown |= {ZERO_SHOT[query]: zero_shot.get(query, "") for query in queries}
    for name in routes:
        row = by_route.get(name)
        gain = row and f"{row['gain']:+.3f} {interval(row['gain_low'], row['gain_high'])}"
        shown |= {name: spread(row["mean"], row["std"]) if row else "", f"{name} gain": gain or ""}
    return shown


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
