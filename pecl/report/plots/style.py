"""The style of all plots: panels, names, error bars, captions; and `Plot`: equal results give the same bytes."""

import io
import math
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from pecl.report.selection.candidates import Candidate
from pecl.report.selection.groups import Group
from pecl.report.selection.methods import Method
from pecl.report.tables.table import seeds_text
from pecl.results.result import Result
from pecl.retrieval.measures import bootstrap_interval

FORMATS = ("png", "svg", "pdf")
SCORE = "mean R@1"
GREY = "#5a5a5a"
COLUMN = 3.35  # inches: the width of a column of a two-column paper
_CAPTION_SIZE = 6.5  # points
_LINE = 0.125  # inches per line of the caption
_LETTERS = 20.5  # letters per inch of the caption
NAME_SIZE = 6.5  # points, of names next to points and lines

_STYLE = Path(__file__).with_name("plots.mplstyle")
RC: dict[Any, Any] = dict(mpl.rc_params_from_file(_STYLE, fail_on_error=True, use_default_template=False))

# Name of a look, which is a class of the page's style -> colour and marker of figures. Okabe & Ito's palette (https://jfly.uni-koeln.de/color),
# distinguishable to colour-blind readers; each has its own marker, so that no distinction rests on colour.
LOOKS = {
    "baseline1": ("#56B4E9", "o"),
    "baseline2": ("#E69F00", "s"),
    "method1": ("#0072B2", "^"),
    "method2": ("#009E73", "D"),
    "method3": ("#D55E00", "v"),
    "text": ("#CC79A7", "P"),
    "photographs": ("#000000", "X"),
}

# A decorator that applies the style while a function draws.
styled = mpl.rc_context(RC)


class NotDrawn(Exception):
    """The results lack the data of a plot; the message names the missing part."""


def look(method: Method, **other_than: Any) -> dict[str, Any]:
    """Return colour and marker of a method, with the given options in addition or instead."""
    colour, marker = LOOKS[method.look]
    return {"color": colour, "marker": marker, **other_than}


@dataclass(frozen=True)
class Plot:
    """A drawn plot."""

    name: str  # file name without suffix
    title: str
    caption: str  # gallery, metric, number of test captions, seeds, and error bars
    runs: tuple[str, ...]  # ids of the runs whose numbers are in it
    figure: Figure

    def __post_init__(self) -> None:
        # The layout is computed here, once: each drawing would compute it again, starting from the previous result.
        for _ in range(2):  # the sizes of labels are known only after the first pass has placed them
            self.figure.draw_without_rendering()
        self.figure.set_layout_engine("none")

    @styled
    def render(self, kind: str) -> bytes:
        """Return the bytes of the plot as `kind`, one of `FORMATS`; they contain no date, host or version."""
        buffer = io.BytesIO()
        dates = {
            "svg": {"Date": None, "Creator": None},
            "png": {"Software": None},
            "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
        }
        description = "Subject" if kind == "pdf" else "Description"
        metadata = {"Title": self.title, description: f"{self.title}. {self.full_caption()}", **dates[kind]}
        self.figure.savefig(buffer, format=kind, metadata=metadata)
        return buffer.getvalue()

    def full_caption(self) -> str:
        """Return the caption with the ids of the runs."""
        return f"{self.caption} Runs: {', '.join(self.runs)}."


def panels(
    height: float | Sequence[float], caption: str, columns: int = 1, rows: int = 1, width: float = COLUMN
) -> tuple[Figure, list[Axes]]:
    """Return a figure, `width` inches wide, with panels above a caption.

    `height` is the height of each of `rows` rows of panels, in inches, or a list of the heights of all rows.
    """
    heights = list(height) if isinstance(height, Sequence) else [height] * rows
    lines = textwrap.wrap(caption, width=int(width * _LETTERS))
    below = (len(lines) + 0.8) * _LINE
    total = sum(heights) + below
    layout = ConstrainedLayoutEngine(rect=(0, below / total, 1, 1 - below / total), w_pad=0.06)
    figure = Figure(figsize=(width, total), layout=layout)
    axes = figure.subplots(len(heights), columns, squeeze=False, height_ratios=heights).flatten().tolist()
    text = "\n".join(lines)
    figure.text(0.02, 0.6 * _LINE / total, text, size=_CAPTION_SIZE, color=GREY, va="bottom", linespacing=1.25)
    return figure, axes


