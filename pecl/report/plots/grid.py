"""The heat map of a grid: gain by learning rate and weight of the alignment, a panel per language and method."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.patches import Rectangle

from pecl.config import ExperimentConfig
from pecl.languages import language_name
from pecl.report.methods import method_labels, methods_remark
from pecl.report.plots.estimates import SCORE, beyond_noise, for_each_group, run_ids, where_text
from pecl.report.plots.style import COLUMN, NotDrawn, Plot, panels
from pecl.report.tables import Candidate, Group, candidates_by_method
from pecl.report.tables.candidates import by_gain
from pecl.report.tables.groups import grouped
from pecl.report.tables.table import seeds_text
from pecl.results.result import Result

_COLOURS = "PuOr"  # diverging, told apart by colour-blind readers; white: gain 0
_WITHIN_NOISE = "#d4d4d4"
_ACROSS = 3  # panels next to each other
Place = tuple[float, float]  # (lr, lambda)


@for_each_group
def draw_heat_map(group: Group, runs: list[Result], _: Sequence[Result]) -> Plot:
    """Draw the gain on the test part by lambda and lr; the choice of validation is framed."""
    grids = _grids(runs)
    codes = by_gain(candidate for grid in grids.values() for candidate in grid.values())
    grids = dict(sorted(grids.items(), key=lambda item: codes.index(item[0][0])))
    if not grids:
        raise NotDrawn("no language and route was trained with two learning rates and two weights of the alignment")
    chosen = {_panel_key(candidate): candidate for candidate in candidates_by_method(runs)}
    candidates = [candidate for grid in grids.values() for candidate in grid.values()]
    caption = (
        f"Gain in {group.metric} on the test part, percentage points, mean over seeds; "
        f"{where_text(group, (candidate.captions for candidate in candidates))}; "
        f"{seeds_text(seed for one in candidates for seed in one.seeds)}. "
        "Grey: within noise, the 95 % bootstrap interval over test items holds 0; colours on one scale in all panels. "
        "Framed: chosen by validation. "
        f"{methods_remark(candidate.method for candidate in candidates)}"
    )
    methods = {candidate.method for candidate in candidates}
    across = min(_ACROSS, len(methods) if len(methods) > 1 else len(grids))  # a row per language, where that fits
    most = max(abs(candidate.gain) for candidate in candidates) * 100 or 1.0
    figure, axes = panels(1.45, caption, across, math.ceil(len(grids) / across), COLUMN * min(across, 2))
    titles = _titles([next(iter(grid.values())) for grid in grids.values()])
    for place, (axis, (key, grid)) in enumerate(zip(axes, grids.items(), strict=False)):
        _panel(axis, grid, chosen[key].config, most)
        axis.set(
            title=titles[place],
            xlabel="learning rate" if place >= len(grids) - across else "",  # equal labels are only at the edges
            ylabel="" if place % across else "weight λ",
        )
    for unused in axes[len(grids) :]:
        unused.set_axis_off()
    scale = ScalarMappable(Normalize(-most, most), _COLOURS)
    figure.colorbar(scale, ax=axes, label="gain, points", shrink=0.9, pad=0.02)
    title = f"Gain in {SCORE} by learning rate and weight of the alignment"
    return Plot("heat-map", title, caption, run_ids(candidates), figure)


def _grids(runs: Sequence[Result]) -> dict[tuple, dict[Place, Candidate]]:
    """Return (lr, lambda) -> candidate for each language, method and setting in which both take two values.

    Validation chooses among candidates that differ in other searched fields, such as the number of epochs.
    """
    by_place = grouped(runs, lambda result: (result.config.lr, result.config.alignment_weight))
    found: dict[tuple, dict[Place, Candidate]] = {}
    for place, own in sorted(by_place.items()):
        for candidate in candidates_by_method(own):
            found.setdefault(_panel_key(candidate), {})[place] = candidate
    return {
        key: grid
        for key, grid in sorted(found.items(), key=str)
        if all(len(set(axis)) > 1 for axis in zip(*grid, strict=True))
    }


def _panel_key(candidate: Candidate) -> tuple:
    return candidate.language, candidate.method.order, candidate.setting


def _titles(candidates: Sequence[Candidate]) -> list[str]:
    """Return language and method of each panel, and below them the adapter where panels differ in it."""
    adapters = [one.runs[0].adapter.spec for one in candidates]
    names = method_labels(one.method for one in candidates)
    heads = [f"{language_name(one.language)}, {names[one.method]}" for one in candidates]
    below = adapters if len(set(adapters)) > 1 else [""] * len(adapters)
    return [f"{head}\n{rest}" if rest else head for head, rest in zip(heads, below, strict=True)]


def _panel(axes: Axes, grid: dict[Place, Candidate], chosen: ExperimentConfig, most: float) -> None:
    rates, weights = (sorted(set(values)) for values in zip(*grid, strict=True))
    noise = {place for place, candidate in grid.items() if not beyond_noise(candidate)}
    values = np.full((len(weights), len(rates)), np.nan)  # (lambda, lr)
    for (rate, weight), candidate in grid.items():
        values[weights.index(weight), rates.index(rate)] = candidate.gain * 100
    axes.imshow(values, cmap=_COLOURS, vmin=-most, vmax=most, aspect="auto", origin="lower")
    for rate, weight in noise:
        corner = (rates.index(rate) - 0.5, weights.index(weight) - 0.5)
        axes.add_patch(Rectangle(corner, 1, 1, facecolor=_WITHIN_NOISE, edgecolor="none", gid="noise"))
    for (row, column), value in np.ndenumerate(values):
        text = "not run" if np.isnan(value) else f"{value:+.1f}"
        quiet = (rates[column], weights[row]) in noise
        colour = "white" if abs(value) > 0.65 * most and not quiet else "black"  # a comparison with nan is false
        axes.text(column, row, text, ha="center", va="center", size=7.5, color=colour)
    corner = (rates.index(chosen.lr) - 0.5, weights.index(chosen.alignment_weight) - 0.5)
    axes.add_patch(Rectangle(corner, 1, 1, fill=False, edgecolor="black", linewidth=2, clip_on=False, zorder=3))
    axes.set_xticks(range(len(rates)), [_short(rate) for rate in rates])
    axes.set_yticks(range(len(weights)), [_short(weight) for weight in weights])
    axes.grid(visible=False)


def _short(value: float) -> str:
    """Return 5e-5 for 5e-05 and for 0.00005, 0.03 for 0.03."""
    return f"{value:g}" if value == 0 or value >= 1e-3 else np.format_float_scientific(value, trim="-", exp_digits=1)
