"""Pictures of results as PNG and SVG: one table of plots, one style, equal results give equal bytes.

Every plot carries its gallery, metric, number of test captions, seeds and the ids of its runs: the first four under the
axes, all of them in the file's metadata and in `captions.md`. A plot whose data are not there is not drawn, and
`draw_plots` says why.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pecl.files import check_writable, write_bytes, write_text
from pecl.report.plots.against import draw_parameters, draw_shots
from pecl.report.plots.curves import draw_curves
from pecl.report.plots.grid import draw_heat_map
from pecl.report.plots.recall import draw_gap_closed, draw_recall
from pecl.report.plots.style import FORMATS, NotDrawn, Plot
from pecl.report.tables.formats import escape_markdown
from pecl.results.result import Result

logger = logging.getLogger(__name__)

PLOTS: dict[str, Callable[[Sequence[Result]], list[Plot]]] = {
    "recall": draw_recall,
    "gap-closed": draw_gap_closed,
    "parameters": draw_parameters,
    "shots": draw_shots,
    "heat-map": draw_heat_map,
    "training": draw_curves,
}


@dataclass
class Drawing:
    """The plots that were drawn, and the reason for each one that was not."""

    plots: list[Plot] = field(default_factory=list)
    not_drawn: dict[str, str] = field(default_factory=dict)


def draw_plots(results: Sequence[Result]) -> Drawing:
    """Draw every plot of `PLOTS` that complete results have the data for; the log names the others, with the reason."""
    drawing = Drawing()
    for name, draw in PLOTS.items():
        try:
            drawing.plots += draw(results)
        except NotDrawn as reason:
            drawing.not_drawn[name] = str(reason)
            logger.info("plot %s is not drawn: %s", name, reason)
    return drawing


def write_plots(drawing: Drawing, folder: str | Path) -> list[Path]:
    """Write each plot as PNG and SVG, and `captions.md` with their captions and runs; return the paths.

    Raises:
        OutputError: the folder cannot be written.
    """
    folder = Path(folder)
    check_writable(folder)
    paths = [write_bytes(folder / f"{one.name}.{kind}", one.render(kind)) for one in drawing.plots for kind in FORMATS]
    # No JSON: the folder may lie among results, whose every JSON file is read as one.
    said = [
        f"**{escape_markdown(one.title)}** (`{one.name}`). {escape_markdown(one.said())}\n" for one in drawing.plots
    ]
    said += [f"`{name}` is not drawn: {escape_markdown(reason)}.\n" for name, reason in drawing.not_drawn.items()]
    return [*paths, write_text(folder / "captions.md", "\n".join(said))]
