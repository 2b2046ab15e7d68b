"""Language by route: scores and gains, and aligned routes against the baselines that have no alignment."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from pecl.report.tables.cells import Cell, Setting, varying
from pecl.report.tables.groups import one_group
from pecl.report.tables.rows import Row, cell_rows, remarks_on, runs_of, setting_columns
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


def routes_table(cells: Sequence[Cell]) -> Table:
    """Return language by route: zero-shot, and for each route mean and standard deviation over seeds, and the gain.

    The gain is paired: bootstrap over test items of (trained - zero-shot), averaged over seeds within an item.

    Raises:
        DataError: the cells were not measured alike, see `one_group`.
    """
    runs = runs_of(cells)
    group = one_group(runs)
    rows = cell_rows(cells)
    title = "Best cell of each language and route, chosen by validation"
    shown = frame(_by_language(cells, rows))
    return Table("routes", title, group, pd.DataFrame(rows), shown, runs, remarks_on(cells))


def _by_language(cells: Sequence[Cell], rows: Sequence[Row]) -> list[Row]:
    different = varying(cell.setting for cell in cells)
    lines: dict[tuple[str, Setting], list[tuple[Cell, Row]]] = {}
    for cell, row in zip(cells, rows, strict=True):
        lines.setdefault((cell.language, cell.setting), []).append((cell, row))
    queries = [query for query in ZERO_SHOT if any(cell.query == query for cell in cells)]
    routes = [name for name in ROUTES if any(cell.route == name for cell in cells)]
    return [_line(lines[key], different, queries, routes) for key in lines]


def _line(
    line: Sequence[tuple[Cell, Row]], different: Sequence[str], queries: Sequence[str], routes: Sequence[str]
) -> Row:
    first = line[0][0]
    zero_shot = {cell.query: number(cell.zero_shot) for cell, _ in line}
    by_route = {cell.route: row for cell, row in line}
    shown = {"language": first.language, **setting_columns(first, different)}
    shown |= {ZERO_SHOT[query]: zero_shot.get(query, "") for query in queries}
    for name in routes:
        row = by_route.get(name)
        gain = row and f"{row['gain']:+.3f} {interval(row['gain_low'], row['gain_high'])}"
        shown |= {name: spread(row["mean"], row["std"]) if row else "", f"{name} gain": gain or ""}
    return shown


def aligned_table(cells: Sequence[Cell]) -> Table | None:
    """Return each aligned route against the baseline with the same query; None where no language has both.

    The difference is paired: bootstrap over test items of (aligned - baseline), each averaged over its seeds.

    Raises:
        DataError: the cells were not measured alike, see `one_group`.
    """
    group = one_group(runs_of(cells))
    by_key = {(cell.language, cell.setting, cell.route): cell for cell in cells}
    pairs = [
        (cell, by_key[cell.language, cell.setting, baseline])
        for cell in cells
        for aligned, baseline in COMPARISONS
        if cell.route == aligned and (cell.language, cell.setting, baseline) in by_key
    ]
    if not pairs:
        return None
    used = [cell for pair in pairs for cell in pair]
    found = intervals([aligned.trained_hits - baseline.trained_hits for aligned, baseline in pairs]).tolist()
    rows = [_difference(*pair, low, high) for pair, (low, high) in zip(pairs, found, strict=True)]
    different = varying(cell.setting for cell in used)
    shown = frame([_shown_difference(*pair, row, different) for pair, row in zip(pairs, rows, strict=True)])
    remarks = remarks_on(used)
    return Table(
        "aligned", "Aligned routes against baselines", group, pd.DataFrame(rows), shown, runs_of(used), remarks
    )


def _difference(aligned: Cell, baseline: Cell, low: float, high: float) -> Row:
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


def _shown_difference(aligned: Cell, baseline: Cell, row: Row, different: Sequence[str]) -> Row:
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
