"""`pecl evaluate`: the library's command, which can also measure with another package."""

import argparse
from collections.abc import Sequence

from pecl.apps.harness.run import HARNESSES, check_harness, evaluate_with
from pecl.commands import evaluate
from pecl.commands import options as cli
from pecl.config import ExperimentConfig
from pecl.errors import ConfigError
from pecl.report.tables.layout import plain_table
from pecl.report.tables.table import Column


@cli.command(
    evaluate.EXAMPLE,
    *evaluate.FLAGS,
    cli.argument("--harness", f"also measure with another package: {' or '.join(HARNESSES)}"),
)
def run(parsed: argparse.Namespace) -> None:
    """Measure the retrieval recall of languages on a data set."""
    if parsed.harness is None:
        evaluate.run(parsed)
        return

    if parsed.correct_hubs:
        raise ConfigError("--harness: expected no --correct-hubs with it")
    check_harness(parsed.harness, cli.language_configs(parsed))  # in a dry run, too
    evaluate.evaluate_languages(parsed, _measure_with_harness)


def _measure_with_harness(parsed: argparse.Namespace, configs: Sequence[ExperimentConfig]) -> None:
    rows = evaluate_with(parsed.harness, configs)
    columns = [Column(name, f"{{{name}:.3f}}" if "recall@" in name else f"{{{name}}}") for name in rows[0]]
    cli.print_answer(parsed, rows, plain_table(columns, rows))
