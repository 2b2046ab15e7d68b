"""The figure of docs/results.md: share of the gap over pairs and parameters; `effect_tables.py` writes it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from marked import complete
from matplotlib.axes import Axes

from pecl.config import schedule_for
from pecl.files import write_bytes
from pecl.language.languages import language_name
from pecl.report.plots.style import GREY, Plot, name_ends, panels, styled
from pecl.report.selection.candidates import Candidate
from pecl.report.selection.groups import BOOTSTRAP, intervals
from pecl.report.tables.disparity import english_of

# of Okabe & Ito's, and a marker
COLOURS = {"cs": ("#0072B2", "o"), "de": ("#D55E00", "s"), "fr": ("#009E73", "^")}
MOST = 20_000  # minimum pairs of a point in the panel of parameters


def write_figures(folder: Path, candidates: Sequence[Candidate]) -> None:
    """Write the figure."""
    plot = draw(candidates)
    write_bytes(folder / f"{plot.name}.png", plot.render("png"))


@styled
def draw(candidates: Sequence[Candidate]) -> Plot:
    """Draw the share of the gap: one point with its interval per candidate, one colour per language."""
    chosen = by_size(candidates)
    (usual, _), *_ = Counter(parameters(candidate) for candidate in chosen.values()).most_common(1)
    by_pairs = [candidate for candidate in chosen.values() if parameters(candidate) == usual]
    by_parameters = [candidate for candidate in chosen.values() if candidate.pairs >= MOST]
    drawn = [(by_pairs, _pairs, "translated captions"), (by_parameters, parameters, "parameters per language")]
    drawn = [panel for panel in drawn if len({panel[1](candidate) for candidate in panel[0]}) > 1]
    shown = [candidate for group, _, _ in drawn for candidate in group]
    seeds = sorted({seed for candidate in shown for seed in candidate.seeds})
    below = f" Below: at least {MOST:,} pairs." if len(drawn) > 1 else ""
    caption = (
        "Share of the gap to English that distillation closes, in mean R@1 of both directions, 900 "
        f"photographs. {'Above: ' if below else ''}{usual:,} parameters per language.{below} Bars: {BOOTSTRAP}, of the "
        f"mean hits over seeds ({', '.join(map(str, seeds))}); the gap is taken as exact."
    )
    figure, axes = panels(2.0, caption, rows=len(drawn))
    for ax, (group, x, label) in zip(axes, drawn, strict=True):
        _panel(ax, group, x, label)

    figure.draw_without_rendering()
    for ax in axes:
        lines = [line for line in ax.get_lines() if line.get_gid()]
        right = max(line.get_xdata()[-1] for line in lines)
        name_ends(ax, [(right, line.get_ydata()[-1], line.get_gid()) for line in lines])

    runs = sorted({run_id for candidate in shown for run_id in candidate.run_ids})
    return Plot("share-of-gap", "Share of the gap to English that is closed", caption, tuple(runs), figure)


def by_size(candidates: Sequence[Candidate]) -> dict[tuple[str, int, int], Candidate]:
    """Return (language, pairs, parameters) -> the candidate, preferably with the default schedule.

    Thousands of pairs are rounded to two digits, because languages differ by a few pairs.
    """
    return {
        (candidate.language, _pairs(candidate), parameters(candidate)): candidate
        for candidate in sorted(candidates, key=_preferred)
    }


def _preferred(candidate: Candidate) -> tuple[bool, bool, float]:
    """Return a sort key that puts the candidate with the default start and schedule last."""
    return (
        candidate.config.start is None,
        candidate.config.solver == schedule_for(candidate.pairs)["solver"],
        candidate.mean,
    )


def parameters(candidate: Candidate) -> int:
    """Return the number of trained parameters per language."""
    return candidate.runs[0].adapter.trainable


def _pairs(candidate: Candidate) -> int:
    """Return the number of pairs; thousands are rounded to two digits."""
    if candidate.pairs < 1000:
        return candidate.pairs
    return round(candidate.pairs, 1 - len(str(candidate.pairs)) + 1)


def _panel(
    ax: Axes,
    candidates: Sequence[Candidate],
    x: Callable[[Candidate], int],
    label: str,
) -> None:
    ticks = sorted({x(candidate) for candidate in candidates})
    low = ticks[0]
    high = ticks[-1]
    width = high / low

    for aside, (language, (colour, marker)) in zip((-1, 0, 1), COLOURS.items(), strict=True):
        group = sorted((candidate for candidate in candidates if candidate.language == language), key=x)
        if not group:
            continue
        # shifted, so that markers do not overlap
        at = [x(candidate) * width ** (aside / 60) for candidate in group]
        shares = [share_with_interval(candidate) for candidate in group]
        middle = [share for share, _, _ in shares]
        errors = np.array([[share - least, most - share] for share, least, most in shares]).T
        ax.errorbar(at, middle, yerr=errors, color=colour, linestyle="none", elinewidth=0.8)
        ax.plot(at, middle, color=colour, marker=marker, gid=language_name(language))

    ax.axhline(0, color=GREY, linewidth=0.8)
    ax.set(xscale="log", ylim=(-0.05, 1), ylabel="share of the gap", xlabel=label)
    ax.set_xlim(low / width**0.08, high * width**0.25)
    ax.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    ax.minorticks_off()


def gap_of(candidate: Candidate) -> float:
    """Return the gap to English before training, in mean R@1 of both directions; English has the same precision."""
    english = english_of(candidate, complete("."))
    if english is None:
        raise SystemExit(f"results/measured: expected a result of English in {candidate.config.precision}")
    return english.recall(stage="zero_shot") - candidate.zero_shot


def share_with_interval(candidate: Candidate) -> tuple[float, float, float]:
    """Return the share of the gap that a candidate closes, and its bootstrap interval."""
    gap = gap_of(candidate)
    low, high = intervals([candidate.gains])[0]
    return float(candidate.gains.mean() / gap), float(low / gap), float(high / gap)
