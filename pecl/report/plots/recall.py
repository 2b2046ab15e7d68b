"""Recall per language before and after training, and the share of the gap to English that training closes."""

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes

from pecl.languages import ENGLISH, language_name
from pecl.report.methods import Method, method_labels, methods_remark
from pecl.report.plots.estimates import (
    SCORE,
    Estimate,
    by_gain,
    describe,
    gain,
    plot_groups,
    run_ids,
    trained,
    zero_shot,
)
from pecl.report.plots.style import GREY, NotDrawn, Plot, look, name_at, panels, styled
from pecl.report.tables import Candidate, Group, best_of_methods
from pecl.report.tables.disparity import find_english, gap_to_english
from pecl.results.result import Result

_ROW = 0.17  # inches: height of one method's row
_BETWEEN = 0.8  # rows between two languages
Row = tuple[float, Method, Candidate]  # height, method, candidate


def draw_recall(results: Sequence[Result]) -> list[Plot]:
    """Return a plot per group: for each language and method recall before (hollow) and after training (filled)."""
    return plot_groups(results, _recall)


def draw_gap_closed(results: Sequence[Result]) -> list[Plot]:
    """Return a plot per group: gain / (English recall - zero-shot recall), in per cent, for each language and method.

    English recall is the plain tower's, with English captions against the same gallery. A share is drawn if the gap
    is larger than its noise: if its 95 % bootstrap interval over test items, paired, is above 0.
    """
    return plot_groups(results, _gap_closed)


@styled
def _recall(group: Group, runs: list[Result], results: Sequence[Result]) -> Plot:
    rows, ticks = _rows(best_of_methods(runs))
    reference = find_english(results, group)
    english = reference and zero_shot(reference)
    drawn = [(y, method, zero_shot(one.runs[0]), trained(one)) for y, method, one in rows]
    shown = [one for _, _, *both in drawn for one in both] + ([english] if english else [])
    methods = [method for _, method, _ in rows]
    names = method_labels(methods)
    title = "Recall before and after training"
    caption = (
        "Hollow: zero-shot; filled: trained, candidate chosen by validation; dotted: English, zero-shot. "
        f"{describe(group, [one for *_, one in rows], shown)} {methods_remark(methods)}"
    )
    height = max(y for y, *_ in rows) + 1
    figure, (axes,) = panels(0.6 + max(height, 2) * _ROW, caption)
    for y, method, before, after in drawn:
        _draw_row(axes, y, method, before, after)
        name_at(axes, max(before.high, after.high), y, names[method])
    if english:
        axes.axvline(english.mean, color=GREY, linestyle=":")
    axes.set(xlabel=SCORE, ylim=(height - 0.3, -0.9), title=title)
    _name_languages(axes, ticks)
    return Plot("recall", title, caption, run_ids(shown), figure)


def _draw_row(axes: Axes, y: float, method: Method, before: Estimate, after: Estimate) -> None:
    style = look(method, linestyle="none")
    axes.plot([before.mean, after.mean], [y, y], color=style["color"], linewidth=0.8, alpha=0.6)
    axes.errorbar(after.mean, y, xerr=after.error, **style, elinewidth=1)
    # Larger and above, so that it is a ring around an equal value after training.
    hollow: dict[str, Any] = {"markerfacecolor": "none", "markersize": 6.5, "markeredgewidth": 1.1, "zorder": 3}
    axes.errorbar(before.mean, y, xerr=before.error, **style, **hollow, elinewidth=0.5)


@styled
def _gap_closed(group: Group, runs: list[Result], results: Sequence[Result]) -> Plot:
    reference = find_english(results, group)
    if reference is None:
        raise NotDrawn(f"no result of English with the gallery {group.gallery} of {group.dataset}: train --language en")
    best = best_of_methods(runs)
    names = method_labels(method for methods in best.values() for method in methods)
    kept, level = _behind(best, reference)
    if not kept:
        where = f"with the gallery {group.gallery} of {group.dataset}"
        raise NotDrawn(f"no trained language is behind English by more than the noise {where}")
    rows, ticks = _rows(kept)
    english = zero_shot(reference)
    drawn = [(y, method, gain(one).scaled(100 / (english.mean - one.zero_shot))) for y, method, one in rows]
    shown = [one for *_, one in drawn]
    title = "Share of the gap to English that is closed"
    said = [f"{code} {names[method]}" for code, method in level]
    left_out = f" Not behind English by more than the noise: {', '.join(said)}." if said else ""
    caption = (
        f"Gain / gap, where the gap is English zero-shot ({english.mean:.3f}) minus the language's, taken as exact. "
        f"{describe(group, [one for *_, one in rows], shown)}{left_out} {methods_remark(names)}"
    )
    height = max(y for y, *_ in rows) + 1
    figure, (axes,) = panels(0.6 + max(height, 2) * _ROW, caption)
    for y, method, one in drawn:
        axes.barh(y, one.mean, 0.8, color=look(method)["color"], lw=0)
        axes.errorbar(one.mean, y, xerr=one.error, color="black", linestyle="none", elinewidth=0.8)
        name_at(axes, max(one.high, 0.0), y, names[method])
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set(xlabel=f"gap closed, % of the gap in {SCORE}", title=title, ylim=(height - 0.3, -0.9))
    _name_languages(axes, ticks)
    return Plot("gap-closed", title, caption, run_ids([*shown, english]), figure)


def _rows(languages: dict[str, dict[Method, Candidate]]) -> tuple[list[Row], dict[str, float]]:
    """Return a row per language and method, languages by gain, and language -> the height of its middle."""
    rows: list[Row] = []
    ticks, y = {}, 0.0
    for code in by_gain(one for methods in languages.values() for one in methods.values()):
        methods = languages[code]
        rows += [(y + place, method, candidate) for place, (method, candidate) in enumerate(methods.items())]
        ticks[code] = y + (len(methods) - 1) / 2
        y += len(methods) + _BETWEEN
    return rows, ticks


def _name_languages(axes: Axes, ticks: dict[str, float]) -> None:
    """Write the languages next to their rows, and leave room for the names of methods at the right."""
    axes.set_yticks(list(ticks.values()), [language_name(code) for code in ticks])
    axes.grid(axis="y", visible=False)
    low, high = axes.get_xlim()
    axes.set_xlim(low, high + 0.28 * (high - low))


def _behind(
    languages: dict[str, dict[Method, Candidate]], english: Result
) -> tuple[dict[str, dict[Method, Candidate]], list[tuple[str, Method]]]:
    """Split `languages` into those behind English by more than the noise, and (language, method) of the rest."""
    kept: dict[str, dict[Method, Candidate]] = {}
    level = []
    for code, methods in languages.items():
        for method, candidate in methods.items() if code != ENGLISH else ():
            if gap_to_english(candidate, english) is None:
                level.append((code, method))
            else:
                kept.setdefault(code, {})[method] = candidate
    return kept, level
