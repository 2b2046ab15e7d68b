"""Gain by number of shots, and recall by adapter and its parameters."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from textwrap import fill

import numpy as np
from matplotlib.axes import Axes

from pecl.language.languages import language_name
from pecl.report.plots import style
from pecl.report.plots.style import GREY, SCORE, NotDrawn, Plot
from pecl.report.selection.candidates import Candidate, Setting, by_gain, candidates_by_method, varying
from pecl.report.selection.groups import Group, group_of
from pecl.report.selection.methods import FEW_SHOT, Method, method_labels
from pecl.report.tables.columns import setting_text
from pecl.results.result import Result, TrainingResult

_LINE_HEIGHT = 0.115  # inches: a line of an adapter's name
_NAME_GAP = 0.07  # inches between two names
_NAME_SIZE = 6.5  # points, of adapters' names
# Stated by methods and numbers of pairs
_SIZE_FIELDS = frozenset({"shots", "train_size", "text", "train_on", "photographs", "adapter"})


@dataclass(frozen=True)
class _Panel:
    """The candidates of one method and setting that differ in size, as a line per language."""

    title: str  # the method, and the pairs and settings that differ between panels
    method: Method
    lines: dict[str, list[Candidate]]  # language -> candidates, by size

    @property
    def candidates(self) -> list[Candidate]:
        return [candidate for line in self.lines.values() for candidate in line]


def draw_shots(family: Group, runs: list[TrainingResult], _: Sequence[Result]) -> Plot:
    """Draw gain against the number of training pairs, a line per language.

    The gallery shrinks as shots grow, so recalls are not comparable; its size is written below each number of shots.
    """
    panels, _remark = _compared(runs, "shots", lambda candidate: candidate.pairs)
    if not panels:
        raise NotDrawn("no language and route was trained with two numbers of shots")

    candidates = [candidate for panel in panels for candidate in panel.candidates]
    galleries = {candidate.pairs: group_of(candidate.runs[0]).gallery_size for candidate in candidates}
    ticks = {shots: f"{shots:,}\n({galleries[shots]:,})" for shots in sorted(galleries)}
    caption = (
        "Gains, each on the gallery of its own number of shots; candidates chosen by validation; all panels on the "
        f"same axes. {style.describe(family, candidates)}"
    )

    figure, axes = style.panels(2.3, caption, rows=len(panels))
    ends = []
    for axis, panel in zip(axes, panels, strict=True):
        ends.append(_draw_gains(axis, panel))
        spec = _broken(panel.candidates[0].adapter.spec, 40)
        title = f"{fill(panel.title, 40)}\n{spec}"
        axis.set(xscale="log", ylabel=f"gain in {SCORE},\npercentage points", title=title)
        axis.set_xticks(list(ticks), list(ticks.values()))
        axis.minorticks_off()
    axes[-1].set_xlabel("training pairs (gallery)")

    low = min(axis.get_xlim()[0] for axis in axes)
    high = max(axis.get_xlim()[1] for axis in axes)
    axes[0].set_xlim(low, high * (high / low) ** 0.15)
    style.same_limits(axes)
    figure.draw_without_rendering()
    for axis, names in zip(axes, ends, strict=True):
        style.name_ends(axis, names)
    return Plot("shots", "Gain against shots", caption, style.run_ids(candidates), figure)


def _draw_gains(axis: Axes, panel: _Panel) -> list[tuple[float, float, str]]:
    """Draw the lines of a panel, and return the end of each: x, y and the language's name."""
    axis.axhline(0, color=GREY, linewidth=0.8)
    ends = []
    for code, line in panel.lines.items():
        estimates = [style.estimate(candidate.gains, candidate.gain, candidate.std) for candidate in line]
        gains = 100 * np.transpose(estimates)  # (3, candidates)
        pairs = [candidate.pairs for candidate in line]
        axis.errorbar(pairs, gains[0], yerr=style.error(gains), **style.look(panel.method, elinewidth=0.7))
        ends.append((pairs[-1], gains[0, -1], language_name(code)))
    return ends


