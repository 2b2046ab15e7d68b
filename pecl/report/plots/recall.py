"""Recall per language before and after training, and how much of the gap to English that closes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from pecl.languages import ENGLISH, language_name
from pecl.report.colours import route_label, text_remark
from pecl.report.plots.estimates import SCORE, Estimate, by_gain, describe, gain, run_ids, trained, zero_shot
from pecl.report.plots.groups import plot_groups
from pecl.report.plots.style import GREY, NotDrawn, Plot, look, name_at, panels, styled
from pecl.report.tables import Candidate, Group, best_of_routes, chosen_candidates, hits
from pecl.report.tables.disparity import find_english
from pecl.report.tables.statistics import intervals
from pecl.results.result import Result

_ROW = 0.17  # inches: height of one route's row
_BETWEEN = 0.8  # rows between two languages
Row = tuple[float, str, Candidate]  # height, route, candidate


def draw_recall(results: Sequence[Result]) -> list[Plot]:
    """Return a plot a group: for each language and route recall before (hollow) and after training (filled)."""
    return plot_groups(results, _recall)


def draw_gap_closed(results: Sequence[Result]) -> list[Plot]:
    """Return a plot a group: gain / (English recall - zero-shot recall), in per cent, for each language and route.

    English recall is the plain tower's, with English captions against the same gallery. A share is drawn where the gap
    is larger than its noise: where its 95 % bootstrap interval over test items, paired, is above 0.
    """
    return plot_groups(results, _gap_closed)


@styled
def _recall(group: Group, runs: list[Result], results: Sequence[Result]) -> Plot:
    rows, ticks = _rows(best_of_routes(chosen_candidates(runs)))
    reference = find_english(results, group)
    english = reference and zero_shot(reference)
    drawn = [(y, name, zero_shot(one.runs[0]), trained(one)) for y, name, one in rows]
    shown = [one for _, _, *both in drawn for one in both] + ([english] if english else [])
    title = "Recall before and after training"
    caption = (
        "Hollow: zero-shot; filled: trained, candidate chosen by validation; dotted: English, zero-shot. "
        f"{describe(group, [one for *_, one in rows], shown)}{text_remark([name for _, name, _ in rows])}"
    )
    height = max(y for y, *_ in rows) + 1
    figure, (axes,) = panels(0.6 + max(height, 2) * _ROW, caption)
    for y, name, before, after in drawn:
        _draw_row(axes, y, name, before, after)
    if english:
        axes.axvline(english.mean, color=GREY, linestyle=":")
    axes.set(xlabel=SCORE, ylim=(height - 0.3, -0.9), title=title)
    _name_languages(axes, ticks)
    return Plot("recall", title, caption, run_ids(shown), figure)


def _draw_row(axes: Axes, y: float, name: str, before: Estimate, after: Estimate) -> None:
    style = look(name, linestyle="none")
    axes.plot([before.mean, after.mean], [y, y], color=style["color"], linewidth=0.8, alpha=0.6)
    axes.errorbar(after.mean, y, xerr=after.error, **style, elinewidth=1)
    # Larger and above, so that it is a ring around an equal value after training.
    hollow: dict[str, Any] = {"markerfacecolor": "none", "markersize": 6.5, "markeredgewidth": 1.1, "zorder": 3}
    axes.errorbar(before.mean, y, xerr=before.error, **style, **hollow, elinewidth=0.5)
    name_at(axes, max(before.high, after.high), y, route_label(name))


@styled
def _gap_closed(group: Group, runs: list[Result], results: Sequence[Result]) -> Plot:
    reference = find_english(results, group)
    if reference is None:
        raise NotDrawn(f"no result of English with the gallery {group.gallery} of {group.dataset}: train --language en")
    kept, level = _behind(best_of_routes(chosen_candidates(runs)), reference)
    if not kept:
        where = f"with the gallery {group.gallery} of {group.dataset}"
        raise NotDrawn(f"no trained language is behind English by more than the noise {where}")
    rows, ticks = _rows(kept)
    english = zero_shot(reference)
    drawn = [(y, name, gain(one).scaled(100 / (english.mean - one.zero_shot))) for y, name, one in rows]
    shown = [one for *_, one in drawn]
    title = "Share of the gap to English that is closed"
    left_out = f" Not behind English by more than the noise: {', '.join(level)}." if level else ""
    caption = (
        f"Gain / gap, where the gap is English zero-shot ({english.mean:.3f}) minus the language's, taken as exact. "
        f"{describe(group, [one for *_, one in rows], shown)}{left_out}{text_remark([name for _, name, _ in rows])}"
    )
    height = max(y for y, *_ in rows) + 1
    figure, (axes,) = panels(0.6 + max(height, 2) * _ROW, caption)
    for y, name, one in drawn:
        axes.barh(y, one.mean, 0.8, color=look(name)["color"], lw=0)
        axes.errorbar(one.mean, y, xerr=one.error, color="black", linestyle="none", elinewidth=0.8)
        name_at(axes, max(one.high, 0.0), y, route_label(name))
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set(xlabel=f"gap closed, % of the gap in {SCORE}", title=title, ylim=(height - 0.3, -0.9))
    _name_languages(axes, ticks)
    return Plot("gap-closed", title, caption, run_ids([*shown, english]), figure)


def _rows(languages: dict[str, dict[str, Candidate]]) -> tuple[list[Row], dict[str, float]]:
    """Return a row a language and route, languages by gain, and language -> the height of its middle."""
    rows: list[Row] = []
    ticks, y = {}, 0.0
    for code in by_gain(one for routes in languages.values() for one in routes.values()):
        routes = languages[code]
        rows += [(y + place, name, candidate) for place, (name, candidate) in enumerate(sorted(routes.items()))]
        ticks[code] = y + (len(routes) - 1) / 2
        y += len(routes) + _BETWEEN
    return rows, ticks


def _name_languages(axes: Axes, ticks: dict[str, float]) -> None:
    """Write the languages beside their rows, and leave room for the names of routes at the right."""
    axes.set_yticks(list(ticks.values()), [language_name(code) for code in ticks])
    axes.grid(axis="y", visible=False)
    low, high = axes.get_xlim()
    axes.set_xlim(low, high + 0.28 * (high - low))


def _behind(
    languages: dict[str, dict[str, Candidate]], english: Result
) -> tuple[dict[str, dict[str, Candidate]], list[str]]:
    """Return those of `languages` that are behind English by more than the noise, and the names of the rest."""
    kept: dict[str, dict[str, Candidate]] = {}
    level = []
    reference = hits(english, "zero_shot")
    for code, routes in languages.items():
        for name, candidate in sorted(routes.items()):
            if code == ENGLISH:
                continue
            if _lowest(reference - hits(candidate.runs[0], "zero_shot")) > 0:
                kept.setdefault(code, {})[name] = candidate
            else:
                level.append(f"{code} {route_label(name)}")
    return kept, level


def _lowest(gaps: np.ndarray) -> float:
    """Return the lower end of the interval of a mean of gaps, (N,)."""
    return float(intervals([gaps])[0, 0])
