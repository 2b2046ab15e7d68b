"""Recall by language, method, parameters and shots; and the share of the gap to English that training closes."""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import accumulate
from textwrap import fill
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pecl.data.languages import ENGLISH, language_name
from pecl.report.plots import style
from pecl.report.plots.style import COLUMN, GREY, SCORE, NotDrawn, Plot
from pecl.report.tables import Candidate, Group, best_of_methods, candidates_by_method, group_of
from pecl.report.tables.candidates import Setting, by_gain, varying
from pecl.report.tables.columns import setting_text
from pecl.report.tables.disparity import english_of, gap_to_english
from pecl.report.tables.groups import grouped
from pecl.report.tables.methods import FEW_SHOT, Method, method_labels
from pecl.results.result import Result

_ROW, _SMALL_ROW = 0.17, 0.105  # inches: height of a method's row, in a figure with few rows and with many
_MANY = 40  # maximum rows of one panel; more are drawn in `_ACROSS` panels, with the best method per language
_ACROSS = 3
_BETWEEN = 0.8  # rows between two languages
_LINE, _APART = 0.115, 0.07  # inches: a line of an adapter's name, and the space between two names
_NAMES = 6.5  # points: size of adapters' names
_SIZES = frozenset({"shots", "train_size", "text", "train_on", "photographs"})  # stated by methods and numbers of pairs


def draw_recall(group: Group, runs: list[Result], results: Sequence[Result]) -> Plot:
    """Draw for each language and method recall before (hollow) and after training (filled)."""
    best, left_out = _legible(best_of_methods(runs))
    references = _references(best, results)
    names, remark = method_labels(one.method for one in best)
    title = "Recall before and after training"
    caption = (
        "Hollow: zero-shot; filled: trained, candidate chosen by validation; dotted: English, zero-shot. "
        f"{left_out}{style.describe(group, best, plain=True)} {remark}"
    )
    figure, rows = _panels(best, caption)
    size = 2.5 if len(figure.axes) > 1 else 4.5
    # larger and on top: a ring around an equal value after training
    ring: dict[str, Any] = {"markerfacecolor": "none", "markeredgewidth": 0.25 * size, "zorder": 3}
    for place, y, one in rows:
        before = style.estimate(one.runs[0].hits("zero_shot"))
        after = style.estimate(one.trained_hits, one.mean, one.std)
        look = style.look(one.method, linestyle="none", markersize=size)
        place.plot([before[0], after[0]], [y, y], color=look["color"], linewidth=0.8, alpha=0.6)
        place.errorbar(after[0], y, xerr=style.error(after), **look, elinewidth=0.25 * size)
        look |= {**ring, "markersize": size + 2}
        place.errorbar(before[0], y, xerr=style.error(before), **look, elinewidth=0.5)
        if len(figure.axes) == 1:
            style.name_at(place, max(before[2], after[2]), y, names[one.method])
    for english in references:
        for place in figure.axes:
            place.axvline(english.recall(stage="zero_shot"), color=GREY, linestyle=":")
    _finish(figure.axes, title, SCORE, most=1.0)
    return Plot("recall", title, caption, style.run_ids(best, *references), figure)


def draw_gap_closed(group: Group, runs: list[Result], results: Sequence[Result]) -> Plot:
    """Draw gain / (English recall - zero-shot recall), in per cent, for each language and method.

    English recall is the plain tower's, with English captions against the same gallery. A share is drawn if the gap
    is larger than its noise: if its 95 % bootstrap interval over test items, paired, is above 0.
    """
    where = f"the gallery {group.gallery} of {group.dataset}"
    best = best_of_methods(runs)
    references = _references(best, results)
    if not references:
        raise NotDrawn(f"no result of English with {where} in the precision of the runs: train --language en")
    behind = [one for one in best if gap_to_english(one, english_of(one, results)) is not None]
    if not behind:
        raise NotDrawn(f"no trained language is behind English by more than the noise with {where}")
    kept, left_out = _legible(behind)
    names, remark = method_labels(one.method for one in best)
    scores = {english.config.precision: english.recall(stage="zero_shot") for english in references}
    stated = ", ".join(f"{score:.3f}" + f" in {name}" * (len(scores) > 1) for name, score in scores.items())
    title = "Share of the gap to English that is closed"
    said = [f"{one.language} {names[one.method]}" for one in best if one not in behind and one.language != ENGLISH]
    left_out += f"Not behind English by more than the noise: {', '.join(said)}. " if said else ""
    caption = (
        f"Gain / gap, where the gap is English zero-shot ({stated}) minus the language's, taken as exact. "
        f"{left_out}{style.describe(group, kept)} {remark}"
    )
    figure, rows = _panels(kept, caption)
    for place, y, one in rows:
        share = style.estimate(one.gains, one.gain, one.std) * 100 / (scores[one.config.precision] - one.zero_shot)
        place.barh(y, share[0], 0.8, color=style.look(one.method)["color"], lw=0)
        place.errorbar(share[0], y, xerr=style.error(share), color="black", linestyle="none", elinewidth=0.8)
        if len(figure.axes) == 1:
            style.name_at(place, max(share[2], 0.0), y, names[one.method])
    for place in figure.axes:
        place.axvline(0, color="black", linewidth=0.8)
    _finish(figure.axes, title, f"gap closed, % of the gap in {SCORE}", most=100.0)
    return Plot("gap-closed", title, caption, style.run_ids(kept, *references), figure)


