"""How all plots look, and `Plot`, which turns into the same bytes whenever it is drawn from the same results."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

FORMATS = ("png", "svg")

# Okabe & Ito's palette (https://jfly.uni-koeln.de/color), told apart by colour-blind readers, without yellow, which is
# faint on white; each colour has a marker and a dash of its own, so nothing is told by colour alone.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
DASHES = ("-", (0, (5, 1.5)), (0, (1.5, 1)), (0, (6, 1.5, 1.5, 1.5)), (0, (3, 1)), (0, (8, 2)), (0, (1, 2)))
GREY = "#5a5a5a"

COLUMN = 3.35  # inches: the width of a column of a two-column paper
_CAPTION_SIZE = 6.5  # points
_LINE = 0.125  # inches that a line of the caption takes
_LETTERS = 20.5  # of the caption, in an inch

RC: dict[Any, Any] = {
    "font.family": "DejaVu Sans",  # ships with matplotlib: the same letters, and so the same bytes, on every machine
    "font.size": 8,
    "axes.titlesize": 8.5,
    "axes.labelsize": 8,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "legend.handlelength": 2.4,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.2,
    "lines.markersize": 4.5,
    "errorbar.capsize": 2,
    "svg.hashsalt": "pecl",  # ids within the file; otherwise random
    "svg.fonttype": "path",
    "figure.dpi": 220,  # that of PNG files, so that the layout is made for them
    "savefig.dpi": "figure",
    "figure.facecolor": "white",
}


# A decorator of functions that draw: within them the style holds.
styled = mpl.rc_context(RC)


class NotDrawn(Exception):
    """The results lack the data of a plot; the message says what is missing."""


def look(index: int, **other_than: Any) -> dict[str, Any]:
    """Return colour, marker and dash of the series `index`, but for those given; 49 series look different."""
    turn, place = divmod(index, len(COLOURS))
    other = (place + turn) % len(COLOURS)
    return {"color": COLOURS[place], "marker": MARKERS[other], "linestyle": DASHES[other], **other_than}


@dataclass(frozen=True)
class Plot:
    """A drawn plot.

    Attributes:
        name: file name without its ending.
        title: what it shows.
        caption: gallery, metric, number of test captions, seeds, and what the bars are.
        runs: ids of the runs whose numbers are in it.
        figure: the picture.
    """

    name: str
    title: str
    caption: str
    runs: tuple[str, ...]
    figure: Figure

    def __post_init__(self) -> None:
        # The layout is computed here, once: each drawing would compute it anew from where the one before left it.
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
    height: float, caption: str, columns: int = 1, rows: int = 1, width: float = COLUMN
) -> tuple[Figure, list[Axes]]:
    """Return a figure `width` wide whose `rows` of panels are `height` inches high each, over its caption."""
    lines = textwrap.wrap(caption, width=int(width * _LETTERS))
    below = (len(lines) + 0.8) * _LINE
    total = rows * height + below
    layout = ConstrainedLayoutEngine(rect=(0, below / total, 1, 1 - below / total), w_pad=0.06)
    figure = Figure(figsize=(width, total), layout=layout)
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns, squeeze=False).flatten().tolist()
    text = "\n".join(lines)
    figure.text(0.02, 0.6 * _LINE / total, text, size=_CAPTION_SIZE, color=GREY, va="bottom", linespacing=1.25)
    return figure, axes


def legend(figure: Figure, axes: Sequence[Axes], columns: int = 2) -> None:
    """Put one legend of all `axes` above the panels, where it covers no data; equal labels appear once.

    It has as many `columns` as fit the width of the figure.
    """
    found: dict[str, Any] = {}
    for panel in axes:
        for handle, label in zip(*panel.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    for count in range(min(columns, len(found)), 0, -1):
        drawn = figure.legend(found.values(), found.keys(), loc="outside upper left", ncols=count)
        if count == 1 or drawn.get_window_extent().width <= figure.bbox.width:
            break
        drawn.remove()
