"""What several plots share: one plot for each group of results that were measured alike, and its file name."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace

from pecl.report.plots.style import NotDrawn, Plot
from pecl.report.tables import Group, by_group
from pecl.results.result import Result

# (group, its trainings, all results) -> plot
DrawGroup = Callable[[Group, list[Result], Sequence[Result]], Plot]


def trainings(results: Sequence[Result]) -> list[Result]:
    """Return the results of trainings.

    Raises:
        NotDrawn: there are none.
    """
    found = [result for result in results if result.kind == "train"]
    if not found:
        raise NotDrawn("no complete training among the results")
    return found


def plot_groups(results: Sequence[Result], draw: DrawGroup) -> list[Plot]:
    """Return a plot for each group in which something was trained and that has the data for it.

    Where several groups have one, its name tells them apart.

    Raises:
        NotDrawn: no group has; the reasons are joined.
    """
    plots, reasons = [], []
    for group, runs in by_group(trainings(results)).items():
        try:
            plots.append((group, draw(group, runs, results)))
        except NotDrawn as reason:
            reasons.append(str(reason))
    if not plots:
        raise NotDrawn("; ".join(dict.fromkeys(reasons)))
    return with_names(plots)


def with_names(plots: Sequence[tuple[Group, Plot]]) -> list[Plot]:
    """Return the plots; where there are several, data set and gallery are added to their names, and else a number."""
    if len(plots) == 1:
        return [plots[0][1]]
    named: dict[str, Plot] = {}
    for group, plot in plots:
        name = slug(f"{plot.name} {group.dataset} {group.dataset_split or ''} {group.gallery}")
        number = sum(other == name or other.startswith(f"{name}-no-") for other in named)
        name = f"{name}-no-{number + 1}" if number else name
        named[name] = replace(plot, name=name)
    return list(named.values())


def slug(text: str) -> str:
    """Return `text` as a file name: lower case, digits and hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower().replace(",", "")).strip("-")
