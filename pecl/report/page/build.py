"""`build_page`: one HTML document with its style, script, plots and pictures inside; it needs no network."""

import base64
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from pecl.files import check_writable, write_text
from pecl.report.methods import LOOKS
from pecl.report.page.gallery import Gallery, make_gallery
from pecl.report.page.tables import runs_frame, software_frame
from pecl.report.plots import Drawing
from pecl.report.tables import Report
from pecl.report.tables.formats import html_table, to_html
from pecl.results.result import Result

FILE = "index.html"
_PIXELS = 130  # per inch of a plot: letters of 8 points are then as large as the page's
_STATIC = Path(__file__).parent / "static"


def write_page(
    folder: str | Path,
    results: Sequence[Result],
    report: Report,
    drawing: Drawing,
    captions: int,
    data_dir: str | Path | None = None,
) -> Path:
    """Write the page of `results` to `folder`/index.html, atomically, and return its path.

    Args:
        folder: its folder; made if missing.
        results: as `collect` gives them.
        report: their tables.
        drawing: their plots.
        captions: test captions shown for each language and route; 0 leaves the gallery out.
        data_dir: root of the data sets, for captions and pictures; otherwise that of each run, or $PECL_DATA_DIR.

    Raises:
        DataError: the data are not those that a run was made with; nothing is written then.
        OutputError: the folder cannot be written.
    """
    check_writable(folder)
    gallery = make_gallery(results, captions, data_dir) if captions else Gallery()
    return write_text(Path(folder) / FILE, build_page(results, report, drawing, gallery))


def build_page(results: Sequence[Result], report: Report, drawing: Drawing, gallery: Gallery) -> str:
    """Return the page; equal input gives an equal page."""
    # Autoescape: captions, paths and names of users' data are text, whatever is in them.
    environment = Environment(
        loader=PackageLoader("pecl.report.page", "static"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    style, script = ((_STATIC / name).read_text("utf-8") for name in ("page.css", "page.js"))
    # each method has the colour that it has in plots
    style += "".join(f".route-{name}::before {{ background: {look.colour}; }}\n" for name, look in LOOKS.items())
    return environment.get_template("page.html").render(
        style=Markup(style),
        script=Markup(script),
        policy=f"default-src 'none'; img-src data:; style-src {_hash(style)}; script-src {_hash(script)}",
        runs=len(results),
        complete=sum(result.status == "complete" for result in results),
        datasets=sorted({result.config.dataset for result in results}),
        tables=Markup(to_html(report.tables, ids=True)),
        report=report,
        plots=[(one, _base64(one.render("svg")), round(one.figure.get_figwidth() * _PIXELS)) for one in drawing.plots],
        not_drawn=drawing.not_drawn,
        run_table=Markup(html_table("Commands that repeat the runs", runs_frame(results))),
        software=Markup(html_table("Versions", software_frame(results))),
        gallery=gallery,
        gallery_json=_json({"pictures": gallery.pictures, "groups": gallery.groups}),
    )


def _hash(text: str) -> str:
    """Return the entry of an inline style or script in a content security policy, so that no other runs."""
    return f"'sha256-{_base64(hashlib.sha256(text.encode('utf-8')).digest())}'"


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")


def _json(document: Any) -> Markup:
    """Return JSON for a script element: no text in it can end the element or begin a comment."""
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    for letter in "<>&\u2028\u2029":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return Markup(text)
