"""Recall against the number of trained parameters, and gain against the number of shots."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from textwrap import fill

from pecl.languages import language_name
from pecl.report.methods import FEW_SHOT, Method, method_labels, methods_remark
from pecl.report.plots.estimates import (
    SCORE,
    describe,
    for_each_group,
    gain,
    run_ids,
    trained,
    trainings,
    with_names,
    zero_shot,
)
from pecl.report.plots.style import GREY, NotDrawn, Plot, look, name_ends, panels, same_limits, styled
from pecl.report.tables import Candidate, Group, candidates_by_method, group_of
from pecl.report.tables.candidates import Setting, by_gain, varying
from pecl.report.tables.groups import grouped
from pecl.report.tables.scores import setting_text
from pecl.results.result import Result

_LINE, _APART = 0.115, 0.07  # inches: a line of an adapter's name, and the space between two names
_NAMES = 6.5  # points, of adapters' names
_TITLE = 40  # letters of a line of a title
_SIZES = frozenset({"shots", "train_size", "text", "train_on", "photographs"})  # named by methods and pairs


@dataclass(frozen=True)
class _Panel:
    """Candidates that are equal except in language and x: language -> candidates by x, two or more per language."""

    method: Method
    setting: Setting
    lines: dict[str, list[Candidate]]

    @property
    def first(self) -> Candidate:
        """Its first candidate."""
        return next(iter(self.lines.values()))[0]


def draw_shots(results: Sequence[Result]) -> list[Plot]:
    """Return a plot for each data set and tower: gain against the number of training pairs, a line per language.

    The gallery shrinks as shots grow, so recalls do not compare, and its size is written below each number of shots.
    """
    families = grouped(
        candidates_by_method(trainings(results)), lambda one: replace(group_of(one.runs[0]), gallery_size=None)
    )
    found = [(family, _panels(own, "shots", lambda candidate: candidate.pairs)) for family, own in families.items()]
    plots = [(family, _draw_shots(family, own)) for family, own in found if own]
    if not plots:
        raise NotDrawn("no language and route was trained with two numbers of shots")
    return with_names(plots)


@for_each_group
def draw_parameters(group: Group, runs: list[Result], _: Sequence[Result]) -> Plot:
    """Draw recall after training of each adapter, by trained parameters, a panel per language."""
    found = _panels(candidates_by_method(runs), "adapter", _trainable)
    if not found:
        raise NotDrawn("no language and route was trained with adapters of two sizes")
    candidates = _all_candidates(found)
    drawn = [(panel, code, panel.lines[code]) for panel in found for code in by_gain(_all_candidates([panel]))]
    methods = [panel.method for panel in found]
    caption = (
        "A point per adapter, fewest trained parameters first; dotted: zero-shot; all panels on one axis. "
        f"Candidates chosen by validation. {describe(group, candidates, plain=True)} {methods_remark(methods)}"
    )
    titles = _titles(found)
    names = {id(one): f"{_broken(one.runs[0].adapter.spec, 24)}  {_trainable(one):,}" for one in candidates}
    rows = [[_LINE * (names[id(one)].count("\n") + 1) + _APART for one in line] for _, _, line in drawn]  # inches each
    figure, axes = panels([0.75 + sum(own) for own in rows], caption)
    for place, (panel, code, line), own in zip(axes, drawn, rows, strict=True):
        place.axvline(zero_shot(line[0].runs[0]).mean, color=GREY, linestyle=":", linewidth=0.9)
        heights = [end - row / 2 for end, row in zip(accumulate(own), own, strict=True)]
        for y, one in zip(heights, line, strict=True):
            point, style = trained(one), look(panel.method, linestyle="none", elinewidth=0.7)
            place.errorbar(point.mean, y, xerr=point.error, **style)
        place.set_yticks(heights, [names[id(one)] for one in line], fontsize=_NAMES)
        place.set(ylim=(sum(own), 0), title=fill(f"{language_name(code)}, {titles[id(panel)]}", 28))
        place.grid(axis="y", visible=False)
    axes[-1].set_xlabel(SCORE)
    same_limits(axes, up=False)
    return Plot("parameters", "Recall by module and trained parameters", caption, run_ids(candidates), figure)


@styled
def _draw_shots(family: Group, found: list[_Panel]) -> Plot:
    candidates = _all_candidates(found)
    galleries = {candidate.pairs: group_of(candidate.runs[0]).gallery_size for candidate in candidates}
    ticks = sorted(galleries)
    gains = {id(candidate): gain(candidate).scaled(100) for candidate in candidates}
    caption = (
        "Gains, each on the gallery of its own number of shots; candidates chosen by validation; all panels on the "
        f"same axes. {describe(family, candidates)}"
    )
    figure, axes = panels(2.3, caption, rows=len(found))
    for place, panel, said in zip(axes, found, _titles(found).values(), strict=True):
        place.axhline(0, color=GREY, linewidth=0.8)
        for line in panel.lines.values():
            values = [gains[id(candidate)] for candidate in line]
            errors = [[one.error[side][0] for one in values] for side in (0, 1)]
            style = look(panel.method, elinewidth=0.7)
            place.errorbar([candidate.pairs for candidate in line], [one.mean for one in values], yerr=errors, **style)
        head = ", ".join(part for part in said.split(", ") if not part.startswith("adapter "))
        title = f"{fill(head, _TITLE)}\n{_broken(panel.first.runs[0].adapter.spec, _TITLE)}"
        place.set(xscale="log", ylabel=f"gain in {SCORE},\npercentage points", title=title)
        place.set_xticks(ticks, [f"{shots:,}\n({galleries[shots]:,})" for shots in ticks])
        place.minorticks_off()
    axes[-1].set_xlabel("training pairs (gallery)")
    same_limits(axes)
    low, high = axes[0].get_xlim()
    axes[0].set_xlim(low, high * (high / low) ** 0.15)
    same_limits(axes)
    figure.draw_without_rendering()
    for place, panel in zip(axes, found, strict=True):
        ends = [(line[-1].pairs, gains[id(line[-1])].mean, language_name(code)) for code, line in panel.lines.items()]
        name_ends(place, ends)
    return Plot("shots", "Gain against shots", caption, run_ids(candidates), figure)


def _panels(candidates: Sequence[Candidate], field: str, x: Callable[[Candidate], int]) -> list[_Panel]:
    """Return a panel per method and setting except `field`, with the lines that have two different `x`."""
    found: dict[tuple[Method, Setting], dict[str, list[Candidate]]] = {}
    for candidate in sorted(candidates, key=x):
        rest = tuple(pair for pair in candidate.setting if pair[0] != field)
        method = candidate.method
        if field == "shots":  # few pairs and all pairs are on one line
            method = replace(method, kind=FEW_SHOT, shots=None)
        found.setdefault((method, rest), {}).setdefault(candidate.language, []).append(candidate)
    kept = []
    for (method, rest), lines in sorted(found.items(), key=lambda item: (item[0][0].order, str(item[0][1]))):
        own = {code: line for code, line in sorted(lines.items()) if any(x(a) != x(b) for a, b in pairwise(line))}
        kept += [_Panel(method, rest, own)] if own else []
    return kept


def _titles(found: Sequence[_Panel]) -> dict[int, str]:
    """Return the title of each panel: its method, and the settings that differ between its panels."""
    labels = method_labels(panel.method for panel in found)
    titles = {}
    for panel in found:
        alike = [other for other in found if other.method == panel.method]
        said = [f"{panel.first.pairs:,} pairs"] if len({other.first.pairs for other in alike}) > 1 else []
        same_size = [other.setting for other in alike if other.first.pairs == panel.first.pairs]
        different = [name for name in varying(same_size) if name not in _SIZES]
        said += [f"{name.replace('_', ' ')} {setting_text(name, dict(panel.setting)[name])}" for name in different]
        titles[id(panel)] = ", ".join([labels[panel.method], *said])
    return titles


def _broken(spec: str, most: int) -> str:
    """Return an adapter's spec in lines of at most `most` letters, which end after its signs."""
    return re.sub(rf"(.{{1,{most}}})((?<=[+,=/])|$)", r"\1\n", spec).strip()


def _all_candidates(found: Sequence[_Panel]) -> list[Candidate]:
    return [candidate for panel in found for line in panel.lines.values() for candidate in line]


def _trainable(candidate: Candidate) -> int:
    return candidate.runs[0].adapter.trainable
