"""Draw the framework figure: img/framework.svg, .png and -dark.png, with the same bytes each time.

    python tools/draw_framework.py                 into img/
    python tools/draw_framework.py --out FOLDER    elsewhere

The scene, its captions and the table of routes come from the library, so the figure matches the
code. All lengths are inches. The figure is as wide as the text of a two-column paper.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex, to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Ellipse, FancyArrowPatch, FancyBboxPatch, Patch, Rectangle
from matplotlib.text import Text

from pecl.config.routes import ROUTES
from pecl.data.captions import ParallelCaptions
from pecl.data.scenes import load_scenes
from pecl.files import write_bytes
from pecl.report.plots.style import GREY, RC

WIDTH, HEIGHT = 7.1, 3.62
SCENE = 505  # short captions, and a mistake in each translation
LANGUAGE = "cs"
# Okabe & Ito's colours, as in every figure
BLUE, ORANGE, GREEN, PINK, AMBER, SKY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"
FROZEN, LINE, INK = "#e9ecef", "#495057", "#212529"
ON_BLUE, ON_CHIP = "#fefefe", "#111111"  # words on dark and on light chips, the same on dark pages
# neutral colour -> its replacement on the site's dark pages
DARK = {
    **{"white": "#1e2129", FROZEN: "#343a46", LINE: "#adb5bd", INK: "#e9ecef", GREY: "#adb5bd"},
    **{"#ced4da": "#4b5362", "#868e96": "#868e96", "#00714f": "#4fd1a5"},
}
# column of captions -> (short name, description, colour); names distinguish them without colour
COLUMNS = {
    "english": ("en", "English caption", BLUE),
    "target": (LANGUAGE, "Czech caption", ORANGE),
    "english_to_target": (f"en→{LANGUAGE}", "machine translation", AMBER),
    "target_to_english": (f"{LANGUAGE}→en", "machine translation", SKY),
}
SLOT_COLOURS = (ORANGE, GREEN, PINK)


def box(axes: Axes, x: float, y: float, width: float, height: float, **look: object) -> None:
    """Draw a box with round corners; x and y are its lower left corner."""
    look = {"facecolor": "white", "edgecolor": LINE, "linewidth": 0.8, **look}
    axes.add_patch(FancyBboxPatch((x, y), width, height, boxstyle="round,pad=0,rounding_size=0.05", **look))


def arrow(axes: Axes, points: Sequence[tuple[float, float]], colour: str = LINE, **look: object) -> None:
    """Draw a line through `points` with a head at the last; it passes over the lines drawn before it."""
    look = {"linewidth": 1.0, "zorder": 2, **look}
    axes.plot(*zip(*points[:-1], strict=True), color="white", linewidth=3.5, solid_capstyle="butt")
    axes.plot(*zip(*points[:-1], strict=True), color=colour, solid_capstyle="projecting", **look)
    axes.add_patch(
        FancyArrowPatch(*points[-2:], arrowstyle="-|>", mutation_scale=7, shrinkA=0, shrinkB=0, color=colour, **look)
    )


def joint(axes: Axes, x: float, y: float) -> None:
    """Draw the point where one line becomes two."""
    axes.plot(x, y, "o", color=LINE, markersize=2.8)


def text(axes: Axes, x: float, y: float, words: str, size: float = 7, **look: object) -> None:
    """Write text, centred at a point by default."""
    axes.text(x, y, words, **{"size": size, "ha": "center", "va": "center", "color": INK, **look})


def heading(axes: Axes, x: float, y: float, words: str) -> None:
    """Write the name of a part, in bold."""
    text(axes, x, y, words, 7.5, weight="bold")


def chip(axes: Axes, x: float, y: float, column: str, width: float = 0.42) -> None:
    """Draw the short name of a column of captions on its colour, centred at a point."""
    name, _, colour = COLUMNS[column]
    axes.add_patch(Rectangle((x - width / 2, y - 0.075), width, 0.15, facecolor=colour, edgecolor="none"))
    text(axes, x, y - 0.004, name, 6.3, weight="bold", color=ON_BLUE if colour in (BLUE, ORANGE) else ON_CHIP)


def draw_captions(axes: Axes, captions: ParallelCaptions) -> None:
    """Draw the four columns of captions and the image."""
    heading(axes, 1.0, 3.5, "Parallel captions")
    for row, (column, (_, what, _)) in enumerate(COLUMNS.items()):
        y = 2.99 - 0.43 * row
        box(axes, 0.05, y, 1.9, 0.37)
        chip(axes, 0.34, y + 0.265, column)
        text(axes, 0.62, y + 0.265, what, 6, ha="left", color=GREY)
        text(axes, 0.12, y + 0.1, getattr(captions, column)[0], 5.9, ha="left")

    picture = axes.inset_axes((0.62, 0.24, 0.76, 0.76), transform=axes.transData)
    picture.imshow(captions.images.load(0).resize((228, 228)))
    picture.set(xticks=[], yticks=[])
    picture.spines[:].set(visible=True, color=LINE, linewidth=0.8)
    heading(axes, 1.0, 0.12, "Image")


def draw_routes(axes: Axes) -> None:
    """Draw the table of routes with the columns of query and anchor."""
    heading(axes, 2.88, 3.5, "Route")
    box(axes, 2.2, 1.7, 1.36, 1.66)
    for x, words in ((2.9, "query"), (3.31, "anchor")):
        text(axes, x, 3.25, words, 6.5, style="italic")

    axes.plot((2.26, 3.5), (3.14, 3.14), color=LINE, linewidth=0.6)
    for row, (name, (query, anchor)) in enumerate(ROUTES.items()):
        y = 2.99 - 0.275 * row
        text(axes, 2.25, y, name, 5.9, ha="left")
        chip(axes, 2.9, y, query, 0.38)
        if anchor is None:
            text(axes, 3.31, y, "none", 6, color=GREY)
        else:
            chip(axes, 3.31, y, anchor, 0.38)

    arrow(axes, [(1.97, 2.53), (2.17, 2.53)])


def draw_text_tower(axes: Axes) -> None:
    """Draw the frozen layers with their slots of parameters."""
    heading(axes, 4.5, 3.5, "Text tower")
    box(axes, 3.87, 1.7, 1.26, 1.66, facecolor=FROZEN)
    for row in range(4):
        y = 1.98 + 0.3 * row
        box(axes, 3.94, y, 0.53, 0.22, facecolor="#ced4da", edgecolor="#868e96")
        text(axes, 4.205, y + 0.1, "layer", 6, color=GREY)
        text(axes, 4.53, y + 0.105, "+", 7)
        for slot, colour in enumerate(SLOT_COLOURS):
            axes.add_patch(Rectangle((4.62 + 0.155 * slot, y + 0.035), 0.125, 0.15, facecolor=colour, edgecolor="none"))

    text(axes, 4.205, 3.245, "frozen", 6.5, style="italic")
    text(axes, 4.84, 3.245, "slots", 6.5, style="italic", weight="bold")
    text(axes, 4.48, 1.835, "row of the batch → its slot", 5.9)
    for y, words in ((2.88, "anchor"), (2.1, "query")):
        arrow(axes, [(3.58, y), (3.84, y)])
        text(axes, 3.71, y + 0.09, words, 5.6)

    text(axes, 4.48, 1.58, "a slot: a language or a grid run", 5.9, color=GREY)


def draw_image_tower(axes: Axes) -> None:
    """Draw the frozen image tower and the store of its embeddings."""
    box(axes, 2.2, 0.36, 1.36, 0.52, facecolor=FROZEN)
    text(axes, 2.88, 0.69, "Image tower", 7.5, weight="bold")
    text(axes, 2.88, 0.51, "frozen", 6.5, style="italic")
    arrow(axes, [(1.41, 0.62), (2.17, 0.62)])
    arrow(axes, [(3.58, 0.62), (3.98, 0.62)])
    axes.add_patch(Rectangle((4.01, 0.38), 0.94, 0.5, facecolor=FROZEN, edgecolor="none"))
    for y in (0.38, 0.88):
        axes.add_patch(Ellipse((4.48, y), 0.94, 0.16, facecolor=FROZEN, edgecolor=LINE, linewidth=0.8))

    axes.add_patch(Rectangle((4.012, 0.38), 0.936, 0.12, facecolor=FROZEN, edgecolor="none"))
    for x in (4.01, 4.95):
        axes.plot((x, x), (0.38, 0.88), color=LINE, linewidth=0.8)

    text(axes, 4.48, 0.64, "Embeddings", 7, weight="bold")
    text(axes, 4.48, 0.48, "computed once", 6, color=GREY)
    text(axes, 4.48, 0.19, "on disk, by content", 6, color=GREY)


def draw_losses(axes: Axes) -> None:
    """Draw both terms of the loss, their inputs, and the path of their gradient."""
    heading(axes, 6.3, 3.5, "Loss")
    box(axes, 5.6, 2.6, 1.42, 0.56)
    text(axes, 6.31, 2.98, "$\\lambda\\ \\times$ Alignment", 7, weight="bold")
    text(axes, 6.31, 2.77, "query $t_q$ and anchor $t_a$", 6.3)
    text(axes, 6.31, 2.47, "+", 8)
    box(axes, 5.6, 1.78, 1.42, 0.56)
    text(axes, 6.31, 2.16, "Contrastive", 7, weight="bold")
    text(axes, 6.31, 1.95, "image $v$ and query $t_q$", 6.3)
    arrow(axes, [(5.16, 2.88), (5.57, 2.88)])
    arrow(axes, [(5.33, 2.1), (5.33, 2.72), (5.57, 2.72)])
    arrow(axes, [(5.16, 2.1), (5.57, 2.1)])
    text(axes, 5.24, 2.98, "$t_a$", 7)
    text(axes, 5.24, 2.2, "$t_q$", 7)
    arrow(axes, [(6.31, 3.19), (6.31, 3.3), (5.4, 3.3), (5.02, 3.3)], GREEN, linestyle=(0, (3, 1.5)))
    text(axes, 5.72, 3.385, "gradient only to the slots", 5.9, color="#00714f")


def draw_evaluation(axes: Axes) -> None:
    """Draw retrieval, its inputs and the result."""
    box(axes, 5.6, 0.86, 1.42, 0.56)
    text(axes, 6.31, 1.24, "Evaluator", 7.5, weight="bold")
    text(axes, 6.31, 1.03, "image ↔ text recall@k", 6.3)
    box(axes, 5.6, 0.2, 1.42, 0.42)
    text(axes, 6.31, 0.41, "One JSON per run", 7.5, weight="bold")
    arrow(axes, [(6.31, 0.83), (6.31, 0.65)])
    arrow(axes, [(5.33, 2.1), (5.33, 1.24), (5.57, 1.24)])
    joint(axes, 5.33, 2.1)
    arrow(axes, [(5.2, 1.02), (5.2, 1.92), (5.45, 1.92), (5.57, 1.92)])
    arrow(axes, [(4.98, 0.62), (5.2, 0.62), (5.2, 1.02), (5.57, 1.02)])
    joint(axes, 5.2, 1.02)
    text(axes, 5.12, 1.14, "$v$", 7)


def draw() -> Figure:
    """Return the whole figure."""
    figure = Figure(figsize=(WIDTH, HEIGHT))
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, WIDTH), ylim=(0, HEIGHT))
    axes.axis("off")
    draw_captions(axes, load_scenes(LANGUAGE).select([SCENE]))
    for part in (draw_routes, draw_text_tower, draw_image_tower, draw_losses, draw_evaluation):
        part(axes)
    return figure


def darken(figure: Figure) -> None:
    """Replace each neutral colour by its colour for dark pages."""
    dark = {to_hex(light): colour for light, colour in DARK.items()}
    figure.set_facecolor(DARK["white"])
    for artist in figure.findobj(lambda one: isinstance(one, Patch | Line2D | Text)):
        for name in ("facecolor", "edgecolor") if isinstance(artist, Patch) else ("color",):
            now = getattr(artist, f"get_{name}")()
            if artist is not figure.patch and to_hex(now) in dark and to_rgba(now)[3]:
                artist.set(**{name: dark[to_hex(now)]})


def main(arguments: Sequence[str] | None = None) -> None:
    """Draw the figure in both formats, and for dark pages."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "img", help="folder (default: img)")
    folder = parser.parse_args(arguments).out

    with mpl.rc_context(RC | {"savefig.dpi": 300, "mathtext.fontset": "dejavuserif"}):
        figure = draw()
        write(figure, folder / "framework.svg")
        write(figure, folder / "framework.png")
        darken(figure)
        write(figure, folder / "framework-dark.png")


def write(figure: Figure, path: Path) -> None:
    """Write the figure in the format of the path's suffix, without metadata on time and program."""
    buffer = io.BytesIO()
    kind = path.suffix[1:]
    unnamed = {"svg": {"Date": None, "Creator": None}, "png": {"Software": None}}[kind]
    figure.savefig(buffer, format=kind, metadata={"Title": "The framework of pecl", **unnamed})
    write_bytes(path, buffer.getvalue())


if __name__ == "__main__":
    main()
