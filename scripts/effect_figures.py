"""The figure of docs/effect.md: share of the gap over pairs and parameters; `effect_tables.py` writes it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from marked import complete
from matplotlib.axes import Axes

from pecl.config import schedule_for
from pecl.data.languages import language_name
from pecl.files import write_bytes
from pecl.report.plots.style import GREY, Plot, name_ends, panels, styled
from pecl.report.tables import Candidate
from pecl.report.tables.disparity import english_of
from pecl.report.tables.groups import BOOTSTRAP, intervals

COLOURS = {"cs": ("#0072B2", "o"), "de": ("#D55E00", "s"), "fr": ("#009E73", "^")}  # of Okabe & Ito's, and a marker
MOST = 20_000  # minimum pairs of a point in the panel of parameters


def write_figures(folder: Path, candidates: Sequence[Candidate]) -> None:
    """Write the figure."""
    plot = draw(candidates)
    write_bytes(folder / f"{plot.name}.png", plot.render("png"))


@styled
def draw(candidates: Sequence[Candidate]) -> Plot:
    """Draw the share of the gap: one point with its interval per candidate, one colour per language."""
    chosen = by_size(candidates)
    (usual, _), *_ = Counter(parameters(one) for one in chosen.values()).most_common(1)
    by_pairs = [one for one in chosen.values() if parameters(one) == usual]
    by_parameters = [one for one in chosen.values() if one.pairs >= MOST]
    drawn = [(by_pairs, _pairs, "translated captions"), (by_parameters, parameters, "parameters per language")]
    drawn = [panel for panel in drawn if len({panel[1](one) for one in panel[0]}) > 1]
    shown = [one for own, _, _ in drawn for one in own]
    seeds = sorted({seed for one in shown for seed in one.seeds})
    below = f" Below: at least {MOST:,} pairs." if len(drawn) > 1 else ""
    caption = (
        "Share of the gap to English that distillation closes, in mean R@1 of both directions, 900 "
        f"photographs. {'Above: ' if below else ''}{usual:,} parameters per language.{below} Bars: {BOOTSTRAP}, of the "
        f"mean hits over seeds ({', '.join(map(str, seeds))}); the gap is taken as exact."
    )
    figure, axes = panels(2.0, caption, rows=len(drawn))
    for place, (own, x, label) in zip(axes, drawn, strict=True):
        _panel(place, own, x, label)
    figure.draw_without_rendering()
    for place in axes:
        lines = [line for line in place.get_lines() if line.get_gid()]
        right = max(line.get_xdata()[-1] for line in lines)
        name_ends(place, [(right, line.get_ydata()[-1], line.get_gid()) for line in lines])
    runs = sorted({run_id for one in shown for run_id in one.run_ids})
    return Plot("share-of-gap", "Share of the gap to English that is closed", caption, tuple(runs), figure)


def by_size(candidates: Sequence[Candidate]) -> dict[tuple[str, int, int], Candidate]:
    """Return (language, pairs, parameters) -> the candidate, preferably with the default schedule.

    Thousands of pairs are rounded to two digits, because languages differ by a few pairs.
    """
    return {(one.language, _pairs(one), parameters(one)): one for one in sorted(candidates, key=_preferred)}


def _preferred(one: Candidate) -> tuple[bool, bool, float]:
    """Return a sort key that puts the candidate with the default start and schedule last."""
    return one.config.start is None, one.config.solver == schedule_for(one.pairs)["solver"], one.mean


def parameters(one: Candidate) -> int:
    """Return the number of trained parameters per language."""
    return one.runs[0].adapter.trainable


def _pairs(one: Candidate) -> int:
    """Return the number of pairs; thousands are rounded to two digits."""
    return one.pairs if one.pairs < 1000 else round(one.pairs, 1 - len(str(one.pairs)) + 1)


def _panel(place: Axes, candidates: Sequence[Candidate], x: Callable[[Candidate], int], label: str) -> None:
    ticks = sorted({x(one) for one in candidates})
    low, high = ticks[0], ticks[-1]
    width = high / low
    for aside, (language, (colour, marker)) in zip((-1, 0, 1), COLOURS.items(), strict=True):
        own = sorted((one for one in candidates if one.language == language), key=x)
        if not own:
            continue
        at = [x(one) * width ** (aside / 60) for one in own]  # shifted, so that markers do not overlap
        shares = [share_with_interval(one) for one in own]
        middle = [share for share, _, _ in shares]
        errors = np.array([[share - least, most - share] for share, least, most in shares]).T
        place.errorbar(at, middle, yerr=errors, color=colour, linestyle="none", elinewidth=0.8)
        place.plot(at, middle, color=colour, marker=marker, gid=language_name(language))
    place.axhline(0, color=GREY, linewidth=0.8)
    place.set(xscale="log", ylim=(-0.05, 1), ylabel="share of the gap", xlabel=label)
    place.set_xlim(low / width**0.08, high * width**0.25)
    place.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    place.minorticks_off()


def gap_of(one: Candidate) -> float:
    """Return the gap to English before training, in mean R@1 of both directions; English has the same precision."""
    english = english_of(one, complete("."))
    if english is None:
        raise SystemExit(f"results/measured: expected a result of English in {one.config.precision}")
    return english.recall(stage="zero_shot") - one.zero_shot


def share_with_interval(one: Candidate) -> tuple[float, float, float]:
    """Return the share of the gap that a candidate closes, and its bootstrap interval."""
    gap = gap_of(one)
    low, high = intervals([one.gains])[0]
    return float(one.gains.mean() / gap), float(low / gap), float(high / gap)
