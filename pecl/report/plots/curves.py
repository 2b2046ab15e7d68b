"""Training curves: loss and score by step, a row per method and kind of score, a line per language."""

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from pecl.report.methods import Method, method_labels, methods_remark
from pecl.report.plots.estimates import where_text
from pecl.report.plots.style import COLUMN, NotDrawn, Plot, look, name_ends, panels, same_limits
from pecl.report.tables import Candidate, Group, best_of_methods
from pecl.report.tables.candidates import by_gain
from pecl.report.tables.groups import grouped
from pecl.report.tables.table import seeds_text
from pecl.results.result import Result

_OF_TEXT, _OF_PHOTOGRAPHS = "held-out text R@1", "validation R@1"
_NAMED = 5  # languages that gained most, and least, that are named where there are many


def draw_curves(group: Group, runs: list[Result], _: Sequence[Result]) -> Plot:
    """Draw loss (left) and the score that weights were kept by (right), by step."""
    candidates = best_of_methods(runs)
    rows = grouped(sorted(candidates, key=lambda one: (one.method.order, _score(one) == _OF_TEXT)), _row)
    if all(len(one.chosen_run.curve.loss) < 2 for one in candidates):
        raise NotDrawn("every run has fewer than two validations")
    caption = _caption(group, candidates)
    names = method_labels(method for method, _ in rows)
    named = [_named(own) for own in rows.values()]
    heights = [max(1.5, 0.6 + 0.14 * len(own)) for own in named]  # so that the names of lines fit
    figure, axes = panels(heights, caption, columns=2, width=2 * COLUMN)
    pairs = list(zip(axes[::2], axes[1::2], strict=True))
    for (left, right), ((method, score), own), shown in zip(pairs, rows.items(), named, strict=True):
        order = by_gain(own)
        for one in sorted(own, key=lambda one: order.index(one.language)):
            _draw(left, right, method, one.chosen_run, faint=one not in shown)
        for panel, label in ((left, "training loss"), (right, score)):
            panel.xaxis.set_major_locator(MaxNLocator(5, integer=True))
            panel.margins(x=0.02)
            panel.set(ylabel=label, xlabel="step", title=names[method])
    for score in (_OF_TEXT, _OF_PHOTOGRAPHS):
        if alike := [right for (_, right), (_, own) in zip(pairs, rows, strict=True) if own == score]:
            same_limits(alike, across=False)
    figure.draw_without_rendering()  # the sizes of panels are known from here on
    for (left, right), shown in zip(pairs, named, strict=True):
        curves = [(one.language, one.chosen_run) for one in shown]
        name_ends(left, [(*run.curve.loss[-1], code) for code, run in curves if run.curve.loss])
        name_ends(right, [(*score_curve(run)[-1], code) for code, run in curves])
    runs_shown = tuple(sorted(one.chosen_run.run_id for one in candidates))
    return Plot("training", "Training curves", caption, runs_shown, figure)


def score_curve(run: Result) -> Sequence[tuple[int, float]]:
    """Return (step, score) of the score that a run's weights were kept by, the plain tower's first.

    That is text-to-text recall of the held-out pairs with `choose text`, and recall on the validation captions
    otherwise. A curve of recalls does not hold the plain tower's, which is added at step 0.
    """
    recorded = run.curve.val_mean_recall_at_1
    return recorded if run.config.choose == "text" else [(0, run.recall("val", "zero_shot")), *recorded]


def _score(one: Candidate) -> str:
    return _OF_TEXT if one.config.choose == "text" else _OF_PHOTOGRAPHS


def _row(one: Candidate) -> tuple[Method, str]:
    return one.method, _score(one)


def _named(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Return the candidates whose lines are named: of many those that gained most and least."""
    order = sorted(candidates, key=lambda one: by_gain(candidates).index(one.language))
    return order if len(order) <= 2 * _NAMED + 2 else order[:_NAMED] + order[-_NAMED:]


def _caption(group: Group, candidates: Sequence[Candidate]) -> str:
    sizes = ", ".join(f"{size:,}" for size in sorted({one.chosen_run.data.split["val"] for one in candidates}))
    scores = [f"{_OF_PHOTOGRAPHS}: {group.metric} among the {sizes} validation captions, at step 0 the plain tower"]
    if any(_score(one) == _OF_TEXT for one in candidates):
        scores.append(f"{_OF_TEXT}: text-to-text recall of held-out pairs, at step 0 the start")
    return (
        "Loss: mean over the steps since the evaluation before. "
        f"{'. '.join(one[0].upper() + one[1:] for one in scores)}. "
        "Each score has one axis in all rows; ringed: the step whose weights were kept. "
        f"Named of many languages: the {_NAMED} that gained most and least. Candidates chosen by validation, one run "
        f"each. Data: {where_text(group, candidates)}; {seeds_text(one.chosen_run.config.seed for one in candidates)}. "
        f"{methods_remark(one.method for one in candidates)}"
    )


def _draw(left: Axes, right: Axes, method: Method, run: Result, faint: bool) -> None:
    style = look(method, marker="", **({"linewidth": 0.5, "alpha": 0.2} if faint else {}))
    for axes, points in ((left, run.curve.loss), (right, score_curve(run))):
        dot = {"marker": "."} if len(points) == 1 else {}  # a line would not show it
        axes.plot(*zip(*points, strict=True), **{**style, **dot})
    if not faint:  # a start and its solution share a step, which has the best
        kept = max(score for step, score in run.curve.val_mean_recall_at_1 if step == run.best_step)
        ring: dict[str, Any] = {"marker": "o", "markersize": 7, "markerfacecolor": "none", "clip_on": False}
        right.plot(run.best_step, kept, **ring, color=style["color"])
