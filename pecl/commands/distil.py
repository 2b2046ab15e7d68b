"""`pecl distil`: align a language's text to the frozen English embeddings, from translated text only."""

import argparse

from pecl.commands import options as cli
from pecl.commands.train import print_outcomes, print_plans
from pecl.config import DISTIL_DEFAULTS, SCHEDULE_FIELDS
from pecl.experiment.distil import distil_config, run_together
from pecl.experiment.dry_run import plan_runs
from pecl.experiment.fleet import fleets_of_languages
from pecl.experiment.loading import TrainingDataCache


@cli.command(
    "pecl distil --dataset multi30k-1k --language cs --text captions.tsv",
    cli.config_flags(defaults={**DISTIL_DEFAULTS, **dict.fromkeys(SCHEDULE_FIELDS, "by the number of pairs")}),
    cli.switch("--images", "also train on the images of the data set's training part, at most --shots"),
    cli.DRY_RUN,
    cli.JSON,
)
def run(parsed: argparse.Namespace) -> int:
    """Train a language on translated text only, and measure the recall before and after.

    The language's text is aligned to the frozen tower's embeddings of its English translations. --text accepts tables
    with a column for each of the two, pairs of aligned files, and named sets. Training needs no images.
    """
    cache = TrainingDataCache()
    where = cli.sources_of_values(parsed)
    configs = [distil_config(values, cache, parsed.images, where) for values in cli.language_values(parsed)]
    cli.check_languages(configs)
    fleets = fleets_of_languages(configs)

    # report problems of all languages before the first is trained
    if parsed.dry_run or len(configs) > 1:
        plans = [plan for fleet in fleets for plan in plan_runs(fleet, cache)]
        if parsed.dry_run:
            print_plans(parsed, configs, plans)
            return 0

    return print_outcomes([outcome for fleet in fleets for outcome in run_together(fleet, cache)], parsed.json)
