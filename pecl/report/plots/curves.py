"""Training curves: loss and validation score by step, a row a route, a line a language."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from pecl.report.plots.estimates import by_gain, where_text
from pecl.report.plots.groups import plot_groups
from pecl.report.plots.style import COLUMN, NotDrawn, Plot, look, name_ends, panels, same_limits, styled
from pecl.report.tables import BEST, Candidate, Group, best_of_routes, chosen_candidates
from pecl.report.tables.table import seeds_text
from pecl.results.result import Result


def draw_curves(results: Sequence[Result]) -> list[Plot]:
    """Return a plot a group: loss (left) and validation score (right) by step, a row a route, a line a language."""
    return plot_groups(results, _curves)


@styled
def _curves(group: Group, runs: list[Result], _: Sequence[Result]) -> Plot:
    chosen: dict[str, dict[str, Candidate]] = {}  # route -> language -> candidate
    for code, routes in best_of_routes(chosen_candidates(runs)).items():
        for name, candidate in routes.items():
            chosen.setdefault(name, {})[code] = candidate
    candidates = [candidate for lines in chosen.values() for candidate in lines.values()]
    shown = [candidate.chosen_run for candidate in candidates]
    if all(len(run.curve.loss) < 2 for run in shown):
        raise NotDrawn("every run has fewer than two validations")
    caption = _caption(group, candidates)
    figure, axes = panels(1.5, caption, columns=2, rows=len(chosen), width=2 * COLUMN)
    for row, (name, lines) in enumerate(sorted(chosen.items())):
        left, right = axes[2 * row : 2 * row + 2]
        for code in by_gain(lines.values()):
            _draw(left, right, name, lines[code].chosen_run)
        for panel in (left, right):
            panel.xaxis.set_major_locator(MaxNLocator(5, integer=True))
            panel.margins(x=0.02)
        left.set(ylabel="training loss", xlabel="step", title=name)
        right.set(ylabel="validation R@1", xlabel="step", title=name)
    same_limits(axes[1::2], across=False)
    figure.draw_without_rendering()  # the sizes of panels are known from here on
    for row, lines in enumerate(lines for _route, lines in sorted(chosen.items())):
        ends = [(code, lines[code].chosen_run) for code in by_gain(lines.values())]
        name_ends(axes[2 * row], [(*run.curve.loss[-1], code) for code, run in ends])
        name_ends(axes[2 * row + 1], [(*run.curve.val_mean_recall_at_1[-1], code) for code, run in ends])
    return Plot("training", "Training curves", caption, tuple(sorted(run.run_id for run in shown)), figure)


def _caption(group: Group, candidates: Sequence[Candidate]) -> str:
    shown = [candidate.chosen_run for candidate in candidates]
    sizes = ", ".join(f"{size:,}" for size in sorted({run.data.split["val"] for run in shown}))
    return (
        f"Loss: mean over the steps since the validation before. Validation: {group.metric} among the {sizes} "
        "validation captions, at step 0 the plain tower, on the same axis in all rows; ringed: the step that was kept. "
        "Candidates chosen by validation, one run each. "
        f"Data: {where_text(group, (candidate.captions for candidate in candidates))}; "
        f"{seeds_text(candidate.seed for candidate in candidates)}."
    )


def _draw(left: Axes, right: Axes, name: str, run: Result) -> None:
    style = look(name, marker="")
    left.plot(*zip(*run.curve.loss, strict=True), **style)
    scores = [(0, run.recall("val", "zero_shot")), *run.curve.val_mean_recall_at_1]
    right.plot(*zip(*scores, strict=True), **style)
    ring: dict[str, Any] = {"marker": "o", "markersize": 7, "markerfacecolor": "none", "clip_on": False}
    right.plot(run.best_step, run.recall("val", BEST), **ring, color=style["color"])
