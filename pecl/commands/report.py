"""`pecl report`: tables from result files alone."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pecl.commands.options import add_command, print_json, print_text
from pecl.files import check_writable, write_text
from pecl.report import FORMATS, TABLES, Table, report
from pecl.report.published import NAMES
from pecl.results import collect

logger = logging.getLogger(__name__)

_DESCRIPTION = """print the tables of experiments from their result files

Results that were measured alike (data, gallery, towers, test side) are put together under a heading that says how. The
cell that stands for a language and route is chosen by validation. As CSV, without --table, the long table `routes` is
printed, or `evaluations` where nothing was trained."""


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "report",
        "print the tables of experiments from their result files",
        "pecl report results/default --format latex --out tables",
        _DESCRIPTION,
    )
    parser.add_argument("folders", nargs="*", default=["results"], metavar="FOLDER", help="folders or files of results")
    parser.add_argument("--format", choices=FORMATS, default="text", help="how tables are written (default: text)")
    parser.add_argument("--json", action="store_const", const="json", dest="format", help="short for --format json")
    parser.add_argument("--table", choices=TABLES, help="this table alone; refused where results differ in gallery")
    parser.add_argument(
        "--where",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="results with this value alone, such as gallery_size=900, dataset=xtd10 or route=method1",
    )
    parser.add_argument("--out", metavar="DIR", help="write a file for each table into this folder; print their paths")
    parser.add_argument("--against", choices=NAMES, help="print published zero-shot scores with ours beside them")
    parser.set_defaults(run=run)


def run(parsed: argparse.Namespace) -> int:
    """Print the tables, or write them into a folder."""
    made = report(collect(parsed.folders), parsed.against, parsed.where)
    tables = [made.only(parsed.table)] if parsed.table else made.tables
    if parsed.out is not None:
        print_text("\n".join(map(str, _write_files(tables, Path(parsed.out), parsed.format))))
    elif parsed.format == "json":
        print_json({"left_out": made.left_out, "tables": [table.to_dict() for table in tables]})
    else:
        if parsed.format == "csv" and not parsed.table:
            tables = made.named("routes") or made.named("evaluations")
        print_text(FORMATS[parsed.format].write(tables))
    if made.left_out:
        logger.warning("left out of all tables: %s", made.left_out)
    return 0


def _write_files(tables: Sequence[Table], folder: Path, form: str) -> list[Path]:
    """Write the tables of each name into a file `<name>.<ending>` of `folder` and return the paths."""
    check_writable(folder)
    names = dict.fromkeys(table.name for table in tables)
    write, ending = FORMATS[form]
    return [
        write_text(folder / f"{name}.{ending}", write([table for table in tables if table.name == name]))
        for name in names
    ]
