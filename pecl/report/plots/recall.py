"""Recall per language before and after training, and the share of the gap to English that training closes."""

import math
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pecl.data.languages import ENGLISH, language_name
from pecl.report.methods import method_labels, methods_remark
from pecl.report.plots.estimates import SCORE, describe, error, gain, run_ids, trained, zero_shot
from pecl.report.plots.style import COLUMN, GREY, NotDrawn, Plot, look, name_at, panels, same_limits
from pecl.report.tables import Candidate, Group, best_of_methods
from pecl.report.tables.candidates import by_gain
from pecl.report.tables.disparity import find_english, gap_to_english
from pecl.report.tables.groups import grouped
from pecl.results.result import Result

_ROW, _SMALL_ROW = 0.17, 0.105  # inches: height of one method's row, alone and where there are many
_MANY = 40  # rows of one panel; more come in `_ACROSS` panels, with the best method of each language
_ACROSS = 3
_BETWEEN = 0.8  # rows between two languages


def draw_recall(group: Group, runs: list[Result], results: Sequence[Result]) -> Plot:
    """Draw for each language and method recall before (hollow) and after training (filled)."""
    best, left_out = _legible(best_of_methods(runs))
    english = find_english(results, group)
    names = method_labels(one.method for one in best)
    title = "Recall before and after training"
    caption = (
        "Hollow: zero-shot; filled: trained, candidate chosen by validation; dotted: English, zero-shot. "
        f"{left_out}{describe(group, best, plain=True)} {methods_remark(names)}"
    )
    figure, axes, rows = _panels(best, caption, title)
    size = 2.5 if len(axes) > 1 else 4.5
    # larger and above, so that it is a ring around an equal value after training
    ring: dict[str, Any] = {"markerfacecolor": "none", "markeredgewidth": 0.25 * size, "zorder": 3}
    for place, y, one in rows:
        before, after = zero_shot(one.runs[0]), trained(one)
        style = look(one.method, linestyle="none", markersize=size)
        place.plot([before[0], after[0]], [y, y], color=style["color"], linewidth=0.8, alpha=0.6)
        place.errorbar(after[0], y, xerr=error(after), **style, elinewidth=0.25 * size)
        style |= {**ring, "markersize": size + 2}
        place.errorbar(before[0], y, xerr=error(before), **style, elinewidth=0.5)
        if len(axes) == 1:
            name_at(place, max(before[2], after[2]), y, names[one.method])
    if english:
        for place in axes:
            place.axvline(english.recall(stage="zero_shot"), color=GREY, linestyle=":")
    _finish(axes, SCORE, most=1.0)
    return Plot("recall", title, caption, run_ids(best, *filter(None, [english])), figure)


def draw_gap_closed(group: Group, runs: list[Result], results: Sequence[Result]) -> Plot:
    """Draw gain / (English recall - zero-shot recall), in per cent, for each language and method.

    English recall is the plain tower's, with English captions against the same gallery. A share is drawn if the gap
    is larger than its noise: if its 95 % bootstrap interval over test items, paired, is above 0.
    """
    where = f"the gallery {group.gallery} of {group.dataset}"
    english = find_english(results, group)
    if english is None:
        raise NotDrawn(f"no result of English with {where}: train --language en")
    best = best_of_methods(runs)
    behind = [one for one in best if gap_to_english(one, english) is not None]
    if not behind:
        raise NotDrawn(f"no trained language is behind English by more than the noise with {where}")
    kept, left_out = _legible(behind)
    names = method_labels(one.method for one in best)
    score = english.recall(stage="zero_shot")
    title = "Share of the gap to English that is closed"
    said = [f"{one.language} {names[one.method]}" for one in best if one not in behind and one.language != ENGLISH]
    left_out += f"Not behind English by more than the noise: {', '.join(said)}. " if said else ""
    caption = (
        f"Gain / gap, where the gap is English zero-shot ({score:.3f}) minus the language's, taken as exact. "
        f"{left_out}{describe(group, kept)} {methods_remark(names)}"
    )
    figure, axes, rows = _panels(kept, caption, title)
    for place, y, one in rows:
        share = gain(one) * 100 / (score - one.zero_shot)
        place.barh(y, share[0], 0.8, color=look(one.method)["color"], lw=0)
        place.errorbar(share[0], y, xerr=error(share), color="black", linestyle="none", elinewidth=0.8)
        if len(axes) == 1:
            name_at(place, max(share[2], 0.0), y, names[one.method])
    for place in axes:
        place.axvline(0, color="black", linewidth=0.8)
    _finish(axes, f"gap closed, % of the gap in {SCORE}", most=100.0)
    return Plot("gap-closed", title, caption, run_ids(kept, english), figure)


def _legible(candidates: Sequence[Candidate]) -> tuple[list[Candidate], str]:
    """Return the candidates that a figure has room for, and a sentence on the others: the best of each language."""
    own = grouped(candidates, lambda one: one.language)
    if len(candidates) <= _MANY:
        return [one for code in by_gain(candidates) for one in own[code]], ""
    kept = [max(own[code], key=lambda one: one.gain) for code in by_gain(candidates)]
    return kept, "The method of each language that gained most. " if len(kept) < len(candidates) else ""


def _panels(
    candidates: Sequence[Candidate], caption: str, title: str
) -> tuple[Figure, list[Axes], list[tuple[Axes, float, Candidate]]]:
    """Return the figure, its panels next to each other, and (panel, height, candidate) of each row."""
    many = len(candidates) > _MANY
    each = math.ceil(len(candidates) / _ACROSS) if many else len(candidates)
    columns = [candidates[start : start + each] for start in range(0, len(candidates), each)]
    order = {code: place for place, code in enumerate(dict.fromkeys(one.language for one in candidates))}
    between = 0.0 if many else _BETWEEN
    height = each + between * (len(order) - 1)
    inches = 0.6 + max(height, 2) * (_SMALL_ROW if many else _ROW)
    figure, axes = panels(inches, caption, len(columns), width=2 * COLUMN if many else COLUMN)
    rows = []
    for place, own in zip(axes, columns, strict=True):
        heights: dict[str, list[float]] = {}
        for row, one in enumerate(own):
            heights.setdefault(one.language, []).append(row + between * order[one.language])
        names = {code: language_name(code) for code in heights}
        labels = [name.rpartition(" (")[0] or name for name in names.values()] if many else list(names.values())
        places = [sum(ys) / len(ys) for ys in heights.values()]
        place.set_yticks(places, labels, fontsize=5.5 if many else None)
        place.set_ylim(height - 0.3, -0.9)
        place.grid(axis="y", visible=False)
        rows += zip([place] * len(own), [y for ys in heights.values() for y in ys], own, strict=True)
    axes[len(axes) // 2].set_title(title)
    return figure, axes, rows


def _finish(axes: Sequence[Axes], label: str, most: float) -> None:
    """Give all panels one axis, without ticks beyond `most`, and room for the names of methods in a single panel."""
    axes[len(axes) // 2].set_xlabel(label)
    same_limits(axes, up=False)
    low, high = axes[0].get_xlim()
    for place in axes:
        place.set_xlim(low, high + (0.28 * (high - low) if len(axes) == 1 else 0))
        place.set_xticks([tick for tick in place.get_xticks() if low <= tick <= max(most, 0) and tick <= high])
