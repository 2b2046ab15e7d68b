"""Run one experiment: the page to read first.

`train` turns a config into a result, in six steps: *read* captions, split and training text
(`inputs`, `checks`); *freeze* what the base encoders give (`frozen`); *attach* an adapter; *train*
it (`fleet_training`); *measure* the final and the best weights (`fleet_measuring`); *record* the result
(`record`). `train_fleet` trains several configs at once, one slot each, in one pass over the frozen
tower; `train` is a fleet of one. The configs of a `joint` training, one per language, share a slot:
they learn one adapter, and each language has its own result. `evaluation.evaluate` trains nothing:
it reads, measures and records.
"""

import logging
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, cast

from pecl.adapters import engines
from pecl.adapters.formats.files import save_adapter
from pecl.adapters.kind import AdapterConfig
from pecl.config import ExperimentConfig, each_language, make_config
from pecl.encoders.towers import load_towers
from pecl.errors import ConfigError, DivergedError, PeclError, not_none
from pecl.experiment.checks import CheckedRuns, read_and_check
from pecl.experiment.fleet import Member, check_fleet, is_complete, remaining_of, seeds_of, slots_of
from pecl.experiment.fleet_measuring import Measurements, measure, recalls_of, size_of
from pecl.experiment.fleet_training import encoded_often, make_trainer, train_phases, worker_setup
from pecl.experiment.frozen import freeze_training
from pecl.experiment.initial_weights import with_adapter_of_start
from pecl.experiment.inputs import Inputs
from pecl.experiment.loading import TrainingDataCache
from pecl.experiment.record import describe_adapter, record_training
from pecl.experiment.tested_pairs import pairs_of_training
from pecl.experiment.towers import LoadTowers, load_towers_once
from pecl.experiment.tracking import reporting
from pecl.results.completeness import complete_result
from pecl.results.folder import find_run, hold, remove_states, tidy
from pecl.results.result import (
    Outcome,
    TrainingResult,
    UnfinishedRun,
    adapter_path,
    run_from_json,
    run_name,
    write_unfinished,
)
from pecl.training.callbacks import Callback, Event, names_of
from pecl.training.distributed import ProcessGroup, join_group, use_threads
from pecl.training.state import SlotRecord
from pecl.training.trainer import Trainer
from pecl.training.worker_rank import run_worker, set_up_workers

logger = logging.getLogger(__name__)


def train(
    config: ExperimentConfig | Mapping[str, Any],
    callbacks: Sequence[Callback] = (),
    load: LoadTowers = load_towers,
) -> TrainingResult:
    """Train one config and return its result, whose file is `result.path`.

    A `joint` config trains all its languages, which learn one adapter together. Each has a result
    of its own, and that of `language` is returned, by default that of the first one.

    A complete result of the same config and data is returned unchanged. An interrupted run resumes.
    While another process trains the run, this process waits.

    Args:
        config: the run, or its fields as `make_config` takes them.
        callbacks: called during the training, see `pecl.Callback`; not for a result that is
            complete already. A run that one of them stopped is trained again by a call without it.
        load: function that returns the towers; it takes the arguments of `pecl.load_towers`.

    Example:
        >>> result = pecl.train({"language": "de", "epochs": 5})
        >>> result.recall(stage="zero_shot"), result.recall()
    """
    config = as_config(config)
    outcomes = train_fleet(with_joint_languages(config), callbacks=callbacks, load=load)
    return result_of(config.language, outcomes)


def result_of(language: str, outcomes: Sequence[Outcome]) -> TrainingResult:
    """Return the result of a language.

    Raises:
        DivergedError: its training failed.
        PeclError: a callback pruned its training.
    """
    outcome = next(outcome for outcome in outcomes if outcome.config.language == language)
    if isinstance(outcome, TrainingResult):
        return outcome
    if outcome.status == "pruned":
        raise PeclError(f"{outcome.name} has no result: a callback pruned it after step {outcome.steps}")
    raise DivergedError(f"{outcome.name}: {outcome.error}")


