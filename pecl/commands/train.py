"""`pecl train`: train one language and measure what it gained."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from pecl.commands.options import add_command, add_config_flags, language_configs, print_json, print_text
from pecl.experiment.run import train_fleet
from pecl.report.tables import reported, training_table
from pecl.results.result import Result
from pecl.training.distributed import launched


def add_parser(commands: Any) -> None:
    """Add the command."""
    example = "pecl train --dataset multi30k-1k --language cs --route method1 --rank 8 --lr 1e-4 --shots 50"
    parser = add_command(
        commands, "train", "train a language's parameters and measure the recall before and after", example
    )
    add_config_flags(parser)
    parser.add_argument("--json", action="store_true", help="print the results as one JSON document")
    parser.set_defaults(run=run)


def run(parsed: argparse.Namespace) -> int:
    """Train the languages one after the other; print a table, and last the path of each result."""
    configs = language_configs(parsed)
    fleets = [configs] if configs[0].joint else [[config] for config in configs]
    results = [result for fleet in fleets for result in train_fleet(fleet)]
    if launched()[0] == 0:  # the first process prints for all
        print_results(results, parsed.json)
    return 0


def print_results(results: Sequence[Result], as_json: bool) -> None:
    """Print results as one JSON document, or a table and the path of each."""
    if as_json:
        documents = [result.to_json() for result in results]
        print_json(documents[0] if len(documents) == 1 else documents)
        return
    print_text(reported(training_table(results)))
    for result in results:
        print_text(str(result.path))