def draw_parameters(group: Group, runs: list[TrainingResult], _: Sequence[Result]) -> Plot:
    """Draw recall after training of each adapter, by trained parameters, a panel per language."""
    panels, remark = _compared(runs, "adapter", lambda candidate: candidate.adapter.trainable)
    if not panels:
        raise NotDrawn("no language and route was trained with adapters of two sizes")

    candidates = [candidate for panel in panels for candidate in panel.candidates]
    caption = (
        "A point per adapter, fewest trained parameters first; dotted: zero-shot; all panels on one axis. Candidates "
        f"chosen by validation. {style.describe(group, candidates, plain=True)} {remark}"
    )
    drawn = []  # (title, candidates) of each language of a panel
    for panel in panels:
        for code in dict.fromkeys(candidate.language for candidate in by_gain(panel.candidates)):
            drawn.append((f"{language_name(code)}, {panel.title}", panel.lines[code]))

    names = [[_adapter_name(candidate) for candidate in line] for _, line in drawn]
    row_heights = [[_LINE_HEIGHT * (name.count("\n") + 1) + _NAME_GAP for name in line] for line in names]  # inches
    figure, axes = style.panels([0.75 + sum(heights) for heights in row_heights], caption)
    for axis, (title, line), line_names, heights in zip(axes, drawn, names, row_heights, strict=True):
        _draw_adapters(axis, line, line_names, heights)
        axis.set_title(fill(title, 28))
    axes[-1].set_xlabel(SCORE)
    style.same_limits(axes, up=False)
    return Plot("parameters", "Recall by module and trained parameters", caption, style.run_ids(candidates), figure)


def _adapter_name(candidate: Candidate) -> str:
    return f"{_broken(candidate.adapter.spec, 24)}  {candidate.adapter.trainable:,}"


def _draw_adapters(axis: Axes, line: Sequence[Candidate], names: Sequence[str], heights: Sequence[float]) -> None:
    """Draw a row per adapter, each as high as its name."""
    axis.axvline(line[0].zero_shot, color=GREY, linestyle=":", linewidth=0.9)
    middles = [end - height / 2 for end, height in zip(accumulate(heights), heights, strict=True)]
    for y, candidate in zip(middles, line, strict=True):
        point = style.estimate(candidate.trained_hits, candidate.mean, candidate.std)
        look = style.look(candidate.method, linestyle="none", elinewidth=0.7)
        axis.errorbar(point[0], y, xerr=style.error(point), **look)
    axis.set_yticks(middles, names, fontsize=_NAME_SIZE)
    axis.set_ylim(sum(heights), 0)
    axis.grid(axis="y", visible=False)


def _compared(
    runs: Sequence[TrainingResult], field: str, size_of: Callable[[Candidate], int]
) -> tuple[list[_Panel], str]:
    """Return the panels of candidates that differ in `field`, and sentences on the methods' names.

    A panel has the candidates of one method and setting except `field`, for languages with two sizes.
    """

    def key(candidate: Candidate) -> tuple[Method, Setting]:
        method = candidate.method
        if field == "shots":  # few pairs and all pairs are on one line
            method = replace(method, kind=FEW_SHOT, shots=None)
        return method, tuple(pair for pair in candidate.setting if pair[0] != field)

    def order(candidate: Candidate) -> tuple:
        method, setting = key(candidate)
        return method.order, str(setting), candidate.language, size_of(candidate)

    lines_of: dict[tuple[Method, Setting], dict[str, list[Candidate]]] = {}
    for candidate in sorted(candidates_by_method(runs), key=order):
        lines_of.setdefault(key(candidate), {}).setdefault(candidate.language, []).append(candidate)

    with_sizes = {}
    for panel_key, lines in lines_of.items():
        several = {code: line for code, line in lines.items() if len(set(map(size_of, line))) > 1}
        if several:
            with_sizes[panel_key] = several

    labels, remark = method_labels(method for method, _ in with_sizes)
    return _titled(with_sizes, labels), remark


def _titled(
    lines_of: dict[tuple[Method, Setting], dict[str, list[Candidate]]], labels: dict[Method, str]
) -> list[_Panel]:
    """Return panels whose titles state the method, and the pairs and settings that differ between panels."""
    fields = [name for name in varying(setting for _, setting in lines_of) if name not in _SIZE_FIELDS]
    pairs = [next(iter(lines.values()))[0].pairs for lines in lines_of.values()]

    panels = []
    for ((method, setting), lines), panel_pairs in zip(lines_of.items(), pairs, strict=True):
        parts = [labels[method]]
        if len(set(pairs)) > 1 and method.text:
            parts.append(f"{panel_pairs:,} pairs")
        for name in fields:
            parts.append(f"{name.replace('_', ' ')} {setting_text(name, dict(setting)[name])}")
        panels.append(_Panel(", ".join(parts), method, lines))
    return panels


def _broken(spec: str, width: int) -> str:
    """Break an adapter's spec into lines of at most `width` letters, each after one of the signs +,=/."""
    return re.sub(rf"(.{{1,{width}}})((?<=[+,=/])|$)", r"\1\n", spec).strip()
