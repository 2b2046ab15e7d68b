"""Recall by language and method, and the share of the gap to English that training closes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pecl.errors import setting
from pecl.language.languages import ENGLISH, language_name
from pecl.report.plots import style
from pecl.report.plots.style import COLUMN, GREY, SCORE, NotDrawn, Plot
from pecl.report.selection.candidates import Candidate, best_of_methods, by_gain
from pecl.report.selection.groups import Group, grouped
from pecl.report.selection.methods import Method, method_labels
from pecl.report.tables.disparity import english_of, gap_to_english
from pecl.results.result import Result, TrainingResult

_ROW_HEIGHT = 0.17  # inches: height of a method's row, in a figure with few rows
_SMALL_ROW_HEIGHT = 0.105  # in a figure with many
_MANY_ROWS = 40  # more rows are drawn in `_MANY_PANELS` panels, with the best method per language
_MANY_PANELS = 3
_LANGUAGE_GAP = 0.8  # rows between two languages


@dataclass(frozen=True)
class _DrawnRow:
    """The row of a candidate: its panel, and its height in it."""

    panel: Axes
    y: float
    candidate: Candidate


def draw_recall(group: Group, runs: list[TrainingResult], results: Sequence[Result]) -> Plot:
    """Draw for each language and method recall before (hollow) and after training (filled)."""
    best, left_out = _legible(best_of_methods(runs))
    references = _references(best, results)
    names, remark = method_labels(candidate.method for candidate in best)
    title = "Recall before and after training"
    caption = (
        "Hollow: zero-shot; filled: trained, candidate chosen by validation; dotted: English, zero-shot. "
        f"{left_out}{style.describe(group, best, plain=True)} {remark}"
    )

    figure, rows = _panels(best, caption)
    is_single = len(figure.axes) == 1
    for row in rows:
        _draw_before_and_after(row, 4.5 if is_single else 2.5, names if is_single else {})
    for english in references:
        for panel in figure.axes:
            panel.axvline(english.recall(stage="zero_shot"), color=GREY, linestyle=":")
    _finish(figure.axes, title, SCORE, last_tick=1.0)
    return Plot("recall", title, caption, style.run_ids(best, *references), figure)


def _draw_before_and_after(row: _DrawnRow, size: float, names: dict[Method, str]) -> None:
    """Draw the points of a candidate, `size` points wide, and the name of its method if `names` has it."""
    candidate = row.candidate
    before = style.estimate(candidate.runs[0].hits("zero_shot"))
    after = style.estimate(candidate.trained_hits, candidate.mean, candidate.std)

    look = style.look(candidate.method, linestyle="none", markersize=size)
    row.panel.plot([before[0], after[0]], [row.y, row.y], color=look["color"], linewidth=0.8, alpha=0.6)
    row.panel.errorbar(after[0], row.y, xerr=style.error(after), **look, elinewidth=0.25 * size)

    # larger and on top: a ring around an equal value after training
    ring: dict[str, Any] = {"markerfacecolor": "none", "markeredgewidth": 0.25 * size, "zorder": 3}
    look |= {**ring, "markersize": size + 2}
    row.panel.errorbar(before[0], row.y, xerr=style.error(before), **look, elinewidth=0.5)

    if candidate.method in names:
        style.name_at(row.panel, max(before[2], after[2]), row.y, names[candidate.method])


def draw_gap_closed(group: Group, runs: list[TrainingResult], results: Sequence[Result]) -> Plot:
    """Draw gain / (English recall - zero-shot recall), in per cent, for each language and method.

    English recall is the base encoder's, with English captions against the same gallery. A share is drawn if the gap
    is larger than its noise: if its 95 % bootstrap interval over test items, paired, is above 0.
    """
    where = f"the gallery {group.gallery} of {group.dataset}"
    best = best_of_methods(runs)
    references = _references(best, results)
    if not references:
        raise NotDrawn(
            f"no result of English with {where} in the precision of the runs: train with {setting(language='en')}"
        )
    behind = [candidate for candidate in best if gap_to_english(candidate, english_of(candidate, results)) is not None]
    if not behind:
        raise NotDrawn(f"no trained language is behind English by more than the noise with {where}")

    drawn, left_out = _legible(behind)
    names, remark = method_labels(candidate.method for candidate in best)
    scores = {english.config.precision: english.recall(stage="zero_shot") for english in references}
    title = "Share of the gap to English that is closed"
    caption = (
        f"Gain / gap, where the gap is English zero-shot ({_scores_text(scores)}) minus the language's, taken as "
        f"exact. {left_out}{_not_behind(best, behind, names)}{style.describe(group, drawn)} {remark}"
    )

    figure, rows = _panels(drawn, caption)
    is_single = len(figure.axes) == 1
    for row in rows:
        _draw_share(row, scores[row.candidate.config.precision], names if is_single else {})
    for panel in figure.axes:
        panel.axvline(0, color="black", linewidth=0.8)
    _finish(figure.axes, title, f"gap closed, % of the gap in {SCORE}", last_tick=100.0)
    return Plot("gap-closed", title, caption, style.run_ids(drawn, *references), figure)


def _scores_text(scores: dict[str, float]) -> str:
    """Return English's score, or by precision if there are several."""
    if len(scores) == 1:
        return f"{next(iter(scores.values())):.3f}"
    return ", ".join(f"{score:.3f} in {precision}" for precision, score in scores.items())


