"""Recall against the number of trained parameters, and gain against the number of shots."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from matplotlib.axes import Axes

from pecl.plots.estimates import (
    Estimate,
    Result,
    Setting,
    by_setting,
    chosen_cells,
    describe,
    estimate,
    language_name,
    run_ids,
)
from pecl.plots.settings import plot_settings, trained
from pecl.plots.style import GREY, MARKERS, NotDrawn, Plot, legend, look, panels, styled

Cell = list[Result]  # the runs of a cell, which differ in their seeds


def draw_parameters(results: Sequence[Result]) -> list[Plot]:
    """Return a plot a setting: recall after training against the number of trained parameters, a line a language."""
    return plot_settings(results, _parameters)


def draw_shots(results: Sequence[Result]) -> list[Plot]:
    """Return a plot for each data set and tower: gain against the number of training pairs, a line a language.

    The gallery shrinks as shots grow, so recalls do not compare, and its size stands below each number of shots.
    """
    groups: dict[Setting, list[Result]] = {}
    for setting, runs in by_setting(trained(results)).items():
        groups.setdefault(replace(setting, size=0, captions=0), []).extend(runs)
    plots = [_shots(runs) for runs in groups.values() if any(_shot_series(runs).values())]
    if not plots:
        raise NotDrawn("no language and route was trained with two numbers of shots")
    if len(plots) > 1:
        plots = [replace(plot, name=f"{plot.name}-{number}") for number, plot in enumerate(plots, 1)]
    return plots


@styled
def _parameters(setting: Setting, runs: list[Result], _: Sequence[Result]) -> Plot:
    series = _series(chosen_cells(runs), lambda config: (config["route"], config["train_on"]), _trainable)
    if not series:
        raise NotDrawn("no language and route was trained with modules of two sizes")
    languages = _languages(series)
    every = [cell for lines in series.values() for line in lines.values() for cell in line]
    modules = dict(sorted({cell[0]["adapter"]["spec"]: _trainable(cell) for cell in every}.items(), key=_by_value))
    shown: list[Estimate] = []
    drawn = [
        (panel, code, line, [estimate(cell, "best") for cell in line], estimate(line[0], "zero_shot"))
        for panel, lines in series.items()
        for code, line in lines.items()
    ]
    for *_rest, after, before in drawn:
        shown += [*after, before]
    caption = f"Dotted: zero-shot. Cells chosen by validation. {describe(setting, shown)}"
    figure, axes = panels(2.5, caption, rows=len(series))
    of_panel = dict(zip(series, axes, strict=True))
    for panel, code, line, after, before in drawn:
        style = look(languages.index(code)) | {"marker": ""}
        counts = [_trainable(cell) for cell in line]
        of_panel[panel].plot(counts, [one.mean for one in after], **style, label=language_name(code))
        of_panel[panel].axhline(before.mean, color=style["color"], linestyle=":", linewidth=0.9)
        for cell, one in zip(line, after, strict=True):
            marker = MARKERS[list(modules).index(cell[0]["adapter"]["spec"]) % len(MARKERS)]
            of_panel[panel].errorbar(
                _trainable(cell), one.mean, yerr=one.error, color=style["color"], marker=marker, elinewidth=0.7
            )
    for (route, train_on), place in of_panel.items():
        place.set(xscale="log", ylabel="mean R@1", title=f"{route}" + ("" if train_on == "pairs" else f", {train_on}"))
    axes[-1].set_xlabel("trained parameters of one language")
    for index, (name, count) in enumerate(modules.items()):
        axes[0].plot([], [], color=GREY, linestyle="", marker=MARKERS[index % len(MARKERS)], label=f"{name}: {count:,}")
    legend(figure, axes)
    return Plot("parameters", "Recall against trained parameters", caption, run_ids(shown), figure)


@styled
def _shots(runs: list[Result]) -> Plot:
    series = _shot_series(runs)
    languages = _languages(series)
    sizes = {
        _shots_of(cell): Setting.of(cell[0]) for lines in series.values() for line in lines.values() for cell in line
    }
    values = {key: {code: [estimate(c, "gain").scaled(100) for c in line] for code, line in lines.items()}
              for key, lines in series.items()}  # fmt: skip
    shown = [one for lines in values.values() for line in lines.values() for one in line]
    ticks = sorted(sizes)
    galleries = ", ".join(f"{sizes[shots].size:,}" for shots in ticks)
    setting = next(iter(sizes.values()))
    text = describe(setting, shown, "Gain in mean R@1 of both directions")
    caption = text.replace(setting.text(), _without_size(setting, galleries))
    figure, axes = panels(2.3, caption, rows=len(series))
    for place, ((route, train_on, module), lines) in zip(axes, values.items(), strict=True):
        _zero_line(place)
        for code, line in lines.items():
            at = [_shots_of(cell) for cell in series[route, train_on, module][code]]
            errors = [[one.error[side][0] for one in line] for side in (0, 1)]
            place.errorbar(at, [one.mean for one in line], yerr=errors, **look(languages.index(code)),
                           elinewidth=0.7, label=language_name(code))  # fmt: skip
        place.set(xscale="log", ylabel="gain in mean R@1,\npercentage points", title=f"{route}, {module}")
        place.set_xticks(ticks, [f"{shots}\n({sizes[shots].size:,})" for shots in ticks])
        place.minorticks_off()
    axes[-1].set_xlabel("training pairs (gallery)")
    legend(figure, axes, columns=3)
    return Plot("shots", "Gain against shots", caption, run_ids(shown), figure)


def _shot_series(runs: list[Result]) -> dict[tuple, dict[str, list[Cell]]]:
    by_shots: dict[int, list[Result]] = {}
    for result in runs:
        by_shots.setdefault(result["config"]["shots"], []).append(result)
    chosen = [cell for group in by_shots.values() for cell in chosen_cells(group)]
    return _series(chosen, lambda config: (config["route"], config["train_on"], config["adapter"]), _shots_of)


def _series(
    chosen: Sequence[Cell], panel: Callable[[dict], tuple], x: Callable[[Cell], int]
) -> dict[tuple, dict[str, list[Cell]]]:
    """Return panel -> language -> cells in the order of `x`, of those lines that have two different `x`."""
    found: dict[tuple, dict[str, list[Cell]]] = {}
    for cell in sorted(chosen, key=x):
        config = cell[0]["config"]
        found.setdefault(panel(config), {}).setdefault(config["language"], []).append(cell)
    lines = {
        key: {code: line for code, line in sorted(group.items()) if len({x(cell) for cell in line}) > 1}
        for key, group in sorted(found.items())
    }
    return {key: group for key, group in lines.items() if group}


def _languages(series: dict[tuple, dict[str, list[Cell]]]) -> list[str]:
    return sorted({code for lines in series.values() for code in lines})


def _trainable(cell: Cell) -> int:
    return cell[0]["adapter"]["trainable"]


def _shots_of(cell: Cell) -> int:
    return cell[0]["config"]["shots"]


def _by_value(item: tuple[str, int]) -> int:
    return item[1]


def _without_size(setting: Setting, galleries: str) -> str:
    items = "images" if setting.kind == "images" else "English captions"
    return f"{setting.name}, gallery {galleries} {items}, of which all are tested, tower {setting.tower}"


def _zero_line(axes: Axes) -> None:
    axes.axhline(0, color=GREY, linewidth=0.8)
