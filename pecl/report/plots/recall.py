"""Recall per language before and after training, and how much of the gap to English that closes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes

from pecl.languages import language_name
from pecl.report.plots.estimates import SCORE, Estimate, describe, gain, run_ids, trained, zero_shot
from pecl.report.plots.groups import plot_groups
from pecl.report.plots.style import GREY, NotDrawn, Plot, legend, look, panels, styled
from pecl.report.tables import Candidate, Group, best_of_routes, chosen_candidates
from pecl.report.tables.disparity import find_english
from pecl.report.tables.statistics import ENGLISH
from pecl.results.result import Result

_ROW = 0.17  # inches: height of one route's row
_LEVEL = 0.1  # of English recall: a smaller gap is too small for shares of it to say much


def draw_recall(results: Sequence[Result]) -> list[Plot]:
    """Return a plot a group: for each language and route recall before (hollow) and after training (filled)."""
    return plot_groups(results, _recall)


def draw_gap_closed(results: Sequence[Result]) -> list[Plot]:
    """Return a plot a group: gain / (English recall - zero-shot recall), in per cent, for each language and route.

    English recall is the plain tower's, with English captions against the same gallery.
    """
    return plot_groups(results, _gap_closed)


@styled
def _recall(group: Group, runs: list[Result], results: Sequence[Result]) -> Plot:
    languages = best_of_routes(chosen_candidates(runs))
    candidates = [candidate for routes in languages.values() for candidate in routes.values()]
    names = sorted({name for routes in languages.values() for name in routes})
    reference = find_english(results, group)
    english = reference and zero_shot(reference)
    bars: list[tuple[float, str, Estimate, Estimate]] = []  # height, route, before, after
    ticks, y = [], 0.0
    for routes in languages.values():
        for place, (name, candidate) in enumerate(sorted(routes.items())):
            bars.append((y + place, name, zero_shot(candidate.runs[0]), trained(candidate)))
        ticks.append(y + (len(routes) - 1) / 2)
        y += len(routes) + 0.8
    shown = [one for _, _, before, after in bars for one in (before, after)] + ([english] if english else [])
    title = "Recall before and after training"
    caption = (
        f"Hollow: zero-shot; filled: trained, candidate chosen by validation. {describe(group, candidates, shown)}"
    )
    figure, (axes,) = panels(0.75 + max(y, 2) * _ROW, caption)
    _draw_bars(axes, bars, names)
    if english:
        axes.axvline(english.mean, color=GREY, linestyle=":", label="English, zero-shot")
    axes.set_yticks(ticks, [language_name(code) for code in languages])
    axes.set(xlabel=SCORE, ylim=(y - 0.5, -0.9), title=title)
    axes.grid(axis="y", visible=False)
    legend(figure, [axes], columns=3)
    return Plot("recall", title, caption, run_ids(shown), figure)


def _draw_bars(axes: Axes, bars: Sequence[tuple[float, str, Estimate, Estimate]], names: Sequence[str]) -> None:
    for place, name, before, after in bars:
        style = look(names.index(name), linestyle="none")
        axes.plot([before.mean, after.mean], [place, place], color=style["color"], linewidth=0.8, alpha=0.6)
        axes.errorbar(after.mean, place, xerr=after.error, **style, elinewidth=1)
        # Larger and above, so that it is a ring around an equal value after training.
        hollow: dict[str, Any] = {"markerfacecolor": "none", "markersize": 6.5, "markeredgewidth": 1.1, "zorder": 3}
        axes.errorbar(before.mean, place, xerr=before.error, **style, **hollow, elinewidth=0.5)
    for index, name in enumerate(names):
        axes.plot([], [], **look(index, linestyle="none"), label=name)


@styled
def _gap_closed(group: Group, runs: list[Result], results: Sequence[Result]) -> Plot:
    reference = find_english(results, group)
    if reference is None:
        raise NotDrawn(f"no result of English with the gallery {group.gallery} of {group.dataset}: train --language en")
    english = zero_shot(reference)
    rows, level = _closed(best_of_routes(chosen_candidates(runs)), english.mean)
    if not rows:
        where = f"with the gallery {group.gallery} of {group.dataset}"
        raise NotDrawn(f"no trained language is {_LEVEL:.0%} behind English {where}")
    languages = list(dict.fromkeys(code for code, *_ in rows))
    names = sorted({name for _, name, *_ in rows})
    shown = [one for *_, one in rows]
    title = "Share of the gap to English that is closed"
    left_out = f" Less than {_LEVEL:.0%} behind English: {', '.join(level)}." if level else ""
    caption = (
        f"Gain / gap, where the gap is English zero-shot ({english.mean:.3f}) minus the language's, taken as exact. "
        f"{describe(group, [candidate for _, _, candidate, _ in rows], shown)}{left_out}"
    )
    figure, (axes,) = panels(len(languages) * (len(names) * _ROW + 0.1) + 0.85, caption)
    thickness = 0.8 / len(names)
    for code, name, _, one in rows:
        index = names.index(name)
        place = languages.index(code) + (index - (len(names) - 1) / 2) * thickness
        hatch = "////" if index % 2 else ""
        colour = look(index)["color"]
        axes.barh(place, one.mean, 0.92 * thickness, color=colour, label=name, hatch=hatch, edgecolor="white", lw=0)
        axes.errorbar(one.mean, place, xerr=one.error, color="black", linestyle="none", elinewidth=0.8)
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_yticks(range(len(languages)), [language_name(code) for code in languages])
    axes.set(xlabel=f"gap closed, % of the gap in {SCORE}", title=title, ylim=(len(languages) - 0.45, -0.55))
    axes.grid(axis="y", visible=False)
    legend(figure, [axes], columns=3)
    return Plot("gap-closed", title, caption, run_ids([*shown, english]), figure)


def _closed(
    languages: dict[str, dict[str, Candidate]], english: float
) -> tuple[list[tuple[str, str, Candidate, Estimate]], list[str]]:
    """Return (language, route, candidate, % of the gap closed) of those behind English, and names of the rest."""
    rows, level = [], []
    for code, routes in languages.items():
        for name, candidate in sorted(routes.items()):
            gap = english - candidate.zero_shot
            if code == ENGLISH:
                continue
            if gap > _LEVEL * english:
                rows.append((code, name, candidate, gain(candidate).scaled(100 / gap)))
            else:
                level.append(f"{code} {name}")
    return rows, level
