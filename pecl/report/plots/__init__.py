"""Plots of results as PNG, SVG and PDF in one style; equal results give equal bytes.

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
from pecl.report.plots.comparison import draw_forest
from pecl.report.plots.recall import draw_gap_closed, draw_recall
from pecl.report.plots.sizes import draw_parameters, draw_shots
from pecl.report.plots.style import FORMATS, NotDrawn, Plot, styled
from pecl.report.plots.training import draw_curves, draw_heat_map
from pecl.report.selection.groups import Group, by_group
from pecl.report.tables.formats import escape_markdown
from pecl.report.tables.table import Table
from pecl.results.result import Result, TrainingResult, trainings

logger = logging.getLogger(__name__)

_CAPTIONS = "captions.md"
_NAME_IN_CAPTIONS = re.compile(r"^\*\*[^`\n]*\*\* \(`([a-z0-9-]+)`\)\. ", re.MULTILINE)  # after the title of a plot

# Name -> a function that draws a group's plot from the group, its trainings, and all results
PLOTS: dict[str, Callable[[Group, list[TrainingResult], Sequence[Result]], Plot]] = {
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
    training_results = trainings(results)
    for name, draw in PLOTS.items():
        plots: list[tuple[Group, Plot]] = []
        reasons = [] if training_results else ["no complete training among the results"]
        for group, runs in _groups_of_plot(name, training_results).items():
            try:
                plots.append((group, draw(group, runs, results)))
            except NotDrawn as reason:
                reasons.append(str(reason))

        drawing.plots += _with_names(name, plots)
        if not plots:
            drawing.not_drawn[name] = "; ".join(dict.fromkeys(reasons))
            logger.info("plot %s is not drawn: %s", name, drawing.not_drawn[name])
    return drawing


@styled
def draw_comparisons(tables: Sequence[Table]) -> Drawing:
    """Draw a forest plot for each group of the tables of `comparison_tables`."""
    plots = [(group, draw_forest(group, group_tables)) for group, group_tables in _by_group_of_table(tables).items()]
    return Drawing(_with_names("comparison", plots))


def _by_group_of_table(tables: Sequence[Table]) -> dict[Group, list[Table]]:
    by_group_of_table: dict[Group, list[Table]] = {}
    for table in tables:
        if table.group is not None:
            by_group_of_table.setdefault(table.group, []).append(table)
    return by_group_of_table


def _groups_of_plot(name: str, training_results: Sequence[TrainingResult]) -> dict[Group, list[TrainingResult]]:
    """Return the trainings of each plot called `name`."""
    groups: dict[Group, list[TrainingResult]] = {}
    for group, runs in by_group(training_results).items():
        if name == "shots":  # the gallery shrinks as shots grow
            group = replace(group, gallery_size=None)
        groups.setdefault(group, []).extend(runs)
    return groups


def _with_names(name: str, plots: Sequence[tuple[Group, Plot]]) -> list[Plot]:
    """Return plots of one kind with names of their own: by data set and gallery, or else by a number."""
    if len(plots) <= 1:
        return [plot for _, plot in plots]

    renamed_plots: list[Plot] = []
    titles: list[str] = []
    for number, (group, plot) in enumerate(plots, 1):
        title = re.sub(r"[^a-z0-9]+", "-", f"{name} {group.title}".lower().replace(",", ""))
        renamed_plots.append(replace(plot, name=f"{title}-no-{number}" if title in titles else title))
        titles.append(title)
    return renamed_plots


def write_plots(drawing: Drawing, folder: str | Path) -> list[Path]:
    """Write each plot as PNG, SVG and PDF, and `captions.md` with their captions and runs; return the paths.

    Plots of an earlier call that its `captions.md` names are deleted unless they are written again.

    Raises:
        OutputError: the folder cannot be written.
    """
    folder = Path(folder)
    check_writable(folder)
    earlier_paths = _paths_in_captions(folder)

    paths = []
    for plot in drawing.plots:
        paths += [write_bytes(folder / f"{plot.name}.{kind}", plot.render(kind)) for kind in FORMATS]

    # No JSON: the folder may lie among results, where JSON files are read as results.
    lines = []
    for plot in drawing.plots:
        lines.append(f"**{escape_markdown(plot.title)}** (`{plot.name}`). {escape_markdown(plot.full_caption())}\n")
    for name, reason in drawing.not_drawn.items():
        lines.append(f"`{name}` is not drawn: {escape_markdown(reason)}.\n")
    paths.append(write_text(folder / _CAPTIONS, "\n".join(lines)))

    for path in earlier_paths:
        if path not in paths:
            path.unlink(missing_ok=True)
    return paths


def _paths_in_captions(folder: Path) -> list[Path]:
    """Return the paths of the plots that the captions in a folder name; none without captions."""
    captions = folder / _CAPTIONS
    if not captions.is_file():
        return []

    names = _NAME_IN_CAPTIONS.findall(captions.read_text("utf-8", errors="replace"))
    return [folder / f"{name}.{kind}" for name in names for kind in FORMATS]
