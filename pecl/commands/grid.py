"""`pecl grid`: train every combination of the values that are lists."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from pecl.adapters.spec import split_specs
from pecl.commands import options as cli
from pecl.config import ExperimentConfig, Role, fields_of
from pecl.errors import ConfigError
from pecl.grid import GridOutcome, estimate, expand, plan_grid, recorded_seconds, repeat_configs, run_grid
from pecl.grid.configs import AUTO_FLEET
from pecl.grid.halving import competitions, rungs
from pecl.grid.launchers import LAUNCHERS, make_launcher
from pecl.grid.launchers.base import Launcher
from pecl.grid.launchers.processes import parse_devices
from pecl.results.result import collect, trainings

if TYPE_CHECKING:
    from pecl.experiment.dry_run import RunPlan


def _option_of(launcher: str, example: str) -> cli.Argument:
    text = f"option of the launcher {launcher}, such as {example}; may be repeated"
    return cli.several(f"--{launcher}", text, metavar="KEY=VALUE")


@cli.command(
    "pecl grid --config configs/grid_mini.yaml --language de --route method1 --lr 1e-4,3e-4",
    cli.config_flags(),
    cli.argument("--seeds", "the same as --seed: runs with several seeds", dest="seed", metavar="N,N"),
    cli.argument(
        "--best-of",
        "instead of a grid, repeat the runs that validation chooses from FOLDER's results; other flags change them",
        metavar="FOLDER",
    ),
    cli.argument(
        "--fleet",
        "runs trained in one pass, a number or auto: as many as fit into memory, up to 16 (default: auto)",
        default=AUTO_FLEET,
        metavar="N",
    ),
    cli.argument(
        "--launcher",
        f"where runs are trained: {', '.join(LAUNCHERS)} (default: inline, which is this process)",
        metavar="NAME",
    ),
    cli.argument(
        "--jobs", "jobs (runs or fleets) at a time, each a process with its own cores or GPU", type=int, metavar="N"
    ),
    cli.argument(
        "--devices", "devices of the jobs, one job per device unless --jobs is given: cuda:0,cuda:1", metavar="D,D"
    ),
    _option_of("slurm", "partition=gpu"),
    _option_of("ray", "num_gpus=0.5"),
    cli.argument(
        "--halving",
        "after each Nth of the steps, continue with the best 1/N of the competing runs of a fleet, by validation; the "
        "others are recorded as pruned",
        type=int,
        metavar="N",
    ),
    cli.switch(
        "--dry-run",
        "check each run up to its first step, print the runs and the estimated time, and write nothing",
    ),
    cli.JSON,
)
def run(parsed: argparse.Namespace) -> int:
    """Train every combination of values; on the command line, commas separate the values of a list.

    Complete runs are skipped, interrupted runs resume from their last saved step, failed runs are tried again. Any
    number of grids may share a results folder; none trains a run that another is training. Ctrl-C saves and stops.
    """
    configs = grid_configs(parsed)
    for name in ("slurm", "ray"):
        if getattr(parsed, name) and parsed.launcher != name:
            raise ConfigError(f"--{name} is for the launcher {name}: expected --launcher {name}")

    launcher = make_launcher(parsed.launcher, parsed.jobs, parsed.slurm or parsed.ray, _devices(parsed))
    if parsed.dry_run:
        _print_plans(parsed, configs, launcher)
        return 0

    outcome = run_grid(configs, parsed.fleet, launcher, parsed.halving)
    if parsed.json:  # with the errors of failed runs
        cli.print_json([result.to_json() for result in outcome.results])
    else:
        _print_tables(outcome)
        for run in [*outcome.pruned, *outcome.failed]:
            cli.print_text(run.to_text())

    return int(bool(outcome.failed))


def grid_configs(parsed: argparse.Namespace) -> list[ExperimentConfig]:
    """Return the runs that files and flags ask for."""
    values = grid_values(parsed)
    if parsed.devices is not None:
        kind, _ = parse_devices(_devices(parsed))
        if values.get("device", kind) != kind:
            raise ConfigError(
                f"expected {kind} with --devices {parsed.devices}, got {values['device']}", field="device"
            )
        values["device"] = kind

    if parsed.best_of is None:
        return expand(values, cli.sources_of_values(parsed))

    from pecl.report.selection.candidates import chosen_candidates

    training_results = trainings(collect([parsed.best_of]))
    if not training_results:
        raise ConfigError(
            f"--best-of {parsed.best_of}: expected a folder with complete trainings; run a grid there first"
        )
    best = [candidate.chosen_run for candidate in chosen_candidates(training_results)]
    return repeat_configs(best, values)


def grid_values(parsed: argparse.Namespace) -> dict[str, Any]:
    """Return the values of files and flags, with comma-joined flags as lists."""
    return {name: _choices(name, value) for name, value in cli.training_values(parsed).items()}


def _choices(name: str, value: Any) -> Any:
    """Return a field's value; a list if commas join several."""
    if not isinstance(value, str) or name in fields_of(Role.COMMAS):  # YAML gives several of such a field as a list
        return value

    choices = split_specs(value) if name == "adapter" else value.split(",")
    return choices if len(choices) > 1 else choices[0]