def train_fleet(
    configs: Sequence[ExperimentConfig | Mapping[str, Any]],
    wait: bool = True,
    share: int | None = None,
    cache: TrainingDataCache | None = None,
    callbacks: Sequence[Callback] = (),
    load: LoadTowers = load_towers,
    keep_pruned: bool = False,
) -> list[Outcome]:
    """Train configs that differ only in `FLEET_FIELDS` together, one slot each, and return their results.

    A run that diverges is dropped and recorded as failed, with the step. The other runs are not affected.
    With several processes (`torchrun`), rank 0 does all of this, and the others embed their share
    of each batch.

    Args:
        configs: runs, or the fields of each. Complete runs are not trained again, unless the fleet was interrupted:
            then all resume.
        wait: whether to wait while another process trains one of them; otherwise BusyError.
        share: number of processes that share the memory: the fleet is divided into fleets that fit.
            None: a fleet that does not fit raises ConfigError with the largest possible size.
        cache: data that may have been read already.
        callbacks: called during the training, see `pecl.Callback`.
        load: function that returns the towers; it takes the arguments of `pecl.load_towers`.
        keep_pruned: whether runs that were pruned stay so, unless a run is new: then all compete again.

    Raises:
        PeclError: bad input, or the configs differ in another field; nothing has been written.
        BusyError: another process trains one of them.
    """
    if not configs:
        raise ConfigError("expected at least one run, got none", field="configs")

    configs = [as_config(config) for config in configs]
    cache = cache or TrainingDataCache()
    processes = join_group(configs[0].device)
    identities = [config.identity() for config in configs]

    with use_threads(configs[0].threads):
        if processes.rank > 0:
            last = run_worker(processes, identities, partial(load_towers_once, load=load))
            return [_outcome_from_json(document, path) for path, document in last["results"]]

        with processes.leading(identities) as last:
            fleet = _in_one_order([replace(config, processes=processes.size) for config in configs])
            check_fleet(fleet)

            results = _find_complete(fleet, cache, callbacks)
            if results is None:
                checked = read_and_check(fleet, share, cache, load)
                results = _train_checked(checked, wait, cache, processes, callbacks, keep_pruned)
            else:
                for config in fleet:
                    tidy(config.out, config.run_id())

            results = _in_order_of(configs, results)
            last["results"] = [(str(result.path), result.to_json()) for result in results]

        return results


def _outcome_from_json(document: Any, path: str) -> Outcome:
    outcome = cast(Outcome, run_from_json(document))
    return replace(outcome, path=Path(path))


def _in_one_order(configs: Sequence[ExperimentConfig]) -> list[ExperimentConfig]:
    """Sort the configs of a joint training by language: its result does not depend on their order."""
    if configs[0].joint:
        return sorted(configs, key=lambda config: config.language)
    return list(configs)


def _in_order_of(configs: Sequence[ExperimentConfig], results: Sequence[Outcome]) -> list[Outcome]:
    """Return the results of `_in_one_order(configs)` in the order of `configs`."""
    if not configs[0].joint:
        return list(results)
    by_language = {result.config.language: result for result in results}
    return [by_language[config.language] for config in configs]


def _train_checked(
    checked: CheckedRuns,
    wait: bool,
    cache: TrainingDataCache,
    processes: ProcessGroup,
    callbacks: Sequence[Callback],
    keep_pruned: bool,
) -> list[Outcome]:
    """Lock the runs of a fleet, train as many at a time as fit into memory, and return all results."""
    runs = checked.runs
    configs = [inputs.config for inputs in runs]
    run_ids = [config.run_id() for config in configs]

    with hold(configs[0].out, run_ids, wait), reporting(checked.trackers) as reporters:
        results = _find_complete(configs, cache, callbacks)
        if results is not None:  # another process trained them meanwhile
            return results

        fleets = checked.fleets()
        if keep_pruned and len(fleets) > 1:
            message = "%d runs are trained in fleets of at most %d, and only the runs of one fleet are compared"
            logger.warning(message, len(runs), checked.max_runs)

        outcomes: list[Outcome] = []
        for fleet in fleets:
            together = remaining_of(fleet, keep_pruned, names_of(callbacks))
            outcomes += _train_together(together, checked.adapters, processes, [*callbacks, *reporters])

        if len(outcomes) == len(configs):
            return outcomes
        return [not_none(find_run(config), "run") for config in configs]


def _train_together(
    runs: Sequence[Inputs],
    adapters: Sequence[AdapterConfig],
    processes: ProcessGroup,
    callbacks: Sequence[Callback],
) -> list[Outcome]:
    """Train runs, which have been read: freeze, attach, train, measure, record."""
    if not runs:
        return []

    config = runs[0].config
    tower = runs[0].towers.text
    tower_size = size_of(tower)

    # Freeze what the base encoders give: `encoders/store` refuses a tower with an adapter, which gives other embeddings
    members = [Member(inputs, freeze_training(inputs), slot) for inputs, slot in zip(runs, slots_of(runs), strict=True)]

    # Attach an adapter with a slot per member
    adapter = engines.attach(config.engine, tower, adapters, seeds=seeds_of(members))

    try:
        trainer = make_trainer(adapter, members, processes, callbacks)
        if processes.size > 1:
            set_up_workers(processes, **worker_setup(trainer, members))

        with _interruption_recorded(trainer, members), tower.caching(encoded_often(trainer, members)):
            # Train
            train_phases(trainer, members)

            # Measure the final and the best weights
            measurements = measure(adapter, members, trainer.records)

            # Record
            results = _record(trainer, members, measurements, tower_size)

        # The records are final: an interruption of a callback does not change them
        _call_at_end(trainer, members, results)
        return results
    finally:
        adapter.remove()


