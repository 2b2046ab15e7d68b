"""`pecl train`: train languages and measure their gain."""

import argparse
from collections.abc import Sequence
from typing import Any

from pecl.commands.options import (
    add_command,
    add_config_flags,
    add_switch,
    counted,
    language_configs,
    print_json,
    print_text,
)
from pecl.config import ExperimentConfig
from pecl.experiment.inputs import TrainingInputs
from pecl.experiment.plan import RunPlan, plan_runs
from pecl.experiment.run import train_fleet
from pecl.grid import by_operations, estimate, recorded_seconds
from pecl.report.tables import reported, training_table
from pecl.results.result import Result
from pecl.training.distributed import launched


def add_parser(commands: Any) -> None:
    """Add the command."""
    example = "pecl train --dataset multi30k-1k --language cs --route method1 --rank 8 --lr 1e-4 --shots 50"
    parser = add_command(commands, "train", example)
    add_config_flags(parser)
    add_dry_run(parser)
    add_switch(parser, "--json", "print the results as one JSON document")
    parser.set_defaults(run=run)


def add_dry_run(parser: argparse.ArgumentParser) -> None:
    """Add --dry-run of a training."""
    checks = "make the checks of the run up to its first step, print the plan and the time, and write nothing"
    add_switch(parser, "--dry-run", checks)


def run(parsed: argparse.Namespace) -> int:
    """Train the languages one after the other; print a table, and last the path of each result."""
    configs = language_configs(parsed)
    fleets = [configs] if configs[0].joint else [[config] for config in configs]
    if parsed.dry_run:
        inputs = TrainingInputs()
        print_plans(configs, [one for fleet in fleets for one in plan_runs(fleet, inputs)], parsed.json)
        return 0
    results = [result for fleet in fleets for result in train_fleet(fleet)]
    if launched()[0] == 0:  # the first process prints for all
        print_results(results, parsed.json)
    return 0


def print_plans(configs: Sequence[ExperimentConfig], plans: Sequence[RunPlan], as_json: bool) -> None:
    """Print plans as one JSON document, or one line per run and the total time."""
    if as_json:
        print_json([one._asdict() for one in plans])
        return
    for one in plans:
        counts = {"pairs": one.pairs, "held out": one.held_out, "images": one.images, "steps": one.steps}
        said = [f"{count:,} {name}" for name, count in counts.items() if count or name in ("pairs", "steps")]
        print_text(f"{one.language}: {', '.join(said)} ({one.solver}, lr {one.lr:g}), {one.status}")
    remaining = [(config, one.steps) for config, one in zip(configs, plans, strict=True) if one.status != "complete"]
    time = estimate([config for config, _ in remaining], recorded_seconds(configs), steps=[n for _, n in remaining])
    operations = sum(one.operations for one in plans if one.status != "complete")
    shown = by_operations(operations, configs[0].precision) if time.seconds is None else str(time)
    print_text(f"{counted(len(plans), 'run')}, {len(remaining):,} to train: {shown}")


def print_results(results: Sequence[Result], as_json: bool) -> None:
    """Print results as one JSON document, or a table and the path of each."""
    if as_json:
        documents = [result.to_json() for result in results]
        print_json(documents[0] if len(documents) == 1 else documents)
        return
    print_text(reported(training_table(results)))
    for result in results:
        print_text(str(result.path))
