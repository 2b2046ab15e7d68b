"""The style of all plots, and `Plot`, which renders to the same bytes for the same results."""

import io
import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from pecl.report.methods import LOOKS, Method, look_name

FORMATS = ("png", "svg")

GREY = "#5a5a5a"

COLUMN = 3.35  # inches: the width of a column of a two-column paper
_CAPTION_SIZE = 6.5  # points
_LINE = 0.125  # inches that a line of the caption takes
_LETTERS = 20.5  # letters of the caption in an inch
_NAME_SIZE = 6.5  # points, of names next to points and lines

_STYLE = Path(__file__).with_name("plots.mplstyle")
RC: dict[Any, Any] = dict(mpl.rc_params_from_file(_STYLE, fail_on_error=True, use_default_template=False))

# A decorator of functions that draw: within them the style holds.
styled = mpl.rc_context(RC)


class NotDrawn(Exception):
    """The results lack the data of a plot; the message names the missing part."""


def look(method: Method, **other_than: Any) -> dict[str, Any]:
    """Return colour and marker of a method, except those given."""
    colour, marker = LOOKS[look_name(method)]
    return {"color": colour, "marker": marker, **other_than}


@dataclass(frozen=True)
class Plot:
    """A drawn plot."""

    name: str  # file name without its ending
    title: str
    caption: str  # gallery, metric, number of test captions, seeds, and error bars
    runs: tuple[str, ...]  # ids of the runs whose numbers are in it
    figure: Figure

    def __post_init__(self) -> None:
        # The layout is computed here, once: each drawing would compute it again, from the result of the last.
        for _ in range(2):  # the first knows the sizes of labels only once they are placed
            self.figure.draw_without_rendering()
        self.figure.set_layout_engine("none")

    def render(self, kind: str) -> bytes:
        """Return the picture as a file of `kind`, one of `FORMATS`; no date, host or version is in it."""
        buffer = io.BytesIO()
        dates = {"svg": {"Date": None, "Creator": None}, "png": {"Software": None}}
        metadata = {"Title": self.title, "Description": f"{self.title}. {self.said()}", **dates[kind]}
        with mpl.rc_context(RC):
            self.figure.savefig(buffer, format=kind, metadata=metadata)
        return buffer.getvalue()

    def said(self) -> str:
        """Return the caption with the ids of the runs."""
        return f"{self.caption} Runs: {', '.join(self.runs)}."


def panels(
    height: float | Sequence[float], caption: str, columns: int = 1, rows: int = 1, width: float = COLUMN
) -> tuple[Figure, list[Axes]]:
    """Return a figure `width` inches wide, with its panels over its caption.

    `height` is that of each of `rows` rows of panels, in inches; or those of all rows.
    """
    heights = list(height) if isinstance(height, Sequence) else [height] * rows
    lines = textwrap.wrap(caption, width=int(width * _LETTERS))
    below = (len(lines) + 0.8) * _LINE
    total = sum(heights) + below
    layout = ConstrainedLayoutEngine(rect=(0, below / total, 1, 1 - below / total), w_pad=0.06)
    figure = Figure(figsize=(width, total), layout=layout)
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(heights), columns, squeeze=False, height_ratios=heights).flatten().tolist()
    text = "\n".join(lines)
    figure.text(0.02, 0.6 * _LINE / total, text, size=_CAPTION_SIZE, color=GREY, va="bottom", linespacing=1.25)
    return figure, axes


def name_at(axes: Axes, x: float, y: float, text: str) -> None:
    """Write a name to the right of a point, in the colour of text: the point next to it shows which series it is."""
    box = {"facecolor": "white", "edgecolor": "none", "pad": 0.6}
    look = {"size": _NAME_SIZE, "va": "center", "color": GREY, "bbox": box, "annotation_clip": False}
    axes.annotate(text, (x, y), xytext=(5, 0), textcoords="offset points", **look)


def name_ends(axes: Axes, ends: Sequence[tuple[float, float, str]]) -> None:
    """Write the names of lines at their right ends (x, y, name), moved apart where they would cover each other.

    The limits of the axes have to be set before.
    """
    low, high = axes.get_ylim()
    height = axes.get_window_extent().height / axes.figure.dpi * 72  # points
    places = moved_apart([y for _, y, _ in ends], (high - low) * 1.15 * _NAME_SIZE / height, high)
    for (x, _, text), y in zip(ends, places, strict=True):
        name_at(axes, x, y, text)


def moved_apart(places: Sequence[float], gap: float, high: float = math.inf) -> list[float]:
    """Return the places, each pair of neighbours at least `gap` apart and in their order, none above `high`."""
    order = sorted(range(len(places)), key=lambda place: places[place])
    found, lowest = list(places), -math.inf
    for place in order:  # upwards, then down from the upper limit
        found[place] = max(found[place], lowest)
        lowest = found[place] + gap
    for place in reversed(order):
        found[place] = min(found[place], high)
        high = found[place] - gap
    return found


def same_limits(axes: Sequence[Axes], across: bool = True, up: bool = True) -> None:
    """Give panels the same limits, so that heights (with `up`) and widths (with `across`) compare between them."""
    for axis in [*("x" * across), *("y" * up)]:
        ends = [end for panel in axes for end in getattr(panel, f"get_{axis}lim")()]
        for panel in axes:
            getattr(panel, f"set_{axis}lim")(min(ends), max(ends))