def _not_behind(best: Sequence[Candidate], behind: Sequence[Candidate], names: dict[Method, str]) -> str:
    """Return a sentence that names the candidates without a gap to English."""
    labels = [
        f"{candidate.language} {names[candidate.method]}"
        for candidate in best
        if candidate not in behind and candidate.language != ENGLISH
    ]
    return f"Not behind English by more than the noise: {', '.join(labels)}. " if labels else ""


def _draw_share(row: _DrawnRow, english_score: float, names: dict[Method, str]) -> None:
    """Draw the bar of a candidate, and the name of its method if `names` has it."""
    candidate = row.candidate
    gain = style.estimate(candidate.gains, candidate.gain, candidate.std)
    share = gain * 100 / (english_score - candidate.zero_shot)
    row.panel.barh(row.y, share[0], 0.8, color=style.look(candidate.method)["color"], lw=0)
    row.panel.errorbar(share[0], row.y, xerr=style.error(share), color="black", linestyle="none", elinewidth=0.8)
    if candidate.method in names:
        style.name_at(row.panel, max(share[2], 0.0), row.y, names[candidate.method])


def _references(candidates: Sequence[Candidate], results: Sequence[Result]) -> list[Result]:
    """Return the English references of candidates, one per precision."""
    by_precision = {candidate.config.precision: english_of(candidate, results) for candidate in candidates}
    return [english for _, english in sorted(by_precision.items()) if english is not None]


def _legible(candidates: Sequence[Candidate]) -> tuple[list[Candidate], str]:
    """Return all candidates if a figure has room for them, else the best per language and a sentence on that."""
    ordered = by_gain(candidates)
    if len(ordered) <= _MANY_ROWS:
        return ordered, ""

    by_language = grouped(ordered, lambda candidate: candidate.language)
    best = [max(alike, key=lambda candidate: candidate.gain) for alike in by_language.values()]
    return best, "The method of each language that gained most. " if len(best) < len(ordered) else ""


def _panels(candidates: Sequence[Candidate], caption: str) -> tuple[Figure, list[_DrawnRow]]:
    """Return a figure with panels next to each other, and the row of each candidate."""
    is_many = len(candidates) > _MANY_ROWS
    rows_per_panel = math.ceil(len(candidates) / _MANY_PANELS) if is_many else len(candidates)
    columns = [candidates[start : start + rows_per_panel] for start in range(0, len(candidates), rows_per_panel)]

    codes = dict.fromkeys(candidate.language for candidate in candidates)
    language_numbers = {code: number for number, code in enumerate(codes)}
    gap = 0.0 if is_many else _LANGUAGE_GAP
    height = rows_per_panel + gap * (len(codes) - 1)  # in rows
    inches = 0.6 + max(height, 2) * (_SMALL_ROW_HEIGHT if is_many else _ROW_HEIGHT)
    figure, axes = style.panels(inches, caption, len(columns), width=2 * COLUMN if is_many else COLUMN)

    rows = []
    for panel, column in zip(axes, columns, strict=True):
        panel_rows = [
            _DrawnRow(panel, number + gap * language_numbers[candidate.language], candidate)
            for number, candidate in enumerate(column)
        ]
        _name_languages(panel, panel_rows, is_many)
        panel.set_ylim(height - 0.3, -0.9)
        panel.grid(axis="y", visible=False)
        rows += panel_rows
    return figure, rows


def _name_languages(panel: Axes, rows: Sequence[_DrawnRow], is_small: bool) -> None:
    """Write the name of each language at the middle of its rows."""
    by_language = grouped(rows, lambda row: row.candidate.language)
    names = [language_name(code) for code in by_language]
    if is_small:
        names = [name.rpartition(" (")[0] or name for name in names]
    middles = [sum(row.y for row in alike) / len(alike) for alike in by_language.values()]
    panel.set_yticks(middles, names, fontsize=5.5 if is_small else None)


def _finish(axes: Sequence[Axes], title: str, label: str, last_tick: float) -> None:
    """Give all panels one x axis, without ticks beyond `last_tick`; leave room for names in a single panel."""
    axes[len(axes) // 2].set(title=title, xlabel=label)
    style.same_limits(axes, up=False)
    low, high = axes[0].get_xlim()
    room = 0.28 * (high - low) if len(axes) == 1 else 0
    for panel in axes:
        panel.set_xlim(low, high + room)
        panel.set_xticks([tick for tick in panel.get_xticks() if low <= tick <= max(last_tick, 0) and tick <= high])
