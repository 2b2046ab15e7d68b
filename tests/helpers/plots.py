"""Some of the plots of results: to draw all takes seconds."""

import pytest

from pecl.report.plots import PLOTS, draw_plots


def draw_some(results, *names):
    """Return what `draw_plots` returns, of the named plots only."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pecl.report.plots.PLOTS", {name: PLOTS[name] for name in names})
        return draw_plots(results)
