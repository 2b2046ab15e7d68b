"""Training curves: loss and score by step, a row per method and kind of score, a line per language."""

from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from pecl.report.methods import Method, method_labels, methods_remark
from pecl.report.plots.estimates import for_each_group, where_text
from pecl.report.plots.style import COLUMN, NotDrawn, Plot, look, name_ends, panels, same_limits
from pecl.report.tables import Candidate, Group, best_of_methods
from pecl.report.tables.candidates import by_gain
from pecl.report.tables.table import seeds_text
from pecl.results.result import Result

_OF_TEXT, _OF_PHOTOGRAPHS = "held-out text R@1", "validation R@1"
_NAMED = 5  # languages that gained most, and least, that are named where there are many
_Row = tuple[Method, str]  # of panels: a method, and the score that weights were kept by


@for_each_group
def draw_curves(group: Group, runs: list[Result], _: Sequence[Result]) -> Plot:
    """Draw loss (left) and the score that weights were kept by (right), by step."""
    candidates = best_of_methods(runs)
    chosen: dict[_Row, dict[str, Candidate]] = {}  # row -> language -> candidate
    for candidate in candidates:
        score = _OF_TEXT if candidate.chosen_run.config.choose == "text" else _OF_PHOTOGRAPHS
        chosen.setdefault((candidate.method, score), {})[candidate.language] = candidate
    rows = sorted(chosen, key=lambda row: (row[0].order, row[1] == _OF_TEXT))
    shown = [candidate.chosen_run for candidate in candidates]
    if all(len(run.curve.loss) < 2 for run in shown):
        raise NotDrawn("every run has fewer than two validations")
    caption = _caption(group, candidates, rows)
    names = method_labels(method for method, _ in rows)
    heights = [max(1.5, 0.6 + 0.14 * len(_named(chosen[row]))) for row in rows]  # so that the names of lines fit
    figure, axes = panels(heights, caption, columns=2, width=2 * COLUMN)
    for place, (method, score) in enumerate(rows):
        left, right = axes[2 * place : 2 * place + 2]
        lines = chosen[method, score]
        for code in by_gain(lines.values()):
            _draw(left, right, method, lines[code].chosen_run, faint=code not in _named(lines))
        for panel in (left, right):
            panel.xaxis.set_major_locator(MaxNLocator(5, integer=True))
            panel.margins(x=0.02)
        left.set(ylabel="training loss", xlabel="step", title=names[method])
        right.set(ylabel=score, xlabel="step", title=names[method])
    for score in (_OF_TEXT, _OF_PHOTOGRAPHS):
        if alike := [axes[2 * place + 1] for place, row in enumerate(rows) if row[1] == score]:
            same_limits(alike, across=False)
    figure.draw_without_rendering()  # the sizes of panels are known from here on
    for place, row in enumerate(rows):
        ends = [(code, chosen[row][code].chosen_run) for code in _named(chosen[row])]
        name_ends(axes[2 * place], [(*run.curve.loss[-1], code) for code, run in ends if run.curve.loss])
        name_ends(axes[2 * place + 1], [(*score_curve(run)[-1], code) for code, run in ends])
    return Plot("training", "Training curves", caption, tuple(sorted(run.run_id for run in shown)), figure)


def _named(lines: Mapping[str, Candidate]) -> list[str]:
    """Return the languages whose lines are named: of many those that gained most and least."""
    codes = by_gain(lines.values())
    return codes if len(codes) <= 2 * _NAMED + 2 else codes[:_NAMED] + codes[-_NAMED:]


def score_curve(run: Result) -> Sequence[tuple[int, float]]:
    """Return (step, score) of the score that a run's weights were kept by, the plain tower's first.

    That is text-to-text recall of the held-out pairs with `choose text`, and recall on the validation captions
    otherwise. A curve of recalls does not hold the plain tower's, which is added at step 0.
    """
    recorded = run.curve.val_mean_recall_at_1
    return recorded if run.config.choose == "text" else [(0, run.recall("val", "zero_shot")), *recorded]


def kept_point(run: Result) -> tuple[int, float]:
    """Return (step, score) of the weights that were kept; a start and its solution share a step, which has the best."""
    return max((point for point in run.curve.val_mean_recall_at_1 if point[0] == run.best_step), key=itemgetter(1))


def _caption(group: Group, candidates: Sequence[Candidate], rows: Sequence[_Row]) -> str:
    shown = [candidate.chosen_run for candidate in candidates]
    sizes = ", ".join(f"{size:,}" for size in sorted({run.data.split["val"] for run in shown}))
    scores = [f"{_OF_PHOTOGRAPHS}: {group.metric} among the {sizes} validation captions, at step 0 the plain tower"]
    if any(score == _OF_TEXT for _, score in rows):
        scores.append(f"{_OF_TEXT}: text-to-text recall of held-out pairs, at step 0 the start")
    most = max(len({one.language for one in candidates if one.method == method}) for method, _ in rows)
    named = f"Named of many languages: the {_NAMED} that gained most and least. " if most > 2 * _NAMED + 2 else ""
    return (
        "Loss: mean over the steps since the evaluation before. "
        f"{'. '.join(one[0].upper() + one[1:] for one in scores)}. "
        "Each score has one axis in all rows; ringed: the step whose weights were kept. "
        f"{named}Candidates chosen by validation, one run each. "
        f"Data: {where_text(group, (candidate.captions for candidate in candidates))}; "
        f"{seeds_text(candidate.seed for candidate in candidates)}. {methods_remark(method for method, _ in rows)}"
    )


def _draw(left: Axes, right: Axes, method: Method, run: Result, faint: bool) -> None:
    style = look(method, marker="", linewidth=0.5, alpha=0.2) if faint else look(method, marker="")
    for axes, points in ((left, run.curve.loss), (right, score_curve(run))):
        dot = {"marker": "."} if len(points) == 1 else {}  # a line would not show it
        axes.plot(*zip(*points, strict=True), **{**style, **dot})
    if faint:
        return
    ring: dict[str, Any] = {"marker": "o", "markersize": 7, "markerfacecolor": "none", "clip_on": False}
    right.plot(*kept_point(run), **ring, color=style["color"])
