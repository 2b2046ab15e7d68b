"""Recall against the number of trained parameters, and gain against the number of shots."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from pecl.languages import language_name
from pecl.report.colours import route_label, text_remark
from pecl.report.plots.estimates import SCORE, by_gain, describe, gain, run_ids, trained, zero_shot
from pecl.report.plots.groups import plot_groups, trainings, with_names
from pecl.report.plots.style import GREY, NotDrawn, Plot, look, name_ends, panels, same_limits, styled
from pecl.report.tables import Candidate, Group, chosen_candidates, group_of
from pecl.results.result import Result


@dataclass(frozen=True)
class _Panel:
    """One route (and all else that is equal): language -> candidates by x, two or more in each language."""

    title: str
    route: str
    lines: dict[str, list[Candidate]]


def draw_parameters(results: Sequence[Result]) -> list[Plot]:
    """Return a plot a group: recall after training of each adapter, by its trained parameters, a panel a language."""
    return plot_groups(results, _parameters)


def draw_shots(results: Sequence[Result]) -> list[Plot]:
    """Return a plot for each data set and tower: gain against the number of training pairs, a line a language.

    The gallery shrinks as shots grow, so recalls do not compare, and its size is written below each number of shots.
    """
    families: dict[Group, list[Candidate]] = {}
    for candidate in chosen_candidates(trainings(results)):
        families.setdefault(replace(group_of(candidate.runs[0]), gallery_size=None), []).append(candidate)
    found = {
        family: _panels(candidates, "shots", lambda candidate: candidate.pairs)
        for family, candidates in families.items()
    }
    plots = [(family, _draw_shots(family, own)) for family, own in found.items() if own]
    if not plots:
        raise NotDrawn("no language and route was trained with two numbers of shots")
    return with_names(plots)


@styled
def _parameters(group: Group, runs: list[Result], _: Sequence[Result]) -> Plot:
    found = _panels(chosen_candidates(runs), "adapter", _trainable)
    if not found:
        raise NotDrawn("no language and route was trained with adapters of two sizes")
    candidates = _all_candidates(found)
    drawn = [(panel, code, panel.lines[code]) for panel in found for code in by_gain(_all_candidates([panel]))]
    drawn = [(panel, code, line) for panel, code, line in drawn if line]
    points = {id(one): trained(one) for one in candidates}
    before = {id(line): zero_shot(line[0].runs[0]) for _, _, line in drawn}
    shown = [*before.values(), *points.values()]
    caption = (
        "A point an adapter, the one with fewest trained parameters first; dotted: zero-shot; all panels on one axis. "
        f"Candidates chosen by validation. {describe(group, candidates, shown)}"
        f"{text_remark([panel.route for panel in found])}"
    )
    tallest = max(len(line) for _, _, line in drawn)
    figure, axes = panels(0.75 + 0.17 * tallest, caption, rows=len(drawn))
    for place, (panel, code, line) in zip(axes, drawn, strict=True):
        place.axvline(before[id(line)].mean, color=GREY, linestyle=":", linewidth=0.9)
        for y, one in enumerate(line):
            point = points[id(one)]
            style = look(panel.route, linestyle="none", elinewidth=0.7)
            place.errorbar(point.mean, y, xerr=point.error, **style)
        place.set_yticks(range(len(line)), [f"{_adapter(one)}  {_trainable(one):,}" for one in line])
        place.set(ylim=(tallest - 0.4, -0.6), title=f"{language_name(code)}, {route_label(panel.route)}")
        place.grid(axis="y", visible=False)
    axes[-1].set_xlabel(SCORE)
    same_limits(axes)
    return Plot("parameters", "Recall by module and trained parameters", caption, run_ids(shown), figure)


@styled
def _draw_shots(family: Group, found: list[_Panel]) -> Plot:
    candidates = _all_candidates(found)
    galleries = {candidate.pairs: group_of(candidate.runs[0]).gallery_size for candidate in candidates}
    ticks = sorted(galleries)
    gains = {id(candidate): gain(candidate).scaled(100) for candidate in candidates}
    shown = list(gains.values())
    caption = (
        "Gains, each on the gallery of its own number of shots; candidates chosen by validation; all panels on the "
        f"same axes. {describe(family, candidates, shown)}"
    )
    figure, axes = panels(2.3, caption, rows=len(found))
    for place, panel in zip(axes, found, strict=True):
        place.axhline(0, color=GREY, linewidth=0.8)
        for line in panel.lines.values():
            values = [gains[id(candidate)] for candidate in line]
            errors = [[one.error[side][0] for one in values] for side in (0, 1)]
            style = look(panel.route, elinewidth=0.7)
            place.errorbar([candidate.pairs for candidate in line], [one.mean for one in values], yerr=errors, **style)
        place.set(xscale="log", ylabel=f"gain in {SCORE},\npercentage points", title=panel.title)
        place.set_xticks(ticks, [f"{shots}\n({galleries[shots]:,})" for shots in ticks])
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
    return Plot("shots", "Gain against shots", caption, run_ids(shown), figure)


def _panels(candidates: Sequence[Candidate], field: str, x: Callable[[Candidate], int]) -> list[_Panel]:
    """Return a panel for each route and setting but for `field`, of the lines that have two different `x`."""
    found: dict[tuple, dict[str, list[Candidate]]] = {}
    for candidate in sorted(candidates, key=x):
        rest = tuple(pair for pair in candidate.setting if pair[0] != field)
        found.setdefault((candidate.route, *rest), {}).setdefault(candidate.language, []).append(candidate)
    kept = []
    for _, lines in sorted(found.items(), key=lambda item: str(item[0])):
        own = {code: line for code, line in sorted(lines.items()) if any(x(a) != x(b) for a, b in pairwise(line))}
        if own:
            first = next(iter(own.values()))[0]
            said = [first.route, *([] if field == "adapter" else [_adapter(first)])]
            said += [] if first.config.train_on == "pairs" else [first.config.train_on]
            kept.append(_Panel(", ".join(said), _route_of(first), own))
    return kept


def _route_of(candidate: Candidate) -> str:
    """Return the name that gives a route its colour: with the text that it was trained on, where it has one."""
    text = candidate.config.train_on
    return candidate.route if text == "pairs" else f"{candidate.route}, {text}"


def _all_candidates(found: Sequence[_Panel]) -> list[Candidate]:
    return [candidate for panel in found for line in panel.lines.values() for candidate in line]


def _trainable(candidate: Candidate) -> int:
    return candidate.runs[0].adapter.trainable


def _adapter(candidate: Candidate) -> str:
    return candidate.runs[0].adapter.spec