def _devices(parsed: argparse.Namespace) -> list[str]:
    return [] if parsed.devices is None else parsed.devices.split(",")


def _print_tables(outcome: GridOutcome) -> None:
    from pecl.report.selection.candidates import chosen_candidates
    from pecl.report.tables.layout import reported
    from pecl.report.tables.lists import runs_table

    if outcome.complete:
        cli.print_text(reported(runs_table(outcome.complete)))
        cli.print_text("\nBest run of each language and route, chosen by validation\n")
        best = [candidate.chosen_run for candidate in chosen_candidates(outcome.complete)]
        cli.print_text(reported(runs_table(best)))


def _print_plans(
    parsed: argparse.Namespace,
    configs: list[ExperimentConfig],
    launcher: Launcher,
) -> None:
    """Print the runs with their status, what halving would prune, and the estimated time of the runs to train."""
    from pecl.experiment.dry_run import RunPlan, status_of  # imports torch

    lines = []

    runs = []
    fleets: list[dict[ExperimentConfig, RunPlan]] = []  # the runs to train
    for planned in plan_grid(configs, parsed.fleet, launcher, parsed.halving):
        fleets.append({})
        for config, plan in planned:
            status = plan.status
            counts: dict[str, Any] = {"status": status}
            if isinstance(plan, RunPlan):
                status = status_of(plan)
                counts = plan._asdict()
                if plan.status != "complete":
                    fleets[-1][config] = plan
            lines.append(f"{config.run_id()} {status:<11} {cli.differences(config, ('language', 'lr'))}")
            runs.append({"run_id": config.run_id(), **counts, "config": config.to_record()})

    plans = {config: plan for fleet in fleets for config, plan in fleet.items()}
    steps = [plan.steps - plan.saved_step for plan in plans.values()]
    jobs = launcher.jobs or 1
    time = estimate(list(plans), recorded_seconds(configs), jobs, steps)
    total = f"{cli.counted(len(runs), 'run')}, {len(plans):,} to train: {time}"
    document = {"runs": runs, "to_train": len(plans), "seconds": time.seconds}

    if parsed.halving is not None:
        document["halving"] = [entry for fleet in fleets for entry in _competitions_of(fleet, parsed.halving)]
        lines += map(_halving_text, document["halving"])
        if plans and not document["halving"]:
            lines.append("halving: prunes none of the runs to train, since no two of one fleet compete")
        total += ", without halving"

    cli.print_answer(parsed, document, *lines, total)


def _competitions_of(
    fleet: Mapping[ExperimentConfig, RunPlan],
    factor: int,
) -> Iterator[dict[str, Any]]:
    """Yield the runs of each competition of a fleet, and how many of them continue after which step."""
    for rivals in competitions(fleet):
        steps = fleet[rivals[0]].steps
        sizes = rungs(len(rivals), factor, steps, rivals[0].eval_every)
        continuing = [{"step": step, "runs": runs} for step, runs in sizes.items()]
        yield {"runs": [config.run_id() for config in rivals], "steps": steps, "continuing": continuing}


def _halving_text(competition: Mapping[str, Any]) -> str:
    """Return one competition of a fleet as a line."""
    first, *other_runs = competition["runs"]
    rivals = f"halving: of {first} and {cli.counted(len(other_runs), 'rival')}"
    if not competition["continuing"]:
        return f"{rivals} all continue to the end, since no validation precedes the last step"
    sizes = [f"{rung['runs']} continue after step {rung['step']}" for rung in competition["continuing"]]
    return f"{rivals} {', '.join(sizes)} of {competition['steps']}"
