"""The heat map of a grid: gain by learning rate and weight of the alignment, a panel per language and method."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.patches import Rectangle

from pecl.config import ExperimentConfig
from pecl.data.languages import language_name
from pecl.report.methods import method_labels, methods_remark
from pecl.report.plots.estimates import SCORE, run_ids, where_text
from pecl.report.plots.style import COLUMN, NotDrawn, Plot, panels
from pecl.report.tables import Candidate, Group, candidates_by_method
from pecl.report.tables.candidates import by_gain
from pecl.report.tables.groups import grouped
from pecl.report.tables.table import seeds_text
from pecl.results.result import Result
from pecl.retrieval.measures import bootstrap_interval

_COLOURS = "PuOr"  # diverging, told apart by colour-blind readers; white: gain 0
_WITHIN_NOISE = "#d4d4d4"
_ACROSS = 3  # panels next to each other
Place = tuple[float, float]  # (lr, lambda)


def draw_heat_map(group: Group, runs: list[Result], _: Sequence[Result]) -> Plot:
    """Draw the gain on the test part by lambda and lr; the choice of validation is framed."""
    grids = _grids(runs)
    if not grids:
        raise NotDrawn("no language and route was trained with two learning rates and two weights of the alignment")
    candidates = [candidate for grid in grids.values() for candidate in grid.values()]
    codes, methods = by_gain(candidates), method_labels(one.method for one in candidates)
    chosen = {_panel_key(candidate): candidate for candidate in candidates_by_method(runs)}
    caption = (
        f"Gain in {group.metric} on the test part, percentage points, mean over seeds; "
        f"{where_text(group, candidates)}; {seeds_text(seed for one in candidates for seed in one.seeds)}. "
        "Grey: within noise, the 95 % bootstrap interval over test items holds 0; colours on one scale in all panels. "
        f"Framed: chosen by validation. {methods_remark(methods)}"
    )
    across = min(_ACROSS, len(methods) if len(methods) > 1 else len(grids))  # a row per language, where that fits
    most = max(abs(candidate.gain) for candidate in candidates) * 100 or 1.0
    figure, axes = panels(1.45, caption, across, math.ceil(len(grids) / across), COLUMN * min(across, 2))
    several = len({one.runs[0].adapter.spec for one in candidates}) > 1
    order = sorted(grids, key=lambda key: codes.index(key[0]))
    for place, (axis, key) in enumerate(zip(axes, order, strict=False)):
        _panel(axis, grids[key], chosen[key].config, most)
        first = next(iter(grids[key].values()))
        title = f"{language_name(first.language)}, {methods[first.method]}"
        axis.set(
            title=f"{title}\n{first.runs[0].adapter.spec}" if several else title,
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
    found: dict[tuple, dict[Place, Candidate]] = {}
    by_place = grouped(runs, lambda result: (result.config.lr, result.config.alignment_weight))
    for place, own in sorted(by_place.items()):
        for candidate in candidates_by_method(own):
            found.setdefault(_panel_key(candidate), {})[place] = candidate
    whole = (key for key, grid in found.items() if all(len(set(axis)) > 1 for axis in zip(*grid, strict=True)))
    return {key: found[key] for key in sorted(whole, key=str)}


def _panel_key(candidate: Candidate) -> tuple:
    return candidate.language, candidate.method.order, candidate.setting


def _panel(axes: Axes, grid: dict[Place, Candidate], chosen: ExperimentConfig, most: float) -> None:
    rates, weights = (sorted(set(values)) for values in zip(*grid, strict=True))
    found = [[grid.get((rate, weight)) for rate in rates] for weight in weights]
    values = np.array([[one.gain * 100 if one else np.nan for one in row] for row in found])  # (lambda, lr)
    axes.imshow(values, cmap=_COLOURS, vmin=-most, vmax=most, aspect="auto", origin="lower")
    for (row, column), value in np.ndenumerate(values):
        one = found[row][column]
        noise = one is not None and bootstrap_interval(one.gains)[0] <= 0 <= bootstrap_interval(one.gains)[1]
        if noise:
            grey = Rectangle((column - 0.5, row - 0.5), 1, 1, facecolor=_WITHIN_NOISE, edgecolor="none", gid="noise")
            axes.add_patch(grey)
        colour = "white" if abs(value) > 0.65 * most and not noise else "black"  # a comparison with nan is false
        text = f"{value:+.1f}" if one else "not run"
        axes.text(column, row, text, ha="center", va="center", size=7.5, color=colour)
    corner = (rates.index(chosen.lr) - 0.5, weights.index(chosen.alignment_weight) - 0.5)
    axes.add_patch(Rectangle(corner, 1, 1, fill=False, edgecolor="black", linewidth=2, clip_on=False, zorder=3))
    axes.set_xticks(range(len(rates)), [_short(rate) for rate in rates])
    axes.set_yticks(range(len(weights)), [_short(weight) for weight in weights])
    axes.grid(visible=False)


def _short(value: float) -> str:
    """Return 5e-5 for 5e-05 and for 0.00005, 0.03 for 0.03."""
    return f"{value:g}" if value == 0 or value >= 1e-3 else np.format_float_scientific(value, trim="-", exp_digits=1)
