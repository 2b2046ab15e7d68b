"""The training of runs: curves of loss and score by step; gain by learning rate and weight of the alignment."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from pecl.config import ExperimentConfig
from pecl.data.languages import language_name
from pecl.report.plots import style
from pecl.report.plots.style import COLUMN, SCORE, NotDrawn, Plot
from pecl.report.tables import Candidate, Group, best_of_methods, candidates_by_method
from pecl.report.tables.candidates import by_gain
from pecl.report.tables.groups import grouped
from pecl.report.tables.methods import method_labels
from pecl.report.tables.table import seeds_text
from pecl.results.result import Result
from pecl.retrieval.measures import bootstrap_interval

_OF_TEXT, _OF_PHOTOGRAPHS = "held-out text R@1", "validation R@1"
_NAMED = 5  # of many languages, so many with the largest gain and so many with the smallest are named
_COLOURS = "PuOr"  # diverging, distinguishable to colour-blind readers; white: gain 0
_WITHIN_NOISE = "#d4d4d4"
_ACROSS = 3  # panels next to each other
Place = tuple[float, float]  # (lr, lambda)


def draw_curves(group: Group, runs: list[Result], _: Sequence[Result]) -> Plot:
    """Draw loss (left) and the score that selected the weights (right), by step."""
    candidates = best_of_methods(runs)
    if all(len(one.chosen_run.curve.loss) < 2 for one in candidates):
        raise NotDrawn("every run has fewer than two validations")
    order = sorted(candidates, key=lambda one: (one.method.order, _score(one) == _OF_TEXT))
    rows = grouped(order, lambda one: (one.method, _score(one)))
    names, remark = method_labels(method for method, _ in rows)
    caption = _caption(group, candidates) + remark
    ordered = [by_gain(own) for own in rows.values()]
    # the candidates whose lines are named: of many, those with the largest and smallest gains
    named = [own if len(own) <= 2 * _NAMED + 2 else own[:_NAMED] + own[-_NAMED:] for own in ordered]
    heights = [max(1.5, 0.6 + 0.14 * len(own)) for own in named]  # so that the names of lines fit
    figure, axes = style.panels(heights, caption, columns=2, width=2 * COLUMN)
    pairs = list(zip(axes[::2], axes[1::2], strict=True))
    for (left, right), (method, score), own, shown in zip(pairs, rows, ordered, named, strict=True):
        for one in own:
            _draw(left, right, one, faint=one not in shown)
        for panel, label in ((left, "training loss"), (right, score)):
            panel.xaxis.set_major_locator(MaxNLocator(5, integer=True))
            panel.margins(x=0.02)
            panel.set(ylabel=label, xlabel="step", title=names[method])
    for score in (_OF_TEXT, _OF_PHOTOGRAPHS):
        if alike := [right for (_, right), (_, own) in zip(pairs, rows, strict=True) if own == score]:
            style.same_limits(alike, across=False)
    figure.draw_without_rendering()  # the sizes of panels are known from here on
    for (left, right), shown in zip(pairs, named, strict=True):
        curves = [(one.language, one.chosen_run) for one in shown]
        style.name_ends(left, [(*run.curve.loss[-1], code) for code, run in curves if run.curve.loss])
        style.name_ends(right, [(*score_curve(run)[-1], code) for code, run in curves])
    runs_shown = tuple(sorted(one.chosen_run.run_id for one in candidates))
    return Plot("training", "Training curves", caption, runs_shown, figure)


def score_curve(run: Result) -> Sequence[tuple[int, float]]:
    """Return (step, score) of the score that selected a run's weights, the plain tower's first.

    With `choose text` it is text-to-text recall of the held-out pairs, otherwise recall on the validation captions. The
    latter curve lacks the plain tower's recall, which is added at step 0.
    """
    recorded = run.curve.val_mean_recall_at_1
    return recorded if run.config.choose == "text" else [(0, run.recall("val", "zero_shot")), *recorded]


def _score(one: Candidate) -> str:
    return _OF_TEXT if one.config.choose == "text" else _OF_PHOTOGRAPHS


def _caption(group: Group, candidates: Sequence[Candidate]) -> str:
    sizes = ", ".join(f"{size:,}" for size in sorted({one.chosen_run.data.split["val"] for one in candidates}))
    scores = [f"{_OF_PHOTOGRAPHS}: {group.metric} among the {sizes} validation captions, at step 0 the plain tower"]
    if any(_score(one) == _OF_TEXT for one in candidates):
        scores.append(f"{_OF_TEXT}: text-to-text recall of held-out pairs, at step 0 the start")
    return (
        "Loss: mean over the steps since the previous evaluation. "
        f"{'. '.join(one[0].upper() + one[1:] for one in scores)}. "
        "Each score has one axis in all rows; ringed: the step whose weights were kept. "
        f"Of many languages, the {_NAMED} with the largest and the {_NAMED} with the smallest gains are named. "
        f"Candidates chosen by validation, one run each. Data: {style.where_text(group, candidates)}; "
        f"{seeds_text(one.chosen_run.config.seed for one in candidates)}. "
    )


def _draw(left: Axes, right: Axes, one: Candidate, faint: bool) -> None:
    run = one.chosen_run
    look = style.look(one.method, marker="", **({"linewidth": 0.5, "alpha": 0.2} if faint else {}))
    for axes, points in ((left, run.curve.loss), (right, score_curve(run))):
        dot = {"marker": "."} if len(points) == 1 else {}  # a line would not show it
        axes.plot(*zip(*points, strict=True), **{**look, **dot})
    if not faint:  # a start and its solution share a step: the better counts
        kept = max(score for step, score in run.curve.val_mean_recall_at_1 if step == run.best_step)
        ring: dict[str, Any] = {"marker": "o", "markersize": 7, "markerfacecolor": "none", "clip_on": False}
        right.plot(run.best_step, kept, **ring, color=look["color"])


def draw_heat_map(group: Group, runs: list[Result], _: Sequence[Result]) -> Plot:
    """Draw the gain on the test part by lambda and lr; a frame marks the candidate that validation chose."""
    grids = _grids(runs)
    if not grids:
        raise NotDrawn("no language and route was trained with two learning rates and two weights of the alignment")
    candidates = [candidate for grid in grids.values() for candidate in grid.values()]
    codes = [one.language for one in by_gain(candidates)]
    methods, remark = method_labels(one.method for one in candidates)
    chosen = {_panel_key(candidate): candidate for candidate in candidates_by_method(runs)}
    caption = (
        f"Gain in {group.metric} on the test part, percentage points, mean over seeds; "
        f"{style.where_text(group, candidates)}; {seeds_text(seed for one in candidates for seed in one.seeds)}. "
        "Grey: within noise, the 95 % bootstrap interval over test items holds 0; colours on one scale in all panels. "
        f"Framed: chosen by validation. {remark}"
    )
    across = min(_ACROSS, len(methods) if len(methods) > 1 else len(grids))  # a row per language, where that fits
    most = max(abs(candidate.gain) for candidate in candidates) * 100 or 1.0
    figure, axes = style.panels(1.45, caption, across, math.ceil(len(grids) / across), COLUMN * min(across, 2))
    several = len({one.adapter.spec for one in candidates}) > 1
    order = sorted(grids, key=lambda key: codes.index(key[0]))
    for place, (axis, key) in enumerate(zip(axes, order, strict=False)):
        _panel(axis, grids[key], chosen[key].config, most)
        first = next(iter(grids[key].values()))
        title = f"{language_name(first.language)}, {methods[first.method]}"
        axis.set(
            title=f"{title}\n{first.adapter.spec}" if several else title,
            xlabel="learning rate" if place >= len(grids) - across else "",  # equal labels are only at the edges
            ylabel="" if place % across else "weight λ",
        )
    for unused in axes[len(grids) :]:
        unused.set_axis_off()
    scale = ScalarMappable(Normalize(-most, most), _COLOURS)
    figure.colorbar(scale, ax=axes, label="gain, points", shrink=0.9, pad=0.02)
    title = f"Gain in {SCORE} by learning rate and weight of the alignment"
    return Plot("heat-map", title, caption, style.run_ids(candidates), figure)


def _grids(runs: Sequence[Result]) -> dict[tuple, dict[Place, Candidate]]:
    """Return (lr, lambda) -> candidate for each language, method and setting in which both have several values.

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
        low, high = bootstrap_interval(one.gains) if one else (np.nan, np.nan)
        if noise := low <= 0 <= high:
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
