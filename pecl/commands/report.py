"""`pecl report`: tables from result files."""

import argparse
import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pecl.commands import options as cli
from pecl.errors import ConfigError
from pecl.files import check_writable, write_text
from pecl.options import quoted
from pecl.report.selection.groups import select, select_unfinished
from pecl.report.summary import LINES, summary_tables, summary_text
from pecl.report.tables import TABLES, Report, report
from pecl.report.tables.comparison import comparison_tables
from pecl.report.tables.formats import ENDINGS, FORMATS
from pecl.report.tables.paper import paper_tables
from pecl.report.tables.table import Table
from pecl.results.result import Result, UnfinishedRun, collect_runs

logger = logging.getLogger(__name__)

_GALLERY_CAPTIONS = 60


def _count(text: str) -> int:
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"expected a number of captions >= 0, got {quoted(text)}")
    return int(text)


@cli.command(
    "pecl report results/default --format latex --out tables        (or: pecl report results/default --html page)",
    cli.path("folders", "folders or files of results", "FOLDER", nargs="*", default=["results"]),
    cli.argument("--format", "format of the tables (default: text)", choices=FORMATS, default="text"),
    cli.argument("--json", "short for --format json", action="store_const", const="json", dest="format"),
    cli.argument("--table", "only these tables, one for each data set, gallery and setup of training", choices=TABLES),
    cli.several(
        "--where",
        "only results with this value, such as gallery_size=900, dataset=xtd10 or route=method1",
        metavar="KEY=VALUE",
    ),
    cli.switch("--paper", "tables of these results in the layout of the method's publication"),
    cli.switch(
        "--summary",
        f"an overview of at most {LINES} lines: scores, gain and runs per language and method, and failures",
    ),
    cli.argument(
        "--compare",
        "compare the first method with each other one (method1 baseline1), or all with the best (best); list: names",
        nargs="+",
        metavar="NAME",
    ),
    cli.switch("--ids", "show the ids of runs"),
    cli.path("--out", "write a file for each table into this folder; print their paths", "DIR"),
    cli.argument("--against", "print published zero-shot scores next to ours", choices=["published"]),
    cli.path("--plots", "write plots into this folder as PNG, SVG and PDF; print their paths", "DIR"),
    cli.path("--html", "write an HTML report into this folder; print its path", "DIR"),
    cli.path("--data-dir", "folder of the data sets, for the report's images (default: as in each run)"),
    cli.argument(
        "--gallery-captions",
        f"test captions in the HTML report per language and method; 0: no images (default: {_GALLERY_CAPTIONS})",
        type=_count,
        metavar="N",
    ),
)
def run(parsed: argparse.Namespace) -> None:
    """Print the tables of experiments from their result files.

    Results that were measured alike (data, gallery, towers, test side) share a heading, which states these. Runs that
    differ only in their seed form one candidate; validation chooses the candidate of each language and route. CSV
    without --table prints the table `routes`, or `evaluations` if nothing was trained.
    """
    _check_flags(parsed)
    runs = collect_runs(parsed.folders)
    full_report = report(runs, parsed.against is not None, parsed.where)
    complete = select([run for run in runs if isinstance(run, Result)], parsed.where)
    tables = _chosen_tables(parsed, complete, full_report)
    for folder in filter(None, (parsed.html, parsed.plots, parsed.out)):
        check_writable(folder)

    unfinished = select_unfinished([run for run in runs if isinstance(run, UnfinishedRun)], parsed.where)
    paths = _write_pictures(parsed, complete, unfinished, replace(full_report, tables=tables))
    if parsed.out is not None:
        write = FORMATS[parsed.format]
        ending = ENDINGS.get(parsed.format, parsed.format)
        for name in dict.fromkeys(table.name for table in tables):
            text = write([table for table in tables if table.name == name], ids=parsed.ids)
            paths.append(write_text(Path(parsed.out, f"{name}.{ending}"), text))

    if paths:
        cli.print_text("\n".join(map(str, paths)))
    elif parsed.format == "json":
        cli.print_json(
            {
                "left_out": full_report.left_out,
                "exchanged": full_report.exchanged,
                "tables": [table.to_dict() for table in tables],
            }
        )
    elif parsed.summary and parsed.format == "text":
        cli.print_text(summary_text(tables, unfinished))
    else:
        if parsed.format == "csv" and not parsed.table and not (parsed.paper or parsed.summary or parsed.compare):
            has_routes = any(table.name == "routes" for table in tables)
            tables = full_report.named("routes" if has_routes else "evaluations")
        cli.print_text(FORMATS[parsed.format](tables, ids=parsed.ids))

    for sentence in full_report.exchanged:
        logger.warning("%s", sentence)

    if full_report.left_out:
        logger.warning("left out of all tables: %s", full_report.left_out)


def _check_flags(parsed: argparse.Namespace) -> None:
    """Raise ConfigError if flags exclude each other, or one has no effect next to the others."""
    chosen = [f"--{name}" for name in ("table", "paper", "summary", "compare") if getattr(parsed, name)]
    if len(chosen) > 1:
        raise ConfigError(f"report: expected one of --table, --paper, --summary and --compare, got {len(chosen)}")

    if parsed.html is None:
        for flag, value in (("--data-dir", parsed.data_dir), ("--gallery-captions", parsed.gallery_captions)):
            if value is not None:
                raise ConfigError(f"{flag} is for the images of the page: expected --html DIR")

    if parsed.against is not None and chosen and parsed.table != "published":
        raise ConfigError(f"--against {parsed.against} has no effect with {chosen[0]}: expected --table published")
    if parsed.against is not None and parsed.format == "csv" and not chosen and parsed.out is None:
        raise ConfigError(f"--against {parsed.against} has no effect on CSV alone: expected --table published")

    draws = parsed.html is not None or parsed.plots is not None
    if draws and parsed.out is None and parsed.format != "text":
        raise ConfigError(f"--format {parsed.format} has no effect with --html or --plots: expected --out DIR, too")

    if parsed.plots is not None and parsed.html is None and parsed.out is None:
        for name in ("table", "paper", "summary", "against", "ids"):
            if getattr(parsed, name):
                raise ConfigError(f"--{name} has no effect on plots: expected --out DIR or --html DIR, too")


def _chosen_tables(
    parsed: argparse.Namespace,
    complete: Sequence[Result],
    full_report: Report,
) -> list[Table]:
    if parsed.compare:
        return comparison_tables(complete, parsed.compare)
    if parsed.paper:
        return paper_tables(complete)
    if parsed.summary:
        return summary_tables(complete)
    if parsed.table:
        return full_report.named(parsed.table)
    return full_report.tables


def _write_pictures(
    parsed: argparse.Namespace,
    complete: Sequence[Result],
    unfinished: Sequence[UnfinishedRun],
    full_report: Report,
) -> list[Path]:
    if parsed.html is None and parsed.plots is None:
        return []

    from pecl.report.page import write_page  # matplotlib and jinja2: tables need neither
    from pecl.report.plots import draw_comparisons, draw_plots, write_plots

    drawing = draw_comparisons(full_report.tables) if parsed.compare else draw_plots(complete)
    paths = []
    if parsed.html is not None:
        runs = [*complete, *unfinished]
        captions = _GALLERY_CAPTIONS if parsed.gallery_captions is None else parsed.gallery_captions
        paths.append(write_page(parsed.html, runs, full_report, drawing, captions, parsed.data_dir))

    if parsed.plots is not None:
        paths += write_plots(drawing, parsed.plots)
    return paths
