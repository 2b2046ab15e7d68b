"""The heat map of a grid: gain by learning rate and weight of the alignment, a panel a language and route."""

from __future__ import annotations

import math
from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from pecl.plots.estimates import (
    Estimate,
    Result,
    Setting,
    cell_key,
    cells,
    estimate,
    language_name,
    run_ids,
    seeds_text,
    validation,
)
from pecl.plots.settings import plot_settings
from pecl.plots.style import COLUMN, NotDrawn, Plot, panels, styled

_COLOURS = "PuOr"  # diverging, told apart by colour-blind readers; white is no gain
_ACROSS = 2  # panels beside each other


def draw_heat_map(results: Sequence[Result]) -> list[Plot]:
    """Return a plot a setting: gain on the test part by lambda and lr; the cell that validation chose is framed."""
    return plot_settings(results, _heat_map)


@styled
def _heat_map(setting: Setting, runs: list[Result], _: Sequence[Result]) -> Plot:
    grids = _grids(runs)
    if not grids:
        raise NotDrawn("no language and route was trained with two learning rates and two weights of the alignment")
    gains = {key: {place: estimate(cell, "gain") for place, cell in grid.items()} for key, grid in grids.items()}
    shown = [one for grid in gains.values() for one in grid.values()]
    seeds = seeds_text(seed for one in shown for seed in one.seeds)
    caption = (
        f"Gain in mean R@1 of both directions on the test part, percentage points (mean over seeds); {setting.text()}; "
        f"{seeds}. Framed: chosen by validation."
    )
    across = min(_ACROSS, len(grids))
    rows = math.ceil(len(grids) / across)
    most = max(abs(one.mean) for one in shown) * 100 or 1.0
    figure, axes = panels(2.1, caption, across, rows, COLUMN * across)
    for place, (key, grid) in zip(axes, grids.items(), strict=False):
        _panel(place, gains[key], grid, most)
        language, route, train_on, module, *_rest = key
        place.set_title(
            f"{language_name(language)}, {route}, {module}" + ("" if train_on == "pairs" else f"\n{train_on}")
        )
    for unused in axes[len(grids) :]:
        unused.set_axis_off()
    scale = mpl.cm.ScalarMappable(mpl.colors.Normalize(-most, most), _COLOURS)
    figure.colorbar(scale, ax=axes, label="gain, percentage points", shrink=0.9, pad=0.02)
    return Plot("heat-map", "Gain by learning rate and weight of the alignment", caption, run_ids(shown), figure)


def _grids(runs: Sequence[Result]) -> dict[tuple, dict[tuple[float, float], list[Result]]]:
    """Return for each language, route and all else that is not lr or lambda: (lr, lambda) -> runs."""
    found: dict[tuple, dict[tuple[float, float], list[Result]]] = {}
    for cell in cells(runs):
        config = cell[0]["config"]
        key = (config["language"], config["route"], config["train_on"], cell[0]["adapter"]["spec"])
        rest = cell_key(cell[0], "lr", "alignment_weight")
        found.setdefault((*key, repr(rest)), {})[config["lr"], config["alignment_weight"]] = cell
    return {
        key: grid
        for key, grid in sorted(found.items())
        if all(len({place[axis] for place in grid}) > 1 for axis in (0, 1))
    }


def _panel(
    axes: Axes, gains: dict[tuple[float, float], Estimate], grid: dict[tuple[float, float], list[Result]], most: float
) -> None:
    rates = sorted({rate for rate, _ in gains})
    weights = sorted({weight for _, weight in gains})
    values = np.full((len(weights), len(rates)), np.nan)  # (lambda, lr)
    for (rate, weight), one in gains.items():
        values[weights.index(weight), rates.index(rate)] = one.mean * 100
    axes.imshow(values, cmap=_COLOURS, vmin=-most, vmax=most, aspect="auto", origin="lower")
    for (row, column), value in np.ndenumerate(values):
        missing = np.isnan(value)
        dark = not missing and abs(value) > 0.65 * most
        axes.text(column, row, "not run" if missing else f"{value:+.1f}", ha="center", va="center", size=7.5,
                  color="white" if dark else "black")  # fmt: skip
    rate, weight = max(sorted(grid), key=lambda place: validation(grid[place]))
    corner = (rates.index(rate) - 0.5, weights.index(weight) - 0.5)
    axes.add_patch(Rectangle(corner, 1, 1, fill=False, edgecolor="black", linewidth=2, clip_on=False, zorder=3))
    axes.set_xticks(range(len(rates)), [_short(rate) for rate in rates])
    axes.set_yticks(range(len(weights)), [_short(weight) for weight in weights])
    axes.set(xlabel="learning rate", ylabel="weight of the alignment, λ")
    axes.grid(visible=False)


def _short(value: float) -> str:
    """Return 5e-5 for 5e-05 and for 0.00005, 0.03 for 0.03."""
    return f"{value:g}" if value == 0 or value >= 1e-3 else np.format_float_scientific(value, trim="-", exp_digits=1)
