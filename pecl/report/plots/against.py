"""Recall against the number of trained parameters, and gain against the number of shots."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from pecl.languages import language_name
from pecl.report.plots.estimates import SCORE, Estimate, describe, gain, run_ids, trained, zero_shot
from pecl.report.plots.groups import plot_groups, trainings, with_names
from pecl.report.plots.style import GREY, MARKERS, NotDrawn, Plot, legend, look, panels, styled
from pecl.report.tables import Cell, Group, chosen_cells, group_of
from pecl.results.result import Result


@dataclass(frozen=True)
class _Panel:
    """The cells of one route (and all else that is equal): language -> cells by x, each language with two or more."""

    title: str
    lines: dict[str, list[Cell]]


def draw_parameters(results: Sequence[Result]) -> list[Plot]:
    """Return a plot a group: recall after training against the number of trained parameters, a line a language."""
    return plot_groups(results, _parameters)


def draw_shots(results: Sequence[Result]) -> list[Plot]:
    """Return a plot for each data set and tower: gain against the number of training pairs, a line a language.

    The gallery shrinks as shots grow, so recalls do not compare, and its size stands below each number of shots.
    """
    families: dict[Group, list[Cell]] = {}
    for cell in chosen_cells(trainings(results)):
        families.setdefault(replace(group_of(cell.runs[0]), gallery_size=None), []).append(cell)
    found = {family: _panels(cells, "shots", lambda cell: cell.pairs) for family, cells in families.items()}
    plots = [(family, _draw_shots(family, own)) for family, own in found.items() if own]
    if not plots:
        raise NotDrawn("no language and route was trained with two numbers of shots")
    return with_names(plots)


@styled
def _parameters(group: Group, runs: list[Result], _: Sequence[Result]) -> Plot:
    found = _panels(chosen_cells(runs), "adapter", _trainable)
    if not found:
        raise NotDrawn("no language and route was trained with modules of two sizes")
    cells = _all_cells(found)
    languages = _languages(found)
    modules = sorted({(_trainable(cell), _module(cell)) for cell in cells})
    marker = {name: MARKERS[index % len(MARKERS)] for index, (_, name) in enumerate(modules)}
    drawn = [
        (index, code, [(cell, trained(cell)) for cell in line], zero_shot(line[0].runs[0]))
        for index, panel in enumerate(found)
        for code, line in panel.lines.items()
    ]
    shown: list[Estimate] = [one for *_, line, before in drawn for one in (before, *(after for _, after in line))]
    caption = f"Dotted: zero-shot. Cells chosen by validation. {describe(group, cells, shown)}"
    figure, axes = panels(2.5, caption, rows=len(found))
    for index, code, line, before in drawn:
        style = look(languages.index(code)) | {"marker": ""}
        x, y = [_trainable(cell) for cell, _ in line], [after.mean for _, after in line]
        axes[index].plot(x, y, **style, label=language_name(code))
        axes[index].axhline(before.mean, color=style["color"], linestyle=":", linewidth=0.9)
        for cell, after in line:
            look_of = {"color": style["color"], "marker": marker[_module(cell)]}
            axes[index].errorbar(_trainable(cell), after.mean, yerr=after.error, **look_of, elinewidth=0.7)
    for place, panel in zip(axes, found, strict=True):
        place.set(xscale="log", ylabel=SCORE, title=panel.title)
    axes[-1].set_xlabel("trained parameters of one language")
    for count, name in modules:
        axes[0].plot([], [], color=GREY, linestyle="", marker=marker[name], label=f"{name}: {count:,}")
    legend(figure, axes)
    return Plot("parameters", "Recall against trained parameters", caption, run_ids(shown), figure)


@styled
def _draw_shots(family: Group, found: list[_Panel]) -> Plot:
    cells = _all_cells(found)
    languages = _languages(found)
    galleries = {cell.pairs: group_of(cell.runs[0]).gallery_size for cell in cells}
    ticks = sorted(galleries)
    gains = {id(cell): gain(cell).scaled(100) for cell in cells}
    shown = list(gains.values())
    caption = (
        "Gains, each on the gallery of its own number of shots; cells chosen by validation. "
        f"{describe(family, cells, shown)}"
    )
    figure, axes = panels(2.3, caption, rows=len(found))
    for place, panel in zip(axes, found, strict=True):
        place.axhline(0, color=GREY, linewidth=0.8)
        for code, line in panel.lines.items():
            values = [gains[id(cell)] for cell in line]
            errors = [[one.error[side][0] for one in values] for side in (0, 1)]
            style = look(languages.index(code)) | {"label": language_name(code), "elinewidth": 0.7}
            place.errorbar([cell.pairs for cell in line], [one.mean for one in values], yerr=errors, **style)
        place.set(xscale="log", ylabel=f"gain in {SCORE},\npercentage points", title=panel.title)
        place.set_xticks(ticks, [f"{shots}\n({galleries[shots]:,})" for shots in ticks])
        place.minorticks_off()
    axes[-1].set_xlabel("training pairs (gallery)")
    legend(figure, axes, columns=3)
    return Plot("shots", "Gain against shots", caption, run_ids(shown), figure)


def _panels(cells: Sequence[Cell], field: str, x: Callable[[Cell], int]) -> list[_Panel]:
    """Return a panel for each route and setting but for `field`, of the lines that have two different `x`."""
    found: dict[tuple, dict[str, list[Cell]]] = {}
    for cell in sorted(cells, key=x):
        rest = tuple(pair for pair in cell.setting if pair[0] != field)
        found.setdefault((cell.route, *rest), {}).setdefault(cell.language, []).append(cell)
    kept = []
    for _, lines in sorted(found.items(), key=lambda item: str(item[0])):
        own = {code: line for code, line in sorted(lines.items()) if any(x(a) != x(b) for a, b in pairwise(line))}
        if own:
            first = next(iter(own.values()))[0]
            said = [first.route, *([] if field == "adapter" else [_module(first)])]
            said += [] if first.config.train_on == "pairs" else [first.config.train_on]
            kept.append(_Panel(", ".join(said), own))
    return kept


def _all_cells(found: Sequence[_Panel]) -> list[Cell]:
    return [cell for panel in found for line in panel.lines.values() for cell in line]


def _languages(found: Sequence[_Panel]) -> list[str]:
    return sorted({code for panel in found for code in panel.lines})


def _trainable(cell: Cell) -> int:
    return cell.runs[0].adapter.trainable


def _module(cell: Cell) -> str:
    return cell.runs[0].adapter.spec
