"""`pecl train`: train languages and measure their gain."""

import argparse
from collections.abc import Sequence

from pecl.commands import options as cli
from pecl.config import ExperimentConfig
from pecl.experiment.dry_run import RunPlan, plan_runs, status_of
from pecl.experiment.fleet import fleets_of_languages
from pecl.experiment.loading import TrainingDataCache
from pecl.experiment.run import train_fleet
from pecl.grid import by_operations, estimate, recorded_seconds
from pecl.report.tables.layout import reported
from pecl.report.tables.lists import runs_table
from pecl.results.result import Outcome, TrainingResult, UnfinishedRun
from pecl.training.distributed import launched


@cli.command(
    "pecl train --dataset multi30k-1k --language cs --route method1 --rank 8 --lr 1e-4 --shots 50",
    cli.config_flags(),
    cli.DRY_RUN,
    cli.JSON,
)
def run(parsed: argparse.Namespace) -> int:
    """Train a language's parameters and measure the recall before and after."""
    configs = cli.language_configs(parsed)
    fleets = fleets_of_languages(configs)
    cache = TrainingDataCache()
    # Report problems of all languages before the first is trained
    if parsed.dry_run or (len(fleets) > 1 and launched()[1] == 1):
        plans = [plan for fleet in fleets for plan in plan_runs(fleet, cache)]
        if parsed.dry_run:
            print_plans(parsed, configs, plans)
            return 0

    outcomes = [outcome for fleet in fleets for outcome in train_fleet(fleet, cache=cache)]
    if launched()[0] != 0:  # the first process prints for all
        return 0
    return print_outcomes(outcomes, parsed.json)


def print_plans(
    parsed: argparse.Namespace,
    configs: Sequence[ExperimentConfig],
    plans: Sequence[RunPlan],
) -> None:
    """Print plans as one JSON document, or one line per run and the total time."""
    lines = []
    for row in plans:
        counts = {"pairs": row.pairs, "held out": row.held_out, "images": row.images, "steps": row.steps}
        counted = [f"{count:,} {name}" for name, count in counts.items() if count or name in ("pairs", "steps")]
        lines.append(f"{row.language}: {', '.join(counted)} ({row.solver}, lr {row.lr:g}), {status_of(row)}")

    remaining = [
        (config, plan.steps - plan.saved_step)
        for config, plan in zip(configs, plans, strict=True)
        if plan.status != "complete"
    ]
    time = estimate([config for config, _ in remaining], recorded_seconds(configs), steps=[n for _, n in remaining])
    operations = sum(row.operations for row in plans if row.status != "complete")
    time_text = by_operations(operations, configs[0].precision) if time.seconds is None else str(time)
    lines.append(f"{cli.counted(len(plans), 'run')}, {len(remaining):,} to train: {time_text}")
    cli.print_answer(parsed, [row._asdict() for row in plans], *lines)


def print_outcomes(outcomes: Sequence[Outcome], as_json: bool) -> int:
    """Print outcomes as one JSON document, or a table and the path of each; return 1 if a run failed, else 0."""
    complete = [outcome for outcome in outcomes if isinstance(outcome, TrainingResult)]
    unfinished = [outcome for outcome in outcomes if isinstance(outcome, UnfinishedRun)]
    if as_json:
        documents = [outcome.to_json() for outcome in outcomes]
        cli.print_json(documents[0] if len(documents) == 1 else documents)
    else:
        if complete:
            cli.print_text(reported(runs_table(complete)))
        for result in complete:
            cli.print_text(str(result.path))
        for run in unfinished:
            cli.print_text(run.to_text())
    return int(any(run.status == "failed" for run in unfinished))
