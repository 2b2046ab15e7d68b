"""Recall against the number of trained parameters, and gain against the number of shots."""

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import accumulate
from textwrap import fill

from pecl.data.languages import language_name
from pecl.report.methods import FEW_SHOT, Method, method_labels, methods_remark
from pecl.report.plots.estimates import SCORE, describe, error, gain, run_ids, trained
from pecl.report.plots.style import GREY, NotDrawn, Plot, look, name_ends, panels, same_limits
from pecl.report.tables import Candidate, Group, candidates_by_method, group_of
from pecl.report.tables.candidates import Setting, by_gain, varying
from pecl.report.tables.groups import grouped
from pecl.report.tables.scores import setting_text
from pecl.results.result import Result

_LINE, _APART = 0.115, 0.07  # inches: a line of an adapter's name, and the space between two names
_NAMES = 6.5  # points, of adapters' names
_SIZES = frozenset({"shots", "train_size", "text", "train_on", "photographs"})  # named by methods and pairs
# Candidates that are equal except in language and x: language -> candidates by x, two or more per language
_Panels = dict[tuple[Method, Setting], dict[str, list[Candidate]]]


def draw_shots(family: Group, runs: list[Result], _: Sequence[Result]) -> Plot:
    """Draw gain against the number of training pairs, a line per language.

    The gallery shrinks as shots grow, so recalls do not compare, and its size is written below each number of shots.
    """
    found = _panels(candidates_by_method(runs), "shots", lambda candidate: candidate.pairs)
    if not found:
        raise NotDrawn("no language and route was trained with two numbers of shots")
    candidates = _all_candidates(found)
    galleries = {candidate.pairs: group_of(candidate.runs[0]).gallery_size for candidate in candidates}
    caption = (
        "Gains, each on the gallery of its own number of shots; candidates chosen by validation; all panels on the "
        f"same axes. {describe(family, candidates)}"
    )
    figure, axes = panels(2.3, caption, rows=len(found))
    ends = []
    for place, ((method, _rest), lines), title in zip(axes, found.items(), _titles(found), strict=True):
        place.axhline(0, color=GREY, linewidth=0.8)
        names = []
        for code, line in lines.items():
            pairs, gains = [one.pairs for one in line], [100 * gain(one) for one in line]
            bars = [[error(one)[side, 0] for one in gains] for side in (0, 1)]
            place.errorbar(pairs, [mean for mean, _, _ in gains], yerr=bars, **look(method, elinewidth=0.7))
            names.append((pairs[-1], gains[-1][0], language_name(code)))
        ends.append(names)
        spec = _broken(next(iter(lines.values()))[0].runs[0].adapter.spec, 40)
        place.set(xscale="log", ylabel=f"gain in {SCORE},\npercentage points", title=f"{fill(title, 40)}\n{spec}")
        place.set_xticks(sorted(galleries), [f"{shots:,}\n({galleries[shots]:,})" for shots in sorted(galleries)])
        place.minorticks_off()
    axes[-1].set_xlabel("training pairs (gallery)")
    low, high = min(place.get_xlim()[0] for place in axes), max(place.get_xlim()[1] for place in axes)
    axes[0].set_xlim(low, high * (high / low) ** 0.15)
    same_limits(axes)
    figure.draw_without_rendering()
    for place, names in zip(axes, ends, strict=True):
        name_ends(place, names)
    return Plot("shots", "Gain against shots", caption, run_ids(candidates), figure)


def draw_parameters(group: Group, runs: list[Result], _: Sequence[Result]) -> Plot:
    """Draw recall after training of each adapter, by trained parameters, a panel per language."""
    found = _panels(candidates_by_method(runs), "adapter", _trainable)
    if not found:
        raise NotDrawn("no language and route was trained with adapters of two sizes")
    candidates = _all_candidates(found)
    drawn = [
        (method, f"{language_name(code)}, {title}", lines[code])
        for ((method, _rest), lines), title in zip(found.items(), _titles(found), strict=True)
        for code in by_gain(one for line in lines.values() for one in line)
    ]
    caption = (
        "A point per adapter, fewest trained parameters first; dotted: zero-shot; all panels on one axis. Candidates "
        f"chosen by validation. {describe(group, candidates, plain=True)} {methods_remark(key[0] for key in found)}"
    )
    names = [[f"{_broken(one.runs[0].adapter.spec, 24)}  {_trainable(one):,}" for one in line] for *_, line in drawn]
    rows = [[_LINE * (name.count("\n") + 1) + _APART for name in own] for own in names]  # inches each
    figure, axes = panels([0.75 + sum(own) for own in rows], caption)
    for place, (method, title, line), said, own in zip(axes, drawn, names, rows, strict=True):
        place.axvline(line[0].zero_shot, color=GREY, linestyle=":", linewidth=0.9)
        heights = [end - row / 2 for end, row in zip(accumulate(own), own, strict=True)]
        for y, one in zip(heights, line, strict=True):
            point = trained(one)
            place.errorbar(point[0], y, xerr=error(point), **look(method, linestyle="none", elinewidth=0.7))
        place.set_yticks(heights, said, fontsize=_NAMES)
        place.set(ylim=(sum(own), 0), title=fill(title, 28))
        place.grid(axis="y", visible=False)
    axes[-1].set_xlabel(SCORE)
    same_limits(axes, up=False)
    return Plot("parameters", "Recall by module and trained parameters", caption, run_ids(candidates), figure)


def _panels(candidates: Sequence[Candidate], field: str, x: Callable[[Candidate], int]) -> _Panels:
    """Return a panel per method and setting except `field`, with the lines that have two different `x`."""

    def key(one: Candidate) -> tuple[Method, Setting]:
        # few pairs and all pairs are on one line
        method = replace(one.method, kind=FEW_SHOT, shots=None) if field == "shots" else one.method
        return method, tuple(pair for pair in one.setting if pair[0] != field)

    found = sorted(
        grouped(sorted(candidates, key=x), key).items(), key=lambda item: (item[0][0].order, str(item[0][1]))
    )
    lines = {rest: grouped(own, lambda one: one.language) for rest, own in found}
    kept = {
        rest: {code: line for code, line in sorted(own.items()) if len(set(map(x, line))) > 1}
        for rest, own in lines.items()
    }
    return {rest: own for rest, own in kept.items() if own}


def _titles(found: _Panels) -> list[str]:
    """Return the title of each panel: its method, and the numbers of pairs and settings that differ between panels."""
    labels = method_labels(method for method, _ in found)
    pairs = [next(iter(lines.values()))[0].pairs for lines in found.values()]
    names = [name for name in varying(setting for _, setting in found) if name not in {*_SIZES, "adapter"}]
    titles = []
    for (method, setting), own in zip(found, pairs, strict=True):
        said = [f"{own:,} pairs"] if len(set(pairs)) > 1 and method.text else []
        said += [f"{name.replace('_', ' ')} {setting_text(name, dict(setting)[name])}" for name in names]
        titles.append(", ".join([labels[method], *said]))
    return titles


def _broken(spec: str, most: int) -> str:
    """Return an adapter's spec in lines of at most `most` letters, which end after its signs."""
    return re.sub(rf"(.{{1,{most}}})((?<=[+,=/])|$)", r"\1\n", spec).strip()


def _all_candidates(found: _Panels) -> list[Candidate]:
    return [candidate for lines in found.values() for line in lines.values() for candidate in line]


def _trainable(candidate: Candidate) -> int:
    return candidate.runs[0].adapter.trainable
