"""`pecl distil`: align a language's text to the frozen English embeddings, from translated text only."""

import argparse
from typing import Any

from pecl.commands.options import add_command, add_config_flags, add_switch, check_languages, language_values
from pecl.commands.train import add_dry_run, print_plans, print_results
from pecl.config import DISTIL_DEFAULTS, SCHEDULE_FIELDS
from pecl.experiment.distil import distil_config, run_together
from pecl.experiment.inputs import TrainingInputs
from pecl.experiment.plan import plan_runs


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "distil",
        "pecl distil --dataset multi30k-1k --language cs --text captions.tsv",
        "Align a language's text to the frozen tower's embeddings of its English translations: --text takes tables "
        "with a column for each of the two, pairs of aligned files, and named sets. Training needs no image.",
    )
    shown = dict.fromkeys(SCHEDULE_FIELDS, "by the number of pairs")
    add_config_flags(parser, defaults={**DISTIL_DEFAULTS, **shown})
    more = "also train on the images of the data set's training part, at most --shots"
    add_switch(parser, "--images", more)
    add_dry_run(parser)
    add_switch(parser, "--json", "print the results as one JSON document")
    parser.set_defaults(run=run)


def run(parsed: argparse.Namespace) -> int:
    """Train the languages one after the other, or jointly; print a table, and last the path of each result."""
    inputs = TrainingInputs()
    configs = [distil_config(values, inputs, parsed.images, "command line") for values in language_values(parsed)]
    check_languages(configs)
    fleets = [configs] if configs[0].joint else [[config] for config in configs]
    if parsed.dry_run or len(configs) > 1:  # report problems of all languages before the first is trained
        plans = [one for fleet in fleets for one in plan_runs(fleet, inputs)]
        if parsed.dry_run:
            print_plans(configs, plans, parsed.json)
            return 0
    print_results([result for fleet in fleets for result in run_together(fleet, inputs)], parsed.json)
    return 0
