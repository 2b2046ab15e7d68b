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
    for_each_group,
    gain,
    run_ids,
    trained,
    zero_shot,
)
from pecl.report.plots.style import GREY, NotDrawn, Plot, look, name_at, panels
from pecl.report.tables import Candidate, Group, best_of_methods
from pecl.report.tables.disparity import find_english, gap_to_english
from pecl.results.result import Result

_ROW = 0.17  # inches: height of one method's row
_BETWEEN = 0.8  # rows between two languages


@for_each_group
def draw_recall(group: Group, runs: list[Result], results: Sequence[Result]) -> Plot:
    """Draw for each language and method recall before (hollow) and after training (filled)."""
    best = best_of_methods(runs)
    rows, ticks = _rows(best)
    english = find_english(results, group)
    names = method_labels(one.method for one in best)
    title = "Recall before and after training"
    caption = (
        "Hollow: zero-shot; filled: trained, candidate chosen by validation; dotted: English, zero-shot. "
        f"{describe(group, best, plain=True)} {methods_remark(names)}"
    )
    height = max(y for y, _ in rows) + 1
    figure, (axes,) = panels(0.6 + max(height, 2) * _ROW, caption)
    for y, one in rows:
        before, after = zero_shot(one.runs[0]), trained(one)
        _draw_row(axes, y, one.method, before, after)
        name_at(axes, max(before.high, after.high), y, names[one.method])
    if english:
        axes.axvline(zero_shot(english).mean, color=GREY, linestyle=":")
    axes.set(xlabel=SCORE, ylim=(height - 0.3, -0.9), title=title)
    _name_languages(axes, ticks)
    return Plot("recall", title, caption, run_ids(best, *filter(None, [english])), figure)


def _draw_row(axes: Axes, y: float, method: Method, before: Estimate, after: Estimate) -> None:
    style = look(method, linestyle="none")
    axes.plot([before.mean, after.mean], [y, y], color=style["color"], linewidth=0.8, alpha=0.6)
    axes.errorbar(after.mean, y, xerr=after.error, **style, elinewidth=1)
    # Larger and above, so that it is a ring around an equal value after training.
    hollow: dict[str, Any] = {"markerfacecolor": "none", "markersize": 6.5, "markeredgewidth": 1.1, "zorder": 3}
    axes.errorbar(before.mean, y, xerr=before.error, **style, **hollow, elinewidth=0.5)


@for_each_group
def draw_gap_closed(group: Group, runs: list[Result], results: Sequence[Result]) -> Plot:
    """Draw gain / (English recall - zero-shot recall), in per cent, for each language and method.

    English recall is the plain tower's, with English captions against the same gallery. A share is drawn if the gap
    is larger than its noise: if its 95 % bootstrap interval over test items, paired, is above 0.
    """
    reference = find_english(results, group)
    if reference is None:
        raise NotDrawn(f"no result of English with the gallery {group.gallery} of {group.dataset}: train --language en")
    best = best_of_methods(runs)
    names = method_labels(one.method for one in best)
    kept = [one for one in best if gap_to_english(one, reference) is not None]
    if not kept:
        where = f"with the gallery {group.gallery} of {group.dataset}"
        raise NotDrawn(f"no trained language is behind English by more than the noise {where}")
    rows, ticks = _rows(kept)
    english = zero_shot(reference)
    title = "Share of the gap to English that is closed"
    said = [f"{one.language} {names[one.method]}" for one in best if one not in kept and one.language != ENGLISH]
    left_out = f" Not behind English by more than the noise: {', '.join(said)}." if said else ""
    caption = (
        f"Gain / gap, where the gap is English zero-shot ({english.mean:.3f}) minus the language's, taken as exact. "
        f"{describe(group, kept)}{left_out} {methods_remark(names)}"
    )
    height = max(y for y, _ in rows) + 1
    figure, (axes,) = panels(0.6 + max(height, 2) * _ROW, caption)
    for y, one in rows:
        share = gain(one).scaled(100 / (english.mean - one.zero_shot))
        axes.barh(y, share.mean, 0.8, color=look(one.method)["color"], lw=0)
        axes.errorbar(share.mean, y, xerr=share.error, color="black", linestyle="none", elinewidth=0.8)
        name_at(axes, max(share.high, 0.0), y, names[one.method])
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set(xlabel=f"gap closed, % of the gap in {SCORE}", title=title, ylim=(height - 0.3, -0.9))
    _name_languages(axes, ticks)
    return Plot("gap-closed", title, caption, run_ids(kept, reference), figure)


def _rows(candidates: Sequence[Candidate]) -> tuple[list[tuple[float, Candidate]], dict[str, float]]:
    """Return (height, candidate), languages by gain, and language -> the height of the middle of its rows."""
    rows: list[tuple[float, Candidate]] = []
    ticks, y = {}, 0.0
    for code in by_gain(candidates):
        own = [candidate for candidate in candidates if candidate.language == code]
        rows += [(y + place, candidate) for place, candidate in enumerate(own)]
        ticks[code] = y + (len(own) - 1) / 2
        y += len(own) + _BETWEEN
    return rows, ticks


def _name_languages(axes: Axes, ticks: dict[str, float]) -> None:
    """Write the languages next to their rows, and leave room for the names of methods at the right."""
    axes.set_yticks(list(ticks.values()), [language_name(code) for code in ticks])
    axes.grid(axis="y", visible=False)
    low, high = axes.get_xlim()
    axes.set_xlim(low, high + 0.28 * (high - low))
