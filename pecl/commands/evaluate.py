"""`pecl evaluate`: measure the recall of languages on a whole data set, without training."""

import argparse
from collections.abc import Callable, Sequence

from pecl.adapters.choice import AdapterChoice
from pecl.commands import options as cli
from pecl.config import ExperimentConfig
from pecl.experiment.dry_run import check_evaluation
from pecl.experiment.evaluation import evaluate, with_adapter
from pecl.experiment.hub_correction import check_corrections, corrected_recall
from pecl.report.tables.layout import plain_table, reported
from pecl.report.tables.lists import evaluations_table
from pecl.report.tables.table import Column
from pecl.results.command import EVALUATE_FLAGS
from pecl.retrieval.measures import RECALL_AT

EXAMPLE = "pecl evaluate --dataset multi30k-1k --language en,de,fr,cs"
FLAGS = (
    cli.config_flags(only=EVALUATE_FLAGS),
    cli.argument("--adapter", f"adapter to evaluate: {cli.ADAPTER_HELP} (default: the base encoder)", dest="weights"),
    cli.path(
        "--embeddings",
        "image embeddings from another program, in place of the image tower: a parquet file with the columns id and "
        "embedding, or a folder of such files; rows are matched by the names of the image files",
        "FILE",
        dest="image_embeddings",
    ),
    cli.argument(
        "--all-pairs",
        "also test the pairs that trained the adapter or chose its weights (default: only others)",
        action="store_true",
        default=None,
    ),
    cli.switch("--correct-hubs", "also measure recall with hubs corrected, as `pecl search` ranks"),
    cli.switch("--dry-run", "check data and adapter, print the evaluations, and run none of them"),
    cli.JSON,
)
# measures configs and prints the recalls
Measure = Callable[[argparse.Namespace, Sequence[ExperimentConfig]], None]


@cli.command(EXAMPLE, *FLAGS)
def run(parsed: argparse.Namespace) -> None:
    """Measure the retrieval recall of languages on a data set."""
    evaluate_languages(parsed, _measure)


def evaluate_languages(parsed: argparse.Namespace, measure: Measure) -> None:
    """Check the configs of all languages, then print the dry run, or measure them: by `measure` without other flags."""
    configs = cli.language_configs(parsed)

    # Report problems of all languages before the first is measured; a single one is checked as it
    # is measured
    check = check_evaluation if parsed.dry_run or len(configs) > 1 else with_adapter
    checked = [check(config) for config in configs]
    if parsed.correct_hubs:
        for config in configs:
            check_corrections(config)

    if parsed.dry_run:
        _print_plans(parsed, checked)
    elif parsed.correct_hubs:
        _run_corrected(parsed, configs)
    else:
        measure(parsed, [config for config, _ in checked])


def _print_plans(
    parsed: argparse.Namespace,
    checked: Sequence[tuple[ExperimentConfig, AdapterChoice]],
) -> None:
    lines = []
    documents = []
    for config, choice in checked:
        run_id = config.run_id("evaluate")
        lines.append(f"{run_id} {cli.differences(config, ['language'])} {choice.sentence}")
        documents.append({"run_id": run_id, "adapter": choice.name, "config": config.to_record()})
    cli.print_answer(parsed, documents, *lines, cli.counted(len(checked), "evaluation"))


def _measure(parsed: argparse.Namespace, configs: Sequence[ExperimentConfig]) -> None:
    results = [evaluate(config) for config in configs]
    if parsed.json:
        cli.print_json([result.to_json() for result in results])
    else:
        cli.print_text(reported(evaluations_table(results)))


def _run_corrected(parsed: argparse.Namespace, configs: Sequence[ExperimentConfig]) -> None:
    """Print recall from texts to images with hubs corrected next to plain recall; results hold only plain recall."""
    results = [evaluate(config) for config in configs]
    rows = [corrected_recall(config) for config in configs]
    if parsed.json:
        pairs = zip(results, rows, strict=True)
        cli.print_json([{"result": result.to_json(), "hubs_corrected": row} for result, row in pairs])
        return

    columns = [Column("language")]
    for k in RECALL_AT:
        columns += [
            Column(f"R@{k}", f"{{recall@{k}:.3f}}"),
            Column(f"corrected R@{k}", f"{{corrected recall@{k}:.3f}}"),
        ]
        columns.append(Column(f"interval of R@{k}", f"[{{low@{k}:+.3f}}, {{high@{k}:+.3f}}]"))

    cli.print_text(reported(evaluations_table(results)))
    cli.print_text("\nText to image with hubs corrected; the interval is of the difference:\n")
    cli.print_text(plain_table(columns, rows))
