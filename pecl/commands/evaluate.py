"""`pecl evaluate`: measure the recall of languages on a whole data set, without training."""

import argparse
from collections.abc import Sequence
from typing import Any

from pecl.commands.options import (
    ADAPTER_HELP,
    add_command,
    add_config_flags,
    add_switch,
    counted,
    differences,
    language_configs,
    path_argument,
    print_answer,
    print_json,
    print_text,
)
from pecl.config import ExperimentConfig, Role, fields_of
from pecl.errors import ConfigError
from pecl.experiment.hubs import check_corrections, corrected_recall
from pecl.experiment.plan import check_evaluation
from pecl.experiment.presence import presence
from pecl.experiment.run import evaluate, with_adapter
from pecl.harness.run import HARNESSES, evaluate_with
from pecl.report.tables import Column, evaluation_table, plain_table, reported
from pecl.retrieval.measures import RECALL_AT


def add_parser(commands: Any) -> None:
    """Add the command."""
    example = "pecl evaluate --dataset multi30k-1k --language en,de,fr,cs"
    parser = add_command(commands, "evaluate", example)
    add_config_flags(parser, only=fields_of(Role.EVALUATION | Role.DATA | Role.PATH | Role.MACHINE | Role.SAME_BITS))
    parser.add_argument(
        "--adapter", dest="weights", help=f"adapter to evaluate: {ADAPTER_HELP} (default: the plain tower)"
    )
    parser.add_argument(
        "--embeddings",
        dest="image_embeddings",
        type=path_argument,
        metavar="FILE",
        help="embeddings of the images by another program, in place of the image tower: .npy (with --paths), parquet, "
        "or a folder of clip-retrieval; rows are found by the names of the image files",
    )
    parser.add_argument(
        "--paths", dest="image_paths", type=path_argument, metavar="FILE", help="path of each row of an array, per line"
    )
    parser.add_argument("--harness", help=f"measure with another package as well: {' or '.join(HARNESSES)}")
    corrected = "next to plain recall, measure recall with hubs corrected, as `pecl search` ranks"
    add_switch(parser, "--correct-hubs", corrected)
    told = "measure whether the best score of a word tells if an image of it is there: would a cutoff hold?"
    add_switch(parser, "--presence", told)
    add_switch(parser, "--dry-run", "check data and adapter, print what would be evaluated, and evaluate nothing")
    add_switch(parser, "--json", "print the results as one JSON document")
    parser.set_defaults(run=run)


def run(parsed: argparse.Namespace) -> int:
    """Evaluate every language and print one table."""
    given = language_configs(parsed)
    if parsed.dry_run:
        choices = [check_evaluation(config) for config in given]
        lines = [
            f"{config.run_id('evaluate')} {differences(config, ['language'])} {choice.sentence}"
            for config, choice in choices
        ]
        print_text("\n".join([*lines, counted(len(choices), "evaluation")]))
        return 0
    configs = [with_adapter(config)[0] for config in given]
    if parsed.presence:
        return _run_presence(parsed, given)
    if parsed.correct_hubs:
        return _run_corrected(parsed, given)
    if parsed.harness is not None:
        return _run_harness(parsed, configs)
    results = [evaluate(config) for config in configs]
    if parsed.json:
        print_json([result.to_json() for result in results])
    else:
        print_text(reported(evaluation_table(results)))
    return 0


def _run_corrected(parsed: argparse.Namespace, configs: Sequence[ExperimentConfig]) -> int:
    """Print recall from texts to images with hubs corrected next to plain recall; results hold only plain recall."""
    if parsed.harness is not None:
        raise ConfigError("correct_hubs: expected no --harness with it: other packages correct nothing")
    for config in configs:
        check_corrections(config)
    results, corrected = [evaluate(config) for config in configs], [corrected_recall(config) for config in configs]
    rows = [one.to_json() for one in corrected]
    if parsed.json:
        pairs = zip(results, rows, strict=True)
        print_json([{"result": result.to_json(), "hubs_corrected": row} for result, row in pairs])
        return 0
    columns = [Column("language")]
    for k in RECALL_AT:
        columns += [
            Column(f"R@{k}", f"{{recall@{k}:.3f}}"),
            Column(f"corrected R@{k}", f"{{corrected recall@{k}:.3f}}"),
        ]
        columns.append(Column(f"interval of R@{k}", f"[{{low@{k}:+.3f}}, {{high@{k}:+.3f}}]"))
    print_text(reported(evaluation_table(results)))
    print_text("\nText to image with hubs corrected; the interval is of the difference:\n")
    print_text(plain_table(columns, rows))
    return 0


def _run_presence(parsed: argparse.Namespace, configs: Sequence[ExperimentConfig]) -> int:
    """Print the area under the curve of present and absent words by language."""
    if parsed.harness is not None or parsed.correct_hubs:
        raise ConfigError("--presence: expected neither --harness nor --correct-hubs with it")
    rows = [presence(config).to_json() for config in configs]
    columns = [*map(Column, ("language", "images", "present", "absent")), Column("area under the curve", "{area:.3f}")]
    print_answer(parsed, rows, plain_table(columns, rows))
    return 0


def _run_harness(parsed: argparse.Namespace, configs: Sequence[ExperimentConfig]) -> int:
    """Print the figures of another package next to those of pecl."""
    rows = [row.to_json(parsed.harness) for row in evaluate_with(parsed.harness, configs)]
    columns = [Column(name, f"{{{name}:.3f}}" if "recall@" in name else f"{{{name}}}") for name in rows[0]]
    print_answer(parsed, rows, plain_table(columns, rows))
    return 0
