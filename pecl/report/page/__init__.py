"""The results as one HTML page that needs nothing else: tables, plots, commands, versions, and retrieved items."""

from __future__ import annotations

import base64
import shlex
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from pecl.config import ExperimentConfig
from pecl.files import check_writable, write_text
from pecl.report.methods import LOOKS
from pecl.report.page.gallery import Gallery, make_gallery
from pecl.report.plots import Drawing
from pecl.report.tables import Report
from pecl.report.tables.formats import html_table, to_html
from pecl.report.tables.table import RUN, frame_of
from pecl.results.result import Result

if TYPE_CHECKING:
    import pandas as pd

FILE = "index.html"
_PIXELS = 130  # per inch of a plot: letters of 8 points are then as large as the page's
_NAMED = {"weights": "adapter", "plugin": "plugin"}  # fields whose flags the commands add themselves


def write_page(
    folder: str | Path,
    results: Sequence[Result],
    report: Report,
    drawing: Drawing,
    captions: int,
    data_dir: str | Path | None = None,
) -> Path:
    """Write the page of `results`, their tables and plots to `folder`/index.html, atomically, and return its path.

    Each language and route shows `captions` test captions; 0 leaves the gallery out. `data_dir` is the root of the data
    sets, for captions and pictures; otherwise that of each run, or $PECL_DATA_DIR.

    Raises:
        DataError: an image is damaged; nothing is written then.
        OutputError: the folder cannot be written.
    """
    check_writable(folder)
    gallery = make_gallery(results, captions, data_dir) if captions else Gallery()
    # Autoescape: captions, paths and names of users' data are text, whatever is in them.
    environment = Environment(
        loader=PackageLoader("pecl.report.page", "static"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.policies["json.dumps_kwargs"] = {"ensure_ascii": False, "separators": (",", ":")}
    html = environment.get_template("page.html").render(
        looks=LOOKS,
        results=results,
        tables=Markup(to_html(report.tables, ids=True)),
        report=report,
        plots=[
            (one, base64.b64encode(one.render("svg")).decode(), round(one.figure.get_figwidth() * _PIXELS))
            for one in drawing.plots
        ],
        not_drawn=drawing.not_drawn,
        run_table=Markup(html_table("Commands that repeat the runs", runs_frame(results))),
        software=Markup(html_table("Versions", software_frame(results))),
        gallery=gallery,
    )
    return write_text(Path(folder) / FILE, html)


def runs_frame(results: Sequence[Result]) -> pd.DataFrame:
    """Return one row per run: its config, and the command that repeats it."""
    rows = [
        {
            RUN: result.run_id,
            "status": result.status,
            "data set": result.config.dataset,
            **{name: getattr(result.config, name) for name in ("language", "route", "seed")},
            "software": number,
            "command": run_command(result),
        }
        for result, number in zip(results, _software_numbers(results), strict=True)
    ]
    return frame_of(rows)


def software_frame(results: Sequence[Result]) -> pd.DataFrame:
    """Return one row for each set of versions, commit and machine that runs were made with."""
    numbered = _software_numbers(results)
    made = dict(zip(numbered, (result.environment for result in results), strict=True))
    dirty = {True: "with uncommitted changes", False: "clean", None: "not a checkout"}
    rows = [
        {"software": number, "runs": numbered.count(number), "commit": one.commit, "checkout": dirty[one.dirty]}
        | {**one.versions, **asdict(one.machine)}
        for number, one in made.items()
    ]
    return frame_of(rows).dropna(axis="columns", how="all").fillna("-")


def _software_numbers(results: Sequence[Result]) -> list[int]:
    import pandas as pd

    return [int(place) + 1 for place in pd.factorize(pd.Series([repr(result.environment) for result in results]))[0]]


def run_command(result: Result) -> str:
    """Return `pecl train --flag value ...` or `pecl evaluate ...` with the config's fields that are not the default."""
    words = ["pecl", result.kind]
    if result.config.processes > 1:
        words = ["torchrun", "--nproc-per-node", str(result.config.processes), "--module", *words]
    for item in fields(ExperimentConfig):
        value = getattr(result.config, item.name)
        if value == item.default or not (item.metadata.get("flag", True) or item.name in _NAMED):
            continue
        flag = _NAMED.get(item.name, item.name.replace("_", "-"))
        if isinstance(value, bool):
            words.append(f"--{flag}" if value else f"--no-{flag}")
        else:
            words += [f"--{flag}", "none" if value is None else str(value)]
    return shlex.join(words)
