"""`pecl evaluate`: measure the recall of languages on a whole data set, without training."""

from __future__ import annotations

import argparse
from typing import Any

from pecl.commands.options import add_command, add_config_flags, differences, language_configs, print_json, print_text
from pecl.config import Role, fields_of
from pecl.experiment.run import evaluate
from pecl.report.tables import evaluation_table, reported


def add_parser(commands: Any) -> None:
    """Add the command."""
    example = "pecl evaluate --dataset multi30k-1k --language en,de,fr,cs"
    parser = add_command(commands, "evaluate", "measure the retrieval recall of languages on a data set", example)
    add_config_flags(parser, only=fields_of(Role.EVALUATION | Role.DATA | Role.PLACE | Role.MACHINE))
    parser.add_argument("--dry-run", action="store_true", help="print what would be evaluated, and evaluate nothing")
    parser.add_argument("--json", action="store_true", help="print the results as one JSON document")
    parser.set_defaults(run=run)


def run(parsed: argparse.Namespace) -> int:
    """Evaluate every language and print one table."""
    configs = language_configs(parsed)
    if parsed.dry_run:
        print_text("\n".join(f"{config.run_id('evaluate')} {differences(config)}" for config in configs))
        return 0
    results = [evaluate(config) for config in configs]
    if parsed.json:
        print_json([result.to_json() for result in results])
    else:
        print_text(reported(evaluation_table(results)))
    return 0
