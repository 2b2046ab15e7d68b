"""Training curves: loss and validation score by step, a line a language."""

from __future__ import annotations

from collections.abc import Sequence

from pecl.plots.estimates import Result, Setting, language_name, seeds_text
from pecl.plots.recall import best_of_routes
from pecl.plots.settings import plot_settings
from pecl.plots.style import COLUMN, NotDrawn, Plot, legend, look, panels, styled
from pecl.report import METRIC


def draw_curves(results: Sequence[Result]) -> list[Plot]:
    """Return a plot a setting: loss (left) and validation score (right) by step, a row a route, a line a language."""
    return plot_settings(results, _curves)


@styled
def _curves(setting: Setting, runs: list[Result], _: Sequence[Result]) -> Plot:
    chosen: dict[str, dict[str, Result]] = {}  # route -> language -> the run of the first seed
    for code, series in best_of_routes(runs).items():
        for name, cell in series.items():
            chosen.setdefault(name, {})[code] = cell[0]
    chosen = dict(sorted(chosen.items()))
    languages = sorted({code for lines in chosen.values() for code in lines})
    shown = [result for lines in chosen.values() for result in lines.values()]
    if all(len(result["curve"]["loss"]) < 2 for result in shown):
        raise NotDrawn("every run has fewer than two validations")
    size = shown[0]["data"]["split"]["val"]
    seeds = seeds_text(result["config"]["seed"] for result in shown)
    caption = (
        f"Loss: mean over the steps since the validation before. Validation: mean R@1 of both directions among the "
        f"{size:,} validation captions, at step 0 the plain tower; ringed: the step that was kept. A cell a line, "
        f"chosen by validation. Data: {setting.text()}; {seeds}."
    )
    figure, axes = panels(2.0, caption, columns=2, rows=len(chosen), width=2 * COLUMN)
    for row, (name, lines) in enumerate(chosen.items()):
        left, right = axes[2 * row : 2 * row + 2]
        for code, result in lines.items():
            style = look(languages.index(code)) | {"marker": ""}
            left.plot(*zip(*result["curve"]["loss"], strict=True), **style, label=language_name(code))
            scores = [(0, result["metrics"]["val"]["zero_shot"][METRIC]), *result["curve"]["val_mean_recall@1"]]
            right.plot(*zip(*scores, strict=True), **style)
            kept = result["metrics"]["val"]["best"][METRIC]
            right.plot(
                result["best_step"], kept, marker="o", markersize=7, color=style["color"], markerfacecolor="none"
            )
        left.set(ylabel="training loss", xlabel="step", title=name)
        right.set(ylabel="validation mean R@1", xlabel="step", title=name)
    legend(figure, axes, columns=5)
    return Plot("training", "Training curves", caption, tuple(sorted(r["run_id"] for r in shown)), figure)
