"""Pictures of results as PNG and SVG: one table of plots, one style, equal results give equal bytes.

Every plot carries its gallery, metric, number of test captions, seeds and the ids of its runs: the first four under the
axes, all of them in the file's metadata and in `captions.md`. A plot whose data are not there is not drawn, and
`draw_plots` says why.
"""

from pecl.report.plots.drawing import PLOTS, Drawing, draw_plots, write_plots
from pecl.report.plots.style import FORMATS, Plot