def _references(candidates: Sequence[Candidate], results: Sequence[Result]) -> list[Result]:
    """Return the English references of candidates, one per precision."""
    found = {candidate.config.precision: english_of(candidate, results) for candidate in candidates}
    return [english for _, english in sorted(found.items()) if english is not None]


def _legible(candidates: Sequence[Candidate]) -> tuple[list[Candidate], str]:
    """Return all candidates if a figure has room for them, else the best per language and a sentence that says so."""
    ordered = by_gain(candidates)
    if len(ordered) <= _MANY:
        return ordered, ""
    kept = [max(own, key=lambda one: one.gain) for own in grouped(ordered, lambda one: one.language).values()]
    return kept, "The method of each language that gained most. " if len(kept) < len(ordered) else ""


def _panels(candidates: Sequence[Candidate], caption: str) -> tuple[Figure, list[tuple[Axes, float, Candidate]]]:
    """Return a figure with panels next to each other, and (panel, y, candidate) of each row."""
    many = len(candidates) > _MANY
    each = math.ceil(len(candidates) / _ACROSS) if many else len(candidates)
    columns = [candidates[start : start + each] for start in range(0, len(candidates), each)]
    order = {code: place for place, code in enumerate(dict.fromkeys(one.language for one in candidates))}
    between = 0.0 if many else _BETWEEN
    height = each + between * (len(order) - 1)
    inches = 0.6 + max(height, 2) * (_SMALL_ROW if many else _ROW)
    figure, axes = style.panels(inches, caption, len(columns), width=2 * COLUMN if many else COLUMN)
    rows = []
    for place, own in zip(axes, columns, strict=True):
        drawn = [(place, row + between * order[one.language], one) for row, one in enumerate(own)]
        heights = {
            code: [y for _, y, _ in alike] for code, alike in grouped(drawn, lambda row: row[2].language).items()
        }
        names = [language_name(code) for code in heights]
        labels = [name.rpartition(" (")[0] or name for name in names] if many else names
        place.set_yticks([sum(ys) / len(ys) for ys in heights.values()], labels, fontsize=5.5 if many else None)
        place.set_ylim(height - 0.3, -0.9)
        place.grid(axis="y", visible=False)
        rows += drawn
    return figure, rows