@contextmanager
def _interruption_recorded(trainer: Trainer, members: Sequence[Member]) -> Iterator[None]:
    """Record the runs that a KeyboardInterrupt leaves incomplete, with the step from which they resume."""
    try:
        yield
    except KeyboardInterrupt:
        for member in members:
            if not is_complete(member.inputs, names_of(trainer.callbacks)):
                write_unfinished(member.config, "interrupted", steps=trainer.saved_step)
        raise


def _record(
    trainer: Trainer,
    members: Sequence[Member],
    measurements: Sequence[Measurements | None],
    tower_size: int,
) -> list[Outcome]:
    """Write each run's adapter file and then its result, and return the results.

    The measurements of a run are None if it diverged or was pruned; `tower_size` is the number of parameters of
    the base encoder.
    """
    adapter = trainer.adapter
    results: list[Outcome] = []
    for member, evaluations in zip(members, measurements, strict=True):
        config = member.config
        record = trainer.records[member.slot]
        if evaluations is None:
            results.append(_record_unmeasured(config, record))
            continue

        path = adapter_path(config.out, run_name(config, config.run_id()))
        pairs = pairs_of_training(member.inputs)
        state = adapter.file_state(record.best)
        trainable = None if adapter.trains_all_tensors else adapter.num_parameters()
        save_adapter(path, state, adapter.file_configs, config.language, adapter.tower, pairs, trainable)
        if adapter.steps is not None:
            adapter.steps.finish(path.with_suffix(""))

        description = describe_adapter(adapter, tower_size, path)
        result = record_training(member.inputs, evaluations, description, trainer, member.slot, len(members))
        results.append(result)

    # Only now: a fleet that is killed before this line resumes, and records all its results again
    config = members[0].config
    remove_states(config.out, config.run_id())
    return results


def _call_at_end(trainer: Trainer, members: Sequence[Member], results: Sequence[Outcome]) -> None:
    """Call the callbacks of each run that has a complete result."""
    for member, result in zip(members, results, strict=True):
        if isinstance(result, TrainingResult):
            stopped = trainer.records[member.slot].stopped
            step = trainer.step if stopped is None else stopped
            event = Event(member.config, member.slot, step, trainer.total_steps, recalls_of(result))
            for callback in trainer.callbacks:
                callback.at_end(event)


def _record_unmeasured(config: ExperimentConfig, record: SlotRecord) -> UnfinishedRun:
    """Write and return the result of a run that diverged or was pruned."""
    steps = not_none(record.stopped, "stopped")
    if record.diverged is None:
        return write_unfinished(config, "pruned", steps=steps, validation_recall=record.scores[-1][1])

    error = "".join(traceback.format_exception_only(DivergedError(record.diverged))).strip()
    return write_unfinished(config, "failed", error=error, steps=steps)


def as_config(config: ExperimentConfig | Mapping[str, Any]) -> ExperimentConfig:
    """Return a config unchanged, or make one from its fields. Raise ConfigError for any other value."""
    if isinstance(config, ExperimentConfig):
        return config
    if not isinstance(config, Mapping):
        raise ConfigError(
            f'expected fields such as {{"language": "de"}}, or pecl.make_config(...), got {config!r:.200}',
            field="config",
        )

    first, *_ = each_language(with_adapter_of_start(config))
    return make_config(first)


def with_joint_languages(config: ExperimentConfig) -> list[ExperimentConfig]:
    """Return one config per language of a joint training; for any other training, the config itself."""
    if config.joint is None:
        return [config]
    return [replace(config, language=language) for language in config.joint_languages]


def _find_complete(
    configs: Sequence[ExperimentConfig],
    cache: TrainingDataCache,
    callbacks: Sequence[Callback],
) -> list[Outcome] | None:
    """Return the results of `configs` if all are complete."""
    complete: list[Outcome] = []
    for config in configs:
        result = complete_result(config, cache.hashes, names_of(callbacks))
        if result is None:
            return None
        complete.append(result)
    logger.info("complete already: %s", ", ".join(config.run_id() for config in configs))
    return complete
