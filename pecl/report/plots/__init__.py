"""Plots of results as PNG and SVG in one style; equal results give equal bytes.

Every plot states its gallery, metric, number of test captions, seeds and run ids: the first four below the axes, all of
them in the file's metadata and in `captions.md`. If the data of a plot are missing, it is not drawn, and `draw_plots`
gives the reason.
"""

import logging
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from pecl.files import check_writable, write_bytes, write_text
from pecl.report.plots.recall import draw_gap_closed, draw_parameters, draw_recall, draw_shots
from pecl.report.plots.style import FORMATS, NotDrawn, Plot, styled
from pecl.report.plots.training import draw_curves, draw_heat_map
from pecl.report.tables import Group, by_group
from pecl.report.tables.formats import escape_markdown
from pecl.report.tables.groups import grouped
from pecl.results.result import Result

logger = logging.getLogger(__name__)

# Name -> a function that draws a group's plot from the group, its trainings, and all results
PLOTS: dict[str, Callable[[Group, list[Result], Sequence[Result]], Plot]] = {
    "recall": draw_recall,
    "gap-closed": draw_gap_closed,
    "parameters": draw_parameters,
    "shots": draw_shots,
    "heat-map": draw_heat_map,
    "training": draw_curves,
}


@dataclass
class Drawing:
    """The plots that were drawn, and the reason for each plot that was not."""

    plots: list[Plot] = field(default_factory=list)
    not_drawn: dict[str, str] = field(default_factory=dict)


@styled
def draw_plots(results: Sequence[Result]) -> Drawing:
    """Draw every plot of `PLOTS` for each group of complete results that has the data; log why others are not drawn."""
    drawing = Drawing()
    trained = [result for result in results if result.kind == "train"]
    for name, draw in PLOTS.items():
        plots: list[tuple[Group, Plot]] = []
        reasons = [] if trained else ["no complete training among the results"]
        # the gallery shrinks as shots grow
        alike = (lambda group: replace(group, gallery_size=None)) if name == "shots" else (lambda group: group)
        groups = grouped(by_group(trained).items(), lambda item, alike=alike: alike(item[0]))
        for group, parts in groups.items():
            try:
                plots.append((group, draw(group, [run for _, runs in parts for run in runs], results)))
            except NotDrawn as reason:
                reasons.append(str(reason))
        if len(plots) > 1:  # their names differ by data set and gallery, or else by a number
            titles = [
                re.sub(r"[^a-z0-9]+", "-", f"{name} {group.title}".lower().replace(",", "")) for group, _ in plots
            ]
            names = [one if one not in titles[:i] else f"{one}-no-{i + 1}" for i, one in enumerate(titles)]
            plots = [(group, replace(plot, name=own)) for own, (group, plot) in zip(names, plots, strict=True)]
        drawing.plots += [plot for _, plot in plots]
        if not plots:
            drawing.not_drawn[name] = "; ".join(dict.fromkeys(reasons))
            logger.info("plot %s is not drawn: %s", name, drawing.not_drawn[name])
    return drawing


def write_plots(drawing: Drawing, folder: str | Path) -> list[Path]:
    """Write each plot as PNG and SVG, and `captions.md` with their captions and runs; return the paths.

    Raises:
        OutputError: the folder cannot be written.
    """
    folder = Path(folder)
    check_writable(folder)
    paths = [write_bytes(folder / f"{one.name}.{kind}", one.render(kind)) for one in drawing.plots for kind in FORMATS]
    # No JSON: the folder may lie among results, where JSON files are read as results.
    said = [
        f"**{escape_markdown(one.title)}** (`{one.name}`). {escape_markdown(one.said())}\n" for one in drawing.plots
    ]
    said += [f"`{name}` is not drawn: {escape_markdown(reason)}.\n" for name, reason in drawing.not_drawn.items()]
    return [*paths, write_text(folder / "captions.md", "\n".join(said))]