def name_at(axes: Axes, x: float, y: float, text: str) -> None:
    """Write a name to the right of a point, in the colour of text: the point itself shows the series."""
    box = {"facecolor": "white", "edgecolor": "none", "pad": 0.6}
    look = {"size": NAME_SIZE, "va": "center", "color": GREY, "bbox": box, "annotation_clip": False}
    axes.annotate(text, (x, y), xytext=(5, 0), textcoords="offset points", **look)


def name_ends(axes: Axes, ends: Sequence[tuple[float, float, str]]) -> None:
    """Write the names of lines at their right ends (x, y, name), moved apart where they would overlap.

    Set the limits of the axes before.
    """
    low, high = axes.get_ylim()
    height = axes.get_window_extent().height / axes.figure.dpi * 72  # points
    gap = (high - low) * 1.15 * NAME_SIZE / height

    ys = [y for _, y, _ in ends]
    ascending = sorted(range(len(ys)), key=lambda i: ys[i])
    lowest = -math.inf
    for i in ascending:  # upwards, then down from the upper limit
        ys[i] = max(ys[i], lowest)
        lowest = ys[i] + gap
    for i in reversed(ascending):
        ys[i] = min(ys[i], high)
        high = ys[i] - gap

    for (x, _, text), y in zip(ends, ys, strict=True):
        name_at(axes, x, y, text)


def same_limits(axes: Sequence[Axes], across: bool = True, up: bool = True) -> None:
    """Give panels the same limits, so that heights (with `up`) and widths (with `across`) are comparable."""
    if across:
        limits = [limit for panel in axes for limit in panel.get_xlim()]
        for panel in axes:
            panel.set_xlim(min(limits), max(limits))
    if up:
        limits = [limit for panel in axes for limit in panel.get_ylim()]
        for panel in axes:
            panel.set_ylim(min(limits), max(limits))


def estimate(per_item: np.ndarray, mean: float = math.nan, std: float = math.nan) -> np.ndarray:
    """Return mean, low and high (3,) of a score or a gain.

    For one seed (`std` is NaN) the range is the bootstrap interval of `per_item` (N,) over test items, paired for a
    gain; for several seeds it is one standard deviation over seeds around their mean.
    """
    if math.isnan(std):
        return np.array([per_item.mean(), *bootstrap_interval(per_item)])
    return mean + std * np.array([0, -1, 1])


def error(ends: np.ndarray) -> np.ndarray:
    """Return the lengths (2, K) of the error bars, below and above, of estimates (3,) or (3, K)."""
    mean, low, high = ends
    return np.maximum([mean - low, high - mean], 0.0).reshape(2, -1)


def where_text(group: Group, candidates: Iterable[Candidate]) -> str:
    """Return the words for a group's data: data set, gallery, number of test captions, tower."""
    numbers = sorted({candidate.captions for candidate in candidates})
    captions = ", ".join(f"{number:,}" for number in numbers)
    return f"{group.data}, gallery {group.gallery}, n = {captions} test captions, text tower {group.text_tower}"


def describe(group: Group, candidates: Sequence[Candidate], plain: bool = False) -> str:
    """Return the caption of a plot: metric, data, gallery, number of captions, seeds, and error bars.

    With `plain` the plot shows scores of the base encoder, too.
    """
    seeds = seeds_text(seed for candidate in candidates for seed in candidate.seeds)
    some_have_one_seed = any(len(candidate.runs) == 1 for candidate in candidates)
    some_have_several = any(len(candidate.runs) > 1 for candidate in candidates)

    bars = []
    if plain or some_have_one_seed:
        bars.append("95 % bootstrap interval over test items")
    if some_have_several:
        bars.append("± one standard deviation over seeds" + (" where a candidate has several" if bars else ""))
    metric = group.metric[0].upper() + group.metric[1:]
    return f"{metric}; {where_text(group, candidates)}; {seeds}. Bars: {'; '.join(bars)}."


def run_ids(candidates: Iterable[Candidate], *results: Result) -> tuple[str, ...]:
    """Return the ids of the runs of candidates, and of other results, sorted."""
    of_candidates = {run.run_id for candidate in candidates for run in candidate.runs}
    return tuple(sorted(of_candidates | {run.run_id for run in results}))
