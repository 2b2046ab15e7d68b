"""The figure of docs/screening.md: the share of the gap that each method closes; `screening_tables.py` writes it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from pecl.report.plots.style import GREY, Plot, name_at, panels, styled
from pecl.results.result import Result

ENGINES = {"PEFT": ("#0072B2", "o"), "pecl": ("#D55E00", "s")}  # of Okabe & Ito's, and a marker
_ROW = 0.125  # inches per method
_WIDTH = 7.0


class Point(NamedTuple):
    """A method: its parameters, and its share of the gap: the mean of all languages, and that of each."""

    name: str
    parameters: int
    share: float
    shares: Sequence[float]

    @property
    def engine(self) -> str:
        """Whose method it is."""
        return "pecl" if self.name.startswith("pecl ") else "PEFT"


def frontier(points: Sequence[Point]) -> list[Point]:
    """Return the points that no point with as few parameters or fewer surpasses, fewest parameters first."""
    best: list[Point] = []
    for point in sorted(points, key=lambda point: (point.parameters, -point.share)):
        if not best or point.share > best[-1].share:
            best.append(point)
    return best


@styled
def draw(points: Sequence[Point], languages: Sequence[str], results: Sequence[Result]) -> Plot:
    """Draw the means of all methods and their languages, sorted, and the means over parameters with the frontier."""
    captions = results[0].test_captions
    caption = (
        f"Share of the gap to English that is closed, in mean R@1 of both directions, {captions} captions, 757 pairs, "
        f"seed 1. Left: all methods, the best first: the mean of the languages ({', '.join(languages)}), and each of "
        "them as a dot. Right: the same means over the number of parameters; the line joins the methods that none "
        "with fewer parameters surpasses."
    )
    figure, (left, right) = panels(_ROW * len(points) + 0.6, caption, columns=2, width=_WIDTH)
    ordered = sorted(points, key=lambda point: point.share)
    for place, point in enumerate(ordered):
        colour, marker = ENGINES[point.engine]
        left.plot(point.shares, [place] * len(point.shares), ".", color=GREY, markersize=2)
        left.plot(point.share, place, color=colour, marker=marker, markersize=3)
    left.set_yticks(range(len(ordered)), [point.name for point in ordered], fontsize=5.5)
    left.set(ylim=(-1, len(ordered)), xlabel="share of the gap")
    left.locator_params(axis="x", nbins=5)
    left.axvline(0, color=GREY, linewidth=0.8)

    for engine, (colour, marker) in ENGINES.items():
        own = [point for point in points if point.engine == engine]
        right.plot(
            [point.parameters for point in own],
            [point.share for point in own],
            color=colour,
            marker=marker,
            markersize=3,
            linestyle="none",
            label=engine,
        )
    best = frontier(points)
    right.plot([point.parameters for point in best], [point.share for point in best], color=GREY, linewidth=0.8)
    right.set(xscale="log", xlabel="parameters", ylabel="share of the gap")
    low, high = right.get_xlim()
    right.set_xlim(low, high * 12)  # room for names
    ticks = [tick for tick in (1_000, 10_000, 100_000) if low < tick < high * 12]
    right.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    right.minorticks_off()
    for point in best:
        name_at(right, point.parameters, point.share, point.name)
    right.axhline(0, color=GREY, linewidth=0.8)
    right.legend(loc="lower left")
    runs = sorted(result.run_id for result in results)
    return Plot("screening", "Screening", caption, tuple(runs), figure)
