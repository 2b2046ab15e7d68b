"""Dry runs: make all checks of a training before its first step, or of an evaluation."""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import nn

from pecl.adapters.choice import AdapterChoice
from pecl.config import ExperimentConfig
from pecl.experiment.checks import CheckedRuns, read_and_check
from pecl.experiment.evaluation import with_adapter
from pecl.experiment.fleet import check_fleet
from pecl.experiment.inputs import Inputs, read_evaluation
from pecl.experiment.loading import TrainingDataCache
from pecl.experiment.towers import towers_of
from pecl.results.completeness import complete_result, has_threads_of
from pecl.results.folder import find_run, saved_step_of
from pecl.results.result import UnfinishedRun
from pecl.training.distributed import use_threads
from pecl.training.schedule import Schedule

TOKENS = 25  # tokens of a caption; the towers of a dry run have no tokenizer


class RunPlan(NamedTuple):
    """The plan of one run. It has the numbers of its training pairs, held-out pairs of training text, and images."""

    language: str
    pairs: int
    held_out: int
    steps: int
    solver: str
    lr: float
    images: int
    # complete, failed, interrupted or pruned, as in its result; resumable from a saved state; new without either
    status: str
    saved_step: int  # step of the saved state that the run resumes from; 0 without one
    operations: float  # floating-point operations of the text tower's matrices, by an estimate


def status_of(plan: RunPlan) -> str:
    """Return the status of a run as text, with the step of its saved state."""
    return f"resumable from step {plan.saved_step}" if plan.status == "resumable" else plan.status


def plan_runs(configs: Sequence[ExperimentConfig], cache: TrainingDataCache | None = None) -> list[RunPlan]:
    """Return one plan per run of a fleet; write nothing."""
    return [plan for plans in plan_fleets(configs, cache) for plan in plans]


def plan_fleets(
    configs: Sequence[ExperimentConfig],
    cache: TrainingDataCache | None = None,
    share: int | None = None,
    threads: int | None = None,
) -> list[list[RunPlan]]:
    """Return one plan per run of a fleet, by the fleets into which memory divides it; write nothing.

    The other arguments are those of `train_fleet`. `threads` is the number of threads that will train, by default that
    of the configs, or else of this process: a state that was saved with another number is not resumed.
    """
    cache = cache or TrainingDataCache()
    threads = configs[0].threads or threads or torch.get_num_threads()
    return [_plan_fleet(fleet, cache, threads) for fleet in check_run(configs, share, cache).fleets()]


def check_run(
    configs: Sequence[ExperimentConfig],
    share: int | None = None,
    cache: TrainingDataCache | None = None,
) -> CheckedRuns:
    """Make all checks of `train_fleet` before its first step, and write nothing.

    Weights are not loaded if the shape of the text tower is known. Images are not decoded.
    """
    check_fleet(configs)
    with use_threads(configs[0].threads):
        return read_and_check(configs, share, cache or TrainingDataCache(), is_dry=True)


def check_evaluation(config: ExperimentConfig) -> tuple[ExperimentConfig, AdapterChoice]:
    """Check the data and the adapter file of an evaluation; return the result of `with_adapter`, and write nothing.

    Images are not decoded, which takes longer than all else: `skip_unreadable` applies when they are measured.
    """
    config, choice = with_adapter(config)
    towers = towers_of(config)
    read_evaluation(replace(config, skip_unreadable=False), towers)
    # a base encoder, which may have to be downloaded, is not loaded for a dry run
    if choice.path is not None:
        choice.read(towers.text)
    return config, choice


def _plan_fleet(fleet: Sequence[Inputs], cache: TrainingDataCache, threads: int) -> list[RunPlan]:
    """Plan runs that are trained in one pass."""
    out = fleet[0].config.out
    all_runs = [inputs.config.run_id() for inputs in fleet]
    is_complete = [complete_result(inputs.config, cache.hashes) is not None for inputs in fleet]
    incomplete = [run for run, complete in zip(all_runs, is_complete, strict=True) if not complete]

    # As in `remaining_of`: a fleet whose state exists resumes as a whole, else its incomplete runs are trained
    saved_step = saved_step_of(out, all_runs, threads) or saved_step_of(out, incomplete, threads)
    return [_plan(inputs, complete, saved_step) for inputs, complete in zip(fleet, is_complete, strict=True)]


def _plan(inputs: Inputs, is_complete: bool, saved_step: int) -> RunPlan:
    config = inputs.config
    text = inputs.training_text
    epochs = config.epochs if "gradient" in config.solvers else 0
    held_out = 0 if text is None or text.held_out is None else len(text.held_out)
    run = find_run(config)

    if is_complete:
        status, saved_step = "complete", 0
    elif saved_step and (run is None or run.status != "failed"):
        status = "resumable"
    elif isinstance(run, UnfinishedRun) and has_threads_of(config, run):
        status = run.status
    else:
        status = "new"

    steps = Schedule(epochs, config.batch_size, config.eval_every).steps(len(inputs.train))
    return RunPlan(
        config.language,
        pairs=len(inputs.train),
        held_out=held_out,
        steps=steps,
        solver=config.solver,
        lr=config.lr,
        images=len(inputs.parts["train"]) if config.image_weight else 0,
        status=status,
        saved_step=saved_step,
        operations=_operations(inputs, held_out, steps),
    )


def _operations(inputs: Inputs, held_out: int, steps: int) -> float:
    """Estimate the operations of a run: passes over texts, times their tokens, times the parameters of linear layers.

    A step counts twice, for its backward pass. English is embedded once, and the test captions twice.
    """
    config = inputs.config
    tower = inputs.towers.text
    layers = tower.backbone
    if tower.family is not None:
        layers = tower.family.layers_of(tower.backbone)

    linear = sum(layer.weight.numel() for layer in layers.modules() if isinstance(layer, nn.Linear))
    tokens = tower.positions if tower.reads_last else TOKENS
    validated = held_out or len(inputs.parts.get("val", ()))
    passes = len(inputs.train) * (1 + config.solvers.count("closed-form")) + 2 * steps * config.batch_size
    passes += (2 + steps // config.eval_every) * validated + 2 * len(inputs.parts["test"])

    return 2.0 * linear * tokens * passes
