"""`pecl report`: tables from result files alone."""

from __future__ import annotations

import argparse
from typing import Any

from pecl.commands.options import add_command, print_json, print_text
from pecl.report import report
from pecl.results import collect


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = add_command(
        commands, "report", "print the tables of an experiment from its result files", "pecl report results/default"
    )
    parser.add_argument("folders", nargs="*", default=["results"], metavar="FOLDER", help="folders or files of results")
    parser.add_argument("--json", action="store_true", help="print the tables as one JSON document")
    parser.set_defaults(run=run)


def run(parsed: argparse.Namespace) -> int:
    """Print the tables."""
    tables = report(collect(parsed.folders))
    if parsed.json:
        print_json({name: table.to_dict("records") for name, table in tables.items()})
    else:
        print_text("\n\n".join(f"{name}\n{table.to_string(index=False)}" for name, table in tables.items()))
    return 0
