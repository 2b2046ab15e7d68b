"""What several plots share: one plot a setting, and its file name."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace

from pecl.plots.estimates import Result, Setting, by_setting
from pecl.plots.style import NotDrawn, Plot

# (setting, its trained results, all results) -> plot
DrawSetting = Callable[[Setting, list[Result], Sequence[Result]], Plot]


def trained(results: Sequence[Result]) -> list[Result]:
    """Return the results of trainings.

    Raises:
        NotDrawn: there are none.
    """
    found = [result for result in results if result["kind"] == "train"]
    if not found:
        raise NotDrawn("no complete training among the results")
    return found


def plot_settings(results: Sequence[Result], draw: DrawSetting) -> list[Plot]:
    """Return a plot for each setting in which something was trained and that has the data for it.

    Where several settings have one, its name tells them apart.

    Raises:
        NotDrawn: no setting has; the reasons are joined.
    """
    plots, reasons = {}, []
    for setting, runs in by_setting(trained(results)).items():
        try:
            plots[setting] = draw(setting, runs, results)
        except NotDrawn as reason:
            reasons.append(str(reason))
    if not plots:
        raise NotDrawn("; ".join(dict.fromkeys(reasons)))
    if len(plots) == 1:
        return list(plots.values())
    return [replace(plot, name=_slug(plot.name, setting)) for setting, plot in plots.items()]


def _slug(name: str, setting: Setting) -> str:
    words = f"{name} {setting.name} {setting.size} {setting.kind} {setting.tower}"
    return re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")
