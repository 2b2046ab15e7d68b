"""Recall per language before and after training, and the share of the gap to English that training closes."""

import math
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pecl.languages import ENGLISH, language_name
from pecl.report.methods import method_labels, methods_remark
from pecl.report.plots.estimates import SCORE, describe, for_each_group, gain, run_ids, trained, zero_shot
from pecl.report.plots.style import COLUMN, GREY, NotDrawn, Plot, look, name_at, panels, same_limits
from pecl.report.tables import Candidate, Group, best_of_methods
from pecl.report.tables.candidates import by_gain
from pecl.report.tables.disparity import find_english, gap_to_english
from pecl.results.result import Result

_ROW, _SMALL_ROW = 0.17, 0.105  # inches: height of one method's row, alone and where there are many
_MANY = 40  # rows of one panel; more come in `_ACROSS` panels, with the best method of each language
_ACROSS = 3
_BETWEEN = 0.8  # rows between two languages
_Rows = list[tuple[float, Candidate]]  # height, candidate


@for_each_group
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
    figure, drawn = _panels(best, caption, title)
    for axes, rows in drawn:
        for y, one in rows:
            before, after = zero_shot(one.runs[0]), trained(one)
            size = 2.5 if len(drawn) > 1 else 4.5
            style = look(one.method, linestyle="none", markersize=size)
            axes.plot([before.mean, after.mean], [y, y], color=style["color"], linewidth=0.8, alpha=0.6)
            axes.errorbar(after.mean, y, xerr=after.error, **style, elinewidth=0.25 * size)
            # larger and above, so that it is a ring around an equal value after training
            hollow: dict[str, Any] = {"markerfacecolor": "none", "markeredgewidth": 0.25 * size, "zorder": 3}
            axes.errorbar(
                before.mean, y, xerr=before.error, **{**style, **hollow, "markersize": size + 2}, elinewidth=0.5
            )
            if len(drawn) == 1:
                name_at(axes, max(before.high, after.high), y, names[one.method])
        if english:
            axes.axvline(zero_shot(english).mean, color=GREY, linestyle=":")
    _finish(drawn, SCORE, most=1.0)
    return Plot("recall", title, caption, run_ids(best, *filter(None, [english])), figure)


@for_each_group
def draw_gap_closed(group: Group, runs: list[Result], results: Sequence[Result]) -> Plot:
    """Draw gain / (English recall - zero-shot recall), in per cent, for each language and method.

    English recall is the plain tower's, with English captions against the same gallery. A share is drawn if the gap
    is larger than its noise: if its 95 % bootstrap interval over test items, paired, is above 0.
    """
    where = f"the gallery {group.gallery} of {group.dataset}"
    reference = find_english(results, group)
    if reference is None:
        raise NotDrawn(f"no result of English with {where}: train --language en")
    best = best_of_methods(runs)
    behind = [one for one in best if gap_to_english(one, reference) is not None]
    if not behind:
        raise NotDrawn(f"no trained language is behind English by more than the noise with {where}")
    kept, left_out = _legible(behind)
    names = method_labels(one.method for one in best)
    english = zero_shot(reference)
    title = "Share of the gap to English that is closed"
    said = [f"{one.language} {names[one.method]}" for one in best if one not in behind and one.language != ENGLISH]
    left_out += f"Not behind English by more than the noise: {', '.join(said)}. " if said else ""
    caption = (
        f"Gain / gap, where the gap is English zero-shot ({english.mean:.3f}) minus the language's, taken as exact. "
        f"{left_out}{describe(group, kept)} {methods_remark(names)}"
    )
    figure, drawn = _panels(kept, caption, title)
    for axes, rows in drawn:
        for y, one in rows:
            share = gain(one).scaled(100 / (english.mean - one.zero_shot))
            axes.barh(y, share.mean, 0.8, color=look(one.method)["color"], lw=0)
            axes.errorbar(share.mean, y, xerr=share.error, color="black", linestyle="none", elinewidth=0.8)
            if len(drawn) == 1:
                name_at(axes, max(share.high, 0.0), y, names[one.method])
        axes.axvline(0, color="black", linewidth=0.8)
    _finish(drawn, f"gap closed, % of the gap in {SCORE}", most=100.0)
    return Plot("gap-closed", title, caption, run_ids(kept, reference), figure)


def _legible(candidates: Sequence[Candidate]) -> tuple[list[Candidate], str]:
    """Return the candidates that a figure has room for, and a sentence on the others: the best of each language."""
    order = by_gain(candidates)
    found = sorted(candidates, key=lambda one: order.index(one.language))
    if len(found) <= _MANY:
        return found, ""
    best = {one.language: one for one in sorted(found, key=lambda one: one.gain)}
    kept = sorted(best.values(), key=lambda one: -one.gain)
    return kept, "The method of each language that gained most. " if len(kept) < len(found) else ""


def _panels(candidates: Sequence[Candidate], caption: str, title: str) -> tuple[Figure, list[tuple[Axes, _Rows]]]:
    """Return the figure, and panels next to each other with their rows; languages that gained most come first."""
    many = len(candidates) > _MANY
    each = math.ceil(len(candidates) / _ACROSS) if many else len(candidates)
    parts = [candidates[start : start + each] for start in range(0, len(candidates), each)]
    rows = [_rows(part, 0.0 if many else _BETWEEN) for part in parts]
    height = max(y for own in rows for y, _ in own) + 1
    inches = 0.6 + max(height, 2) * (_SMALL_ROW if many else _ROW)
    figure, axes = panels(inches, caption, len(parts), width=2 * COLUMN if many else COLUMN)
    for place, own in zip(axes, rows, strict=True):
        codes = dict.fromkeys(one.language for _, one in own)
        heights = [[y for y, one in own if one.language == code] for code in codes]
        names = map(language_name, codes)
        labels = [name.rpartition(" (")[0] or name for name in names] if many else list(names)
        place.set_yticks([sum(ys) / len(ys) for ys in heights], labels, fontsize=5.5 if many else None)
        place.set_ylim(height - 0.3, -0.9)
        place.grid(axis="y", visible=False)
    axes[len(axes) // 2].set_title(title)
    return figure, list(zip(axes, rows, strict=True))


def _rows(candidates: Sequence[Candidate], between: float) -> _Rows:
    """Return (height, candidate), with room between languages."""
    codes = list(dict.fromkeys(one.language for one in candidates))
    return [(place + between * codes.index(one.language), one) for place, one in enumerate(candidates)]


def _finish(drawn: Sequence[tuple[Axes, _Rows]], label: str, most: float) -> None:
    """Give all panels one axis, without ticks beyond `most`, and room for the names of methods in a single panel."""
    axes = [place for place, _ in drawn]
    axes[len(axes) // 2].set_xlabel(label)
    same_limits(axes, up=False)
    low, high = axes[0].get_xlim()
    for place in axes:
        place.set_xlim(low, high + (0.28 * (high - low) if len(axes) == 1 else 0))
        place.set_xticks([tick for tick in place.get_xticks() if low <= tick <= max(most, 0) and tick <= high])
