"""The training of runs: curves of loss and score by step; gain by learning rate and weight of the alignment."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from pecl.config import ExperimentConfig
from pecl.language.languages import language_name
from pecl.report.plots import style
from pecl.report.plots.style import COLUMN, SCORE, NotDrawn, Plot
from pecl.report.selection.candidates import Candidate, best_of_methods, by_gain, candidates_by_method
from pecl.report.selection.groups import Group, grouped
from pecl.report.selection.methods import Method, method_labels
from pecl.report.tables.table import seeds_text
from pecl.results.result import Result, TrainingResult
from pecl.retrieval.measures import bootstrap_interval

_TEXT_SCORE = "held-out text R@1"
_PHOTOGRAPH_SCORE = "validation R@1"
_NAMED = 5  # of many languages, so many with the largest gain and so many with the smallest are named
_COLOURS = "PuOr"  # diverging, distinguishable to colour-blind readers; white: gain 0
_WITHIN_NOISE = "#d4d4d4"
_PANELS_ACROSS = 3

Position = tuple[float, float]  # (lr, lambda)


@dataclass(frozen=True)
class _CurveRow:
    """A row of the figure of curves: the candidates of one method whose weights one kind of score selected."""

    method: Method
    score: str
    candidates: Sequence[Candidate]  # in descending order of their gain

    @property
    def named(self) -> Sequence[Candidate]:
        """The candidates whose lines are named: of many, those with the largest and smallest gains."""
        if len(self.candidates) <= 2 * _NAMED + 2:
            return self.candidates
        return [*self.candidates[:_NAMED], *self.candidates[-_NAMED:]]


def draw_curves(group: Group, runs: list[TrainingResult], _: Sequence[Result]) -> Plot:
    """Draw loss (left) and the score that selected the weights (right), by step."""
    candidates = best_of_methods(runs)
    if all(len(candidate.chosen_run.curve.loss) < 2 for candidate in candidates):
        raise NotDrawn("every run has fewer than two validations")

    rows = _curve_rows(candidates)
    names, remark = method_labels(row.method for row in rows)
    caption = _caption(group, candidates) + remark
    heights = [max(1.5, 0.6 + 0.14 * len(row.named)) for row in rows]  # so that the names of lines fit
    figure, axes = style.panels(heights, caption, columns=2, width=2 * COLUMN)
    panels = list(zip(axes[::2], axes[1::2], strict=True))  # (loss, score) of each row

    for (left, right), row in zip(panels, rows, strict=True):
        for candidate in row.candidates:
            _draw_curves_of(left, right, candidate, is_faint=candidate not in row.named)
        for panel, label in ((left, "training loss"), (right, row.score)):
            panel.xaxis.set_major_locator(MaxNLocator(5, integer=True))
            panel.margins(x=0.02)
            panel.set(ylabel=label, xlabel="step", title=names[row.method])

    for score in (_TEXT_SCORE, _PHOTOGRAPH_SCORE):
        with_score = [right for (_, right), row in zip(panels, rows, strict=True) if row.score == score]
        if with_score:
            style.same_limits(with_score, across=False)

    figure.draw_without_rendering()  # the sizes of panels are known from here on
    for (left, right), row in zip(panels, rows, strict=True):
        curves = [(candidate.language, candidate.chosen_run) for candidate in row.named]
        style.name_ends(left, [(*run.curve.loss[-1], code) for code, run in curves if run.curve.loss])
        style.name_ends(right, [(*score_curve(run)[-1], code) for code, run in curves])
    run_ids = tuple(sorted(candidate.chosen_run.run_id for candidate in candidates))
    return Plot("training", "Training curves", caption, run_ids, figure)


def _curve_rows(candidates: Sequence[Candidate]) -> list[_CurveRow]:
    ordered = sorted(candidates, key=lambda candidate: (candidate.method.order, _score(candidate) == _TEXT_SCORE))
    rows = grouped(ordered, lambda candidate: (candidate.method, _score(candidate)))
    return [_CurveRow(method, score, by_gain(alike)) for (method, score), alike in rows.items()]


def score_curve(run: TrainingResult) -> Sequence[tuple[int, float]]:
    """Return (step, score) of the score that selected a run's weights, the base encoder's first.

    With `choose text` it is text-to-text recall of the held-out pairs, otherwise recall on the validation captions. The
    latter curve lacks the base encoder's recall, which is added at step 0. The curve of a joint run is a mean over its
    languages: the base encoder's recall in one of them is no part of it.
    """
    recorded = run.curve.val_mean_recall_at_1
    if run.config.choose == "text" or run.config.joint is not None:
        return recorded
    return [(0, run.recall("val", "zero_shot")), *recorded]


def _score(candidate: Candidate) -> str:
    return _TEXT_SCORE if candidate.config.choose == "text" else _PHOTOGRAPH_SCORE


def _caption(group: Group, candidates: Sequence[Candidate]) -> str:
    numbers = sorted({candidate.chosen_run.data.split["val"] for candidate in candidates})
    sizes = ", ".join(f"{number:,}" for number in numbers)
    scores = f"Validation R@1: {group.metric} among the {sizes} validation captions, at step 0 the base encoder. "
    if any(_score(candidate) == _TEXT_SCORE for candidate in candidates):
        scores += "Held-out text R@1: text-to-text recall of held-out pairs, at step 0 the start. "
    if any(candidate.config.joint is not None for candidate in candidates):
        scores += "Loss and scores of languages that were trained jointly: their mean, without the base encoder. "
    return (
        "Loss: mean over the steps since the previous evaluation. "
        f"{scores}"
        "Each score has one axis in all rows; ringed: the step whose weights were kept. "
        f"Of many languages, the {_NAMED} with the largest and the {_NAMED} with the smallest gains are named. "
        f"Candidates chosen by validation, one run each. Data: {style.where_text(group, candidates)}; "
        f"{seeds_text(candidate.chosen_run.config.seed for candidate in candidates)}. "
    )


def _draw_curves_of(left: Axes, right: Axes, candidate: Candidate, is_faint: bool) -> None:
    """Draw loss and score of a candidate; a ring marks the step whose weights were kept."""
    run = candidate.chosen_run
    faint = {"linewidth": 0.5, "alpha": 0.2} if is_faint else {}
    look = style.look(candidate.method, marker="", **faint)
    for panel, points in ((left, run.curve.loss), (right, score_curve(run))):
        dot = {"marker": "."} if len(points) == 1 else {}  # a line would not show it
        panel.plot(*zip(*points, strict=True), **{**look, **dot})

    if not is_faint:
        at_best_step = [score for step, score in run.curve.val_mean_recall_at_1 if step == run.best_step]
        best = max(at_best_step)  # a start and its solution share a step: the better counts
        ring: dict[str, Any] = {"marker": "o", "markersize": 7, "markerfacecolor": "none", "clip_on": False}
        right.plot(run.best_step, best, **ring, color=look["color"])


def draw_heat_map(group: Group, runs: list[TrainingResult], _: Sequence[Result]) -> Plot:
    """Draw the gain on the test part by lambda and lr; a frame marks the candidate that validation chose."""
    grids = _grids(runs)
    if not grids:
        raise NotDrawn("no language and route was trained with two learning rates and two weights of the alignment")

    candidates = [candidate for grid in grids.values() for candidate in grid.values()]
    codes = [candidate.language for candidate in by_gain(candidates)]
    methods, remark = method_labels(candidate.method for candidate in candidates)
    candidate_of = {_panel_key(candidate): candidate for candidate in candidates_by_method(runs)}
    seeds = seeds_text(seed for candidate in candidates for seed in candidate.seeds)
    caption = (
        f"Gain in {group.metric} on the test part, percentage points, mean over seeds; "
        f"{style.where_text(group, candidates)}; {seeds}. "
        "Grey: within noise, the 95 % bootstrap interval over test items holds 0; colours on one scale in all panels. "
        f"Framed: chosen by validation. {remark}"
    )

    # a row per language, where that fits
    across = min(_PANELS_ACROSS, len(methods) if len(methods) > 1 else len(grids))
    largest = max(abs(candidate.gain) for candidate in candidates) * 100 or 1.0
    figure, axes = style.panels(1.45, caption, across, math.ceil(len(grids) / across), COLUMN * min(across, 2))
    has_several_adapters = len({candidate.adapter.spec for candidate in candidates}) > 1
    keys = sorted(grids, key=lambda key: codes.index(key[0]))
    for number, (panel, key) in enumerate(zip(axes, keys, strict=False)):
        _draw_grid(panel, grids[key], candidate_of[key].config, largest)
        first = next(iter(grids[key].values()))
        title = f"{language_name(first.language)}, {methods[first.method]}"
        panel.set(
            title=f"{title}\n{first.adapter.spec}" if has_several_adapters else title,
            xlabel="learning rate" if number >= len(grids) - across else "",  # equal labels are only at the edges
            ylabel="" if number % across else "weight λ",
        )
    for unused in axes[len(grids) :]:
        unused.set_axis_off()

    scale = ScalarMappable(Normalize(-largest, largest), _COLOURS)
    figure.colorbar(scale, ax=axes, label="gain, points", shrink=0.9, pad=0.02)
    title = f"Gain in {SCORE} by learning rate and weight of the alignment"
    return Plot("heat-map", title, caption, style.run_ids(candidates), figure)


def _grids(runs: Sequence[TrainingResult]) -> dict[tuple, dict[Position, Candidate]]:
    """Return (lr, lambda) -> candidate for each language, method and setting in which both have several values.

    Validation chooses among candidates that differ in other searched fields, such as the number of epochs.
    """
    by_position = grouped(runs, lambda run: (run.config.lr, run.config.alignment_weight))
    grids: dict[tuple, dict[Position, Candidate]] = {}
    for position, position_runs in sorted(by_position.items()):
        for candidate in candidates_by_method(position_runs):
            grids.setdefault(_panel_key(candidate), {})[position] = candidate

    return {key: grids[key] for key in sorted(grids, key=str) if _has_two_of_each(grids[key])}


def _has_two_of_each(positions: Iterable[Position]) -> bool:
    rates, weights = zip(*positions, strict=True)
    return len(set(rates)) > 1 and len(set(weights)) > 1


def _panel_key(candidate: Candidate) -> tuple:
    return candidate.language, candidate.method.order, candidate.setting


def _draw_grid(panel: Axes, grid: dict[Position, Candidate], chosen: ExperimentConfig, largest: float) -> None:
    """Draw a field per learning rate and weight; `largest` is the gain, in points, of the strongest colour."""
    rates = sorted({rate for rate, _ in grid})
    weights = sorted({weight for _, weight in grid})
    candidates = [[grid.get((rate, weight)) for rate in rates] for weight in weights]
    gains = [[candidate.gain * 100 if candidate else np.nan for candidate in row] for row in candidates]
    panel.imshow(gains, cmap=_COLOURS, vmin=-largest, vmax=largest, aspect="auto", origin="lower")
    for (row, column), gain in np.ndenumerate(np.array(gains)):
        _draw_field(panel, row, column, gain, candidates[row][column], largest)

    corner = (rates.index(chosen.lr) - 0.5, weights.index(chosen.alignment_weight) - 0.5)
    panel.add_patch(Rectangle(corner, 1, 1, fill=False, edgecolor="black", linewidth=2, clip_on=False, zorder=3))
    panel.set_xticks(range(len(rates)), [_short(rate) for rate in rates])
    panel.set_yticks(range(len(weights)), [_short(weight) for weight in weights])
    panel.grid(visible=False)


def _draw_field(panel: Axes, row: int, column: int, gain: float, candidate: Candidate | None, largest: float) -> None:
    """Write the gain of a field, on grey if it is within noise."""
    if candidate is None:
        panel.text(column, row, "not run", ha="center", va="center", size=7.5, color="black")
        return

    low, high = bootstrap_interval(candidate.gains)
    is_noise = low <= 0 <= high
    if is_noise:
        grey = Rectangle((column - 0.5, row - 0.5), 1, 1, facecolor=_WITHIN_NOISE, edgecolor="none", gid="noise")
        panel.add_patch(grey)
    colour = "white" if abs(gain) > 0.65 * largest and not is_noise else "black"
    panel.text(column, row, f"{gain:+.1f}", ha="center", va="center", size=7.5, color=colour)


def _short(value: float) -> str:
    """Return 5e-5 for 5e-05 and for 0.00005, 0.03 for 0.03."""
    if value == 0 or value >= 1e-3:
        return f"{value:g}"
    return np.format_float_scientific(value, trim="-", exp_digits=1)
