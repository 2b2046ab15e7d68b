"""Training curves: loss and validation score by step, a line a language."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.ticker import MaxNLocator

from pecl.languages import language_name
from pecl.report.plots.estimates import SCORE, where_text
from pecl.report.plots.groups import plot_groups
from pecl.report.plots.style import COLUMN, NotDrawn, Plot, legend, look, panels, styled
from pecl.report.tables import BEST, Cell, Group, best_of_routes, chosen_cells
from pecl.report.tables.table import seeds_text
from pecl.results.result import Result


def draw_curves(results: Sequence[Result]) -> list[Plot]:
    """Return a plot a group: loss (left) and validation score (right) by step, a row a route, a line a language."""
    return plot_groups(results, _curves)


@styled
def _curves(group: Group, runs: list[Result], _: Sequence[Result]) -> Plot:
    chosen: dict[str, dict[str, Cell]] = {}  # route -> language -> cell
    for code, routes in best_of_routes(chosen_cells(runs)).items():
        for name, cell in routes.items():
            chosen.setdefault(name, {})[code] = cell
    cells = [cell for lines in chosen.values() for cell in lines.values()]
    shown = [cell.chosen_run for cell in cells]
    if all(len(run.curve.loss) < 2 for run in shown):
        raise NotDrawn("every run has fewer than two validations")
    languages = sorted({cell.language for cell in cells})
    sizes = ", ".join(f"{size:,}" for size in sorted({run.data.split["val"] for run in shown}))
    caption = (
        f"Loss: mean over the steps since the validation before. Validation: {group.metric} among the {sizes} "
        "validation captions, at step 0 the plain tower; ringed: the step that was kept. Cells chosen by validation, "
        f"one run each. Data: {where_text(group, (cell.captions for cell in cells))}; "
        f"{seeds_text(cell.seed for cell in cells)}."
    )
    figure, axes = panels(2.0, caption, columns=2, rows=len(chosen), width=2 * COLUMN)
    for row, (name, lines) in enumerate(sorted(chosen.items())):
        left, right = axes[2 * row : 2 * row + 2]
        for code, cell in lines.items():
            run = cell.chosen_run
            style = look(languages.index(code)) | {"marker": ""}
            left.plot(*zip(*run.curve.loss, strict=True), **style, label=language_name(code))
            scores = [(0, run.recall("val", "zero_shot")), *run.curve.val_mean_recall_at_1]
            right.plot(*zip(*scores, strict=True), **style)
            ring = {"marker": "o", "markersize": 7, "markerfacecolor": "none"}
            right.plot(run.best_step, run.recall("val", BEST), **ring, color=style["color"])
        for panel in (left, right):
            panel.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        left.set(ylabel="training loss", xlabel="step", title=name)
        right.set(ylabel=f"validation {SCORE}", xlabel="step", title=name)
    legend(figure, axes, columns=5)
    return Plot("training", "Training curves", caption, tuple(sorted(run.run_id for run in shown)), figure)