def _finish(axes: Sequence[Axes], title: str, label: str, most: float) -> None:
    """Give all panels one x axis, without ticks beyond `most`; leave room for names of methods in a single panel."""
    axes[len(axes) // 2].set(title=title, xlabel=label)
    style.same_limits(axes, up=False)
    low, high = axes[0].get_xlim()
    for place in axes:
        place.set_xlim(low, high + (0.28 * (high - low) if len(axes) == 1 else 0))
        place.set_xticks([tick for tick in place.get_xticks() if low <= tick <= max(most, 0) and tick <= high])


def draw_shots(family: Group, runs: list[Result], _: Sequence[Result]) -> Plot:
    """Draw gain against the number of training pairs, a line per language.

    The gallery shrinks as shots grow, so recalls are not comparable; its size is written below each number of shots.
    """
    panels, candidates, _remark = _compared(runs, "shots", lambda candidate: candidate.pairs)
    if not panels:
        raise NotDrawn("no language and route was trained with two numbers of shots")
    galleries = {candidate.pairs: group_of(candidate.runs[0]).gallery_size for candidate in candidates}
    caption = (
        "Gains, each on the gallery of its own number of shots; candidates chosen by validation; all panels on the "
        f"same axes. {style.describe(family, candidates)}"
    )
    figure, axes = style.panels(2.3, caption, rows=len(panels))
    ends = []
    for place, (title, method, lines) in zip(axes, panels, strict=True):
        place.axhline(0, color=GREY, linewidth=0.8)
        names = []
        for code, line in lines.items():
            gains = 100 * np.transpose(
                [style.estimate(one.gains, one.gain, one.std) for one in line]
            )  # (3, candidates)
            bars, pairs = style.error(gains), [one.pairs for one in line]
            place.errorbar(pairs, gains[0], yerr=bars, **style.look(method, elinewidth=0.7))
            names.append((pairs[-1], gains[0, -1], language_name(code)))
        ends.append(names)
        spec = _broken(next(iter(lines.values()))[0].adapter.spec, 40)
        place.set(xscale="log", ylabel=f"gain in {SCORE},\npercentage points", title=f"{fill(title, 40)}\n{spec}")
        place.set_xticks(sorted(galleries), [f"{shots:,}\n({galleries[shots]:,})" for shots in sorted(galleries)])
        place.minorticks_off()
    axes[-1].set_xlabel("training pairs (gallery)")
    low, high = min(place.get_xlim()[0] for place in axes), max(place.get_xlim()[1] for place in axes)
    axes[0].set_xlim(low, high * (high / low) ** 0.15)
    style.same_limits(axes)
    figure.draw_without_rendering()
    for place, names in zip(axes, ends, strict=True):
        style.name_ends(place, names)
    return Plot("shots", "Gain against shots", caption, style.run_ids(candidates), figure)


def draw_parameters(group: Group, runs: list[Result], _: Sequence[Result]) -> Plot:
    """Draw recall after training of each adapter, by trained parameters, a panel per language."""
    panels, candidates, remark = _compared(runs, "adapter", lambda candidate: candidate.adapter.trainable)
    if not panels:
        raise NotDrawn("no language and route was trained with adapters of two sizes")
    drawn = [
        (method, f"{language_name(code)}, {title}", lines[code])
        for title, method, lines in panels
        for code in dict.fromkeys(one.language for one in by_gain(one for line in lines.values() for one in line))
    ]
    caption = (
        "A point per adapter, fewest trained parameters first; dotted: zero-shot; all panels on one axis. Candidates "
        f"chosen by validation. {style.describe(group, candidates, plain=True)} {remark}"
    )
    names = [[f"{_broken(one.adapter.spec, 24)}  {one.adapter.trainable:,}" for one in line] for *_, line in drawn]
    rows = [[_LINE * (name.count("\n") + 1) + _APART for name in own] for own in names]  # inches each
    figure, axes = style.panels([0.75 + sum(own) for own in rows], caption)
    for place, (method, title, line), said, own in zip(axes, drawn, names, rows, strict=True):
        place.axvline(line[0].zero_shot, color=GREY, linestyle=":", linewidth=0.9)
        heights = [end - row / 2 for end, row in zip(accumulate(own), own, strict=True)]
        for y, one in zip(heights, line, strict=True):
            point = style.estimate(one.trained_hits, one.mean, one.std)
            place.errorbar(point[0], y, xerr=style.error(point), **style.look(method, linestyle="none", elinewidth=0.7))
        place.set_yticks(heights, said, fontsize=_NAMES)
        place.set(ylim=(sum(own), 0), title=fill(title, 28))
        place.grid(axis="y", visible=False)
    axes[-1].set_xlabel(SCORE)
    style.same_limits(axes, up=False)
    return Plot("parameters", "Recall by module and trained parameters", caption, style.run_ids(candidates), figure)


def _compared(
    runs: Sequence[Result], field: str, x: Callable[[Candidate], int]
) -> tuple[list[tuple[str, Method, dict[str, list[Candidate]]]], list[Candidate], str]:
    """Return (title, method, line of each language) of panels, their candidates, and sentences on the methods' names.

    A panel has the candidates of one method and setting except `field`, by `x`, for languages with two values of `x`.
    Its title has the method, and the pairs and settings that differ between panels.
    """

    def key(one: Candidate) -> tuple[Method, Setting]:
        # few pairs and all pairs are on one line
        method = replace(one.method, kind=FEW_SHOT, shots=None) if field == "shots" else one.method
        return method, tuple(pair for pair in one.setting if pair[0] != field)

    def order(one: Candidate) -> tuple:
        method, setting = key(one)
        return method.order, str(setting), one.language, x(one)

    found = grouped(sorted(candidates_by_method(runs), key=order), lambda one: (key(one), one.language))
    panels: dict[tuple[Method, Setting], dict[str, list[Candidate]]] = {}
    for (rest, code), line in found.items():
        if len(set(map(x, line))) > 1:
            panels.setdefault(rest, {})[code] = line
    candidates = [one for lines in panels.values() for line in lines.values() for one in line]
    labels, remark = method_labels(method for method, _ in panels)
    pairs = [next(iter(lines.values()))[0].pairs for lines in panels.values()]
    names = [name for name in varying(setting for _, setting in panels) if name not in {*_SIZES, "adapter"}]
    titled = []
    for ((method, setting), lines), own in zip(panels.items(), pairs, strict=True):
        said = [f"{own:,} pairs"] if len(set(pairs)) > 1 and method.text else []
        said += [f"{name.replace('_', ' ')} {setting_text(name, dict(setting)[name])}" for name in names]
        titled.append((", ".join([labels[method], *said]), method, lines))
    return titled, candidates, remark


def _broken(spec: str, most: int) -> str:
    """Break an adapter's spec into lines of at most `most` letters, each after one of the signs +,=/."""
    return re.sub(rf"(.{{1,{most}}})((?<=[+,=/])|$)", r"\1\n", spec).strip()
