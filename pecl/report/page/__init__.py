"""Results as one self-contained HTML page: tables, plots, commands, versions, and retrieved items.

It shows the items that test captions retrieved before and after training: for the captions whose rank changed most, up
or down, and for a sample of the others. Results hold only indices, so captions and images are read from the data sets,
and shown only if the data are still those of the run.
"""

import base64
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from pecl.files import check_writable, write_text
from pecl.report.page.gallery import Gallery
from pecl.report.plots import Drawing
from pecl.report.plots.style import LOOKS
from pecl.report.tables import Report
from pecl.report.tables.formats import html_table, to_html
from pecl.report.tables.table import RUN, Frame, frame_of
from pecl.results import parts
from pecl.results.result import AnyRun

FILE = "index.html"
_PIXELS = 130  # per inch of a plot: 8-point letters then have the size of the page's text
_CHECKOUT = {True: "with uncommitted changes", False: "clean", None: "not a checkout"}  # by `Environment.dirty`


def write_page(
    folder: str | Path,
    runs: Sequence[AnyRun],
    report: Report,
    drawing: Drawing,
    captions: int,
    data_dir: str | Path | None = None,
) -> Path:
    """Write the page of `runs`, their tables and plots to `folder`/index.html, atomically, and return its path.

    Each language and route shows `captions` test captions; 0 omits the gallery. `data_dir` is the root of the data sets
    with captions and images; by default that of each run, or $PECL_DATA_DIR.

    Raises:
        DataError: an image is damaged; nothing is written then.
        OutputError: the folder cannot be written.
    """
    check_writable(folder)

    gallery = Gallery(runs if captions else [], captions, data_dir)
    commands, software = _frames(runs)
    plots = []
    for plot in drawing.plots:
        image = base64.b64encode(plot.render("svg")).decode()
        plots.append((plot, image, round(plot.figure.get_figwidth() * _PIXELS)))

    # Autoescape: captions, paths and names of users' data are text, whatever is in them.
    environment = Environment(
        loader=PackageLoader("pecl.report.page", "static"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.policies["json.dumps_kwargs"] = {"ensure_ascii": False, "separators": (",", ":")}
    html = environment.get_template("page.html").render(
        looks=LOOKS,
        runs=runs,
        tables=Markup(to_html(report.tables, ids=True)),
        report=report,
        plots=plots,
        not_drawn=drawing.not_drawn,
        run_table=Markup(html_table("Commands that repeat the runs", commands)),
        software=Markup(html_table("Versions", software)),
        gallery=gallery,
    )
    return write_text(Path(folder) / FILE, html)


def _frames(runs: Sequence[AnyRun]) -> tuple[Frame, Frame]:
    """Return a row per run, with the command that repeats it, and a row per set of versions, commit and machine."""
    environments: list[parts.Environment] = []
    commands = []
    for run in runs:
        if run.environment not in environments:
            environments.append(run.environment)
        commands.append(
            {
                RUN: run.run_id,
                "status": run.status,
                "data set": run.config.dataset,
                "language": run.config.language,
                "route": run.config.route,
                "seed": run.config.seed,
                "software": environments.index(run.environment) + 1,
                "command": run.command,
            }
        )

    software = []
    for number, environment in enumerate(environments, 1):
        software.append(
            {
                "software": number,
                "runs": sum(command["software"] == number for command in commands),
                "commit": environment.commit,
                "checkout": _CHECKOUT[environment.dirty],
                **environment.versions,
                **asdict(environment.machine),
            }
        )
    return frame_of(commands), frame_of(software).dropna(axis="columns", how="all").fillna("-")
