"""Recall against the number of trained parameters, and gain against the number of shots."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from pecl.languages import language_name
from pecl.report.plots.estimates import SCORE, Estimate, describe, gain, run_ids, trained, zero_shot
from pecl.report.plots.groups import plot_groups, trainings, with_names
from pecl.report.plots.style import GREY, MARKERS, NotDrawn, Plot, legend, look, panels, styled
from pecl.report.tables import Candidate, Group, chosen_candidates, group_of
from pecl.results.result import Result


@dataclass(frozen=True)
class _Panel:
    """One route (and all else that is equal): language -> candidates by x, two or more in each language."""

    title: str
    lines: dict[str, list[Candidate]]


def draw_parameters(results: Sequence[Result]) -> list[Plot]:
    """Return a plot a group: recall after training against the number of trained parameters, a line a language."""
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
    languages = _languages(found)
    adapters = sorted({(_trainable(candidate), _adapter(candidate)) for candidate in candidates})
    marker = {name: MARKERS[index % len(MARKERS)] for index, (_, name) in enumerate(adapters)}
    drawn = [
        (index, code, [(candidate, trained(candidate)) for candidate in line], zero_shot(line[0].runs[0]))
        for index, panel in enumerate(found)
        for code, line in panel.lines.items()
    ]
    shown: list[Estimate] = [one for *_, line, before in drawn for one in (before, *(after for _, after in line))]
    caption = f"Dotted: zero-shot. Candidates chosen by validation. {describe(group, candidates, shown)}"
    figure, axes = panels(2.5, caption, rows=len(found))
    for index, code, line, before in drawn:
        style = look(languages.index(code), marker="")
        x, y = [_trainable(candidate) for candidate, _ in line], [after.mean for _, after in line]
        axes[index].plot(x, y, **style, label=language_name(code))
        axes[index].axhline(before.mean, color=style["color"], linestyle=":", linewidth=0.9)
        for candidate, after in line:
            look_of = {"color": style["color"], "marker": marker[_adapter(candidate)]}
            axes[index].errorbar(_trainable(candidate), after.mean, yerr=after.error, **look_of, elinewidth=0.7)
    for place, panel in zip(axes, found, strict=True):
        place.set(xscale="log", ylabel=SCORE, title=panel.title)
    axes[-1].set_xlabel("trained parameters of one language")
    for count, name in adapters:
        axes[0].plot([], [], color=GREY, linestyle="", marker=marker[name], label=f"{name}: {count:,}")
    legend(figure, axes)
    return Plot("parameters", "Recall against trained parameters", caption, run_ids(shown), figure)


@styled
def _draw_shots(family: Group, found: list[_Panel]) -> Plot:
    candidates = _all_candidates(found)
    languages = _languages(found)
    galleries = {candidate.pairs: group_of(candidate.runs[0]).gallery_size for candidate in candidates}
    ticks = sorted(galleries)
    gains = {id(candidate): gain(candidate).scaled(100) for candidate in candidates}
    shown = list(gains.values())
    caption = (
        "Gains, each on the gallery of its own number of shots; candidates chosen by validation. "
        f"{describe(family, candidates, shown)}"
    )
    figure, axes = panels(2.3, caption, rows=len(found))
    for place, panel in zip(axes, found, strict=True):
        place.axhline(0, color=GREY, linewidth=0.8)
        for code, line in panel.lines.items():
            values = [gains[id(candidate)] for candidate in line]
            errors = [[one.error[side][0] for one in values] for side in (0, 1)]
            style = look(languages.index(code)) | {"label": language_name(code), "elinewidth": 0.7}
            place.errorbar([candidate.pairs for candidate in line], [one.mean for one in values], yerr=errors, **style)
        place.set(xscale="log", ylabel=f"gain in {SCORE},\npercentage points", title=panel.title)
        place.set_xticks(ticks, [f"{shots}\n({galleries[shots]:,})" for shots in ticks])
        place.minorticks_off()
    axes[-1].set_xlabel("training pairs (gallery)")
    legend(figure, axes, columns=3)
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
            kept.append(_Panel(", ".join(said), own))
    return kept


def _all_candidates(found: Sequence[_Panel]) -> list[Candidate]:
    return [candidate for panel in found for line in panel.lines.values() for candidate in line]


def _languages(found: Sequence[_Panel]) -> list[str]:
    return sorted({code for panel in found for code in panel.lines})


def _trainable(candidate: Candidate) -> int:
    return candidate.runs[0].adapter.trainable


def _adapter(candidate: Candidate) -> str:
    return candidate.runs[0].adapter.spec
