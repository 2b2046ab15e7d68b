"""Run one experiment: the page to read first.

`train` turns a config into a result, in six steps: *read* captions, split and training text (`inputs`); *freeze* what
the plain towers give (`frozen`); *attach* an adapter; *train* it (`training`); *measure* the final and the best weights
(`measuring`); *record* the result (`record`). `evaluate` reads, measures and records. `train_fleet` trains several
configs at once, one slot each, in one pass over the frozen tower; `train` is a fleet of one. The configs of a `joint`
training, one per language, share a slot: they learn one adapter, and each language has its own result.
"""

import logging
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from pecl.adapters.adapter import attach
from pecl.adapters.choice import PLAIN, AdapterChoice, KnownAdapters
from pecl.adapters.formats.files import save_adapter
from pecl.adapters.kind import AdapterConfig
from pecl.config import ENGINES, ExperimentConfig, each_language, make_config
from pecl.encoders.cached_layers import CACHED_BYTES
from pecl.encoders.towers import Towers, load_towers
from pecl.errors import ConfigError, DivergedError, not_none
from pecl.experiment.closed_form import solvable_head
from pecl.experiment.fleet import Member, check_fleet, is_complete, remaining_of, seeds_of, slots_of
from pecl.experiment.frozen import embed_queries_plain, freeze_training, make_evaluator
from pecl.experiment.inputs import Inputs, check_joint, read_evaluation, read_training
from pecl.experiment.loading import TrainingDataCache
from pecl.experiment.measuring import Measurements, embed_queries, measure, recalls_of, size_of
from pecl.experiment.memory import check_size, largest_fleet
from pecl.experiment.record import describe_adapter, record_evaluation, record_training
from pecl.experiment.start import check_start, with_adapter_of_start
from pecl.experiment.tested_pairs import pairs_of_training, without_training_pairs
from pecl.experiment.text_tower import check_trimming, has_no_values, trim_to_texts, with_shape
from pecl.experiment.tracking import make_trackers, reporting
from pecl.experiment.training import encoded_often, make_trainer, tower_arguments, train_phases, worker_setup
from pecl.files import check_writable
from pecl.results.folder import complete_result, find_result, hold, remove_states, tidy
from pecl.results.result import Result, adapter_path, read_result, run_name, write_unfinished
from pecl.training.callbacks import Callback, Event
from pecl.training.distributed import ProcessGroup, join_group, use_threads
from pecl.training.state import SlotRecord
from pecl.training.trainer import Trainer
from pecl.training.worker_rank import run_worker, set_up_workers

logger = logging.getLogger(__name__)


def train(config: ExperimentConfig | Mapping[str, Any], callbacks: Sequence[Callback] = ()) -> Result:
    """Train one config and return its result, whose file is `result.path`.

    A `joint` config trains all its languages, which learn one adapter together. Each has a result of its own, and that
    of `language` is returned, by default that of the first one.

    A complete result of the same config and data is returned unchanged. An interrupted run resumes. While another
    process trains the run, this process waits.

    Args:
        config: the run, or its fields as `make_config` takes them.
        callbacks: called during the training, see `pecl.Callback`; not for a result that is complete already.

    Example:
        >>> result = pecl.train({"language": "de", "epochs": 5})
        >>> result.recall(stage="zero_shot"), result.recall()
    """
    config = as_config(config)
    results = train_fleet(with_joint_languages(config), callbacks=callbacks)
    return next(result for result in results if result.config.language == config.language)


def train_fleet(
    configs: Sequence[ExperimentConfig | Mapping[str, Any]],
    wait: bool = True,
    share: int | None = None,
    cache: TrainingDataCache | None = None,
    callbacks: Sequence[Callback] = (),
) -> list[Result]:
    """Train configs that differ only in `FLEET_FIELDS` together, one slot each, and return their results.

    A diverging run is dropped; its result records the step, and the other runs are not affected. With several processes
    (`torchrun`), rank 0 does all of this, and the others embed their share of each batch.

    Args:
        configs: runs, or the fields of each. Complete runs are not trained again, unless the fleet was interrupted:
            then all resume.
        wait: whether to wait while another process trains one of them; otherwise BusyError.
        share: number of processes that share the memory: the fleet is divided into fleets that fit. None: a fleet that
            does not fit raises ConfigError with the largest possible size.
        cache: data that may have been read already.
        callbacks: called during the training, see `pecl.Callback`.

    Raises:
        PeclError: bad input, or the configs differ in another field; nothing has been written.
        BusyError: another process trains one of them.
        DivergedError: the only run diverged.
    """
    if not configs:
        raise ConfigError("configs: expected at least one run, got none")
    configs = [as_config(config) for config in configs]
    processes = join_group(configs[0].device)
    identities = [config.identity() for config in configs]

    with use_threads(configs[0].threads):
        if processes.rank > 0:
            last = run_worker(processes, identities, load_towers_once)
            return [replace(Result.from_json(document), path=Path(path)) for path, document in last["results"]]

        with processes.leading(identities) as last:
            configs = [replace(config, processes=processes.size) for config in configs]
            results = _train_in_order(configs, wait, share, cache or TrainingDataCache(), processes, callbacks)
            last["results"] = [(str(result.path), result.to_json()) for result in results]
        return results


def _train_in_order(
    configs: Sequence[ExperimentConfig],
    wait: bool,
    share: int | None,
    cache: TrainingDataCache,
    processes: ProcessGroup,
    callbacks: Sequence[Callback],
) -> list[Result]:
    """Train a fleet; a joint training has one order of languages, whatever the order of its configs."""
    if not configs[0].joint:
        return _train_fleet(configs, wait, share, cache, processes, callbacks)

    by_language = sorted(configs, key=lambda config: config.language)
    results = _train_fleet(by_language, wait, share, cache, processes, callbacks)
    result_of = {result.config.language: result for result in results}
    return [result_of[config.language] for config in configs]


def _train_fleet(
    configs: Sequence[ExperimentConfig],
    wait: bool,
    share: int | None,
    cache: TrainingDataCache,
    processes: ProcessGroup,
    callbacks: Sequence[Callback],
) -> list[Result]:
    """Read and check everything, then lock the runs and train as many at a time as fit into memory."""
    check_fleet(configs)
    if results := _complete(configs, cache):
        for config in configs:
            tidy(config.out, config.run_id())
        return results

    first = configs[0]
    adapters = adapters_of(first)
    trackers = make_trackers(first)
    towers = towers_of(first, trims=first.trim_vocabulary)
    runs, most = _read_and_check(configs, adapters, share, cache, towers)
    if first.trim_vocabulary:
        trim_to_texts(runs, adapters)

    with hold(first.out, [config.run_id() for config in configs], wait), reporting(trackers) as reporters:
        if results := _complete(configs, cache):  # by another process, meanwhile
            return results

        trained: list[Result] = []
        for start in range(0, len(runs), most):  # once, if all fit into memory
            trained += _train_together(runs[start : start + most], adapters, processes, [*callbacks, *reporters])
        if len(trained) == len(configs):
            return trained
        return [not_none(find_result(config), "result") for config in configs]


def adapters_of(config: ExperimentConfig) -> tuple[AdapterConfig, ...]:
    """Return the adapter of a run, as its engine reads it. Raise ConfigError for one that the engine does not have."""
    adapters = ENGINES[config.engine].parse_adapter(config.adapter, config.rank, config.adapter_layers)
    if config.trim_vocabulary:
        check_trimming(config.engine, adapters)
    return adapters


def _read_and_check(
    configs: Sequence[ExperimentConfig],
    adapters: Sequence[AdapterConfig],
    share: int | None,
    cache: TrainingDataCache,
    towers: Towers,
    is_dry: bool = False,
) -> tuple[list[Inputs], int]:
    """Read all runs, make all checks, and return the runs, and how many of them fit into memory.

    In a dry run, `towers` may have shapes without values, see `with_shape`.
    """
    first = configs[0]
    runs = [read_training(config, towers, cache, other_text=not is_dry) for config in configs]
    check_joint(runs)

    checked = tuple(adapters)
    seeds = [first.seed]
    if has_no_values(towers.text):  # no values to draw, and no tokenizer for prompts of words
        seeds = []
        checked = tuple(
            config for config in adapters if not config.text_prompt and getattr(config, "init_text", None) is None
        )
    adapter = ENGINES[first.engine].attach(towers.text, checked, seeds=seeds)
    try:
        if "closed-form" in first.solvers:
            solvable_head(adapter)  # raises an error for an adapter without a head
        check_start(adapter, runs)
        parameters = adapter.num_parameters()
        cached_bytes = CACHED_BYTES if checked and adapter.first_layer else 0
    finally:
        adapter.remove()

    most = largest_fleet(runs, parameters, share or 1, cached_bytes)
    if share is None:
        check_size(runs, most)
    check_writable(first.out)
    return runs, most


def _train_together(
    runs: Sequence[Inputs],
    adapters: Sequence[AdapterConfig],
    processes: ProcessGroup,
    callbacks: Sequence[Callback],
) -> list[Result]:
    """Train the incomplete runs among `runs`, which have been read: freeze, attach, train, measure, record."""
    runs = remaining_of(runs)
    if not runs:
        return []
    config = runs[0].config
    tower = runs[0].towers.text
    tower_size = size_of(tower)

    # Freeze what the plain towers give: with an adapter, the tower gives other embeddings
    members = [Member(inputs, freeze_training(inputs), slot) for inputs, slot in zip(runs, slots_of(runs), strict=True)]

    # Attach an adapter with a slot per member
    adapter = ENGINES[config.engine].attach(tower, adapters, seeds=seeds_of(members))
    try:
        trainer = make_trainer(adapter, members, processes, callbacks)
        try:
            if processes.size > 1:
                set_up_workers(processes, **worker_setup(trainer, members))

            with tower.caching(encoded_often(trainer, members)):
                train_phases(trainer, members)

                measurements = measure(adapter, members, trainer.records)

                return _record(trainer, members, measurements, tower_size)
        except KeyboardInterrupt:
            for member in members:
                if not is_complete(member.inputs):
                    write_unfinished(member.config, "interrupted", steps=trainer.saved_step)
            raise
    finally:
        adapter.remove()


def _record(
    trainer: Trainer, members: Sequence[Member], measurements: Sequence[Measurements | None], tower_size: int
) -> list[Result]:
    """Write each run's adapter file and then its result, and return the results.

    The measurements of a run are None if it diverged or was pruned; `tower_size` is the number of parameters of the
    plain tower.
    """
    adapter = trainer.adapter
    results: list[Result] = []
    for member, measured in zip(members, measurements, strict=True):
        config = member.config
        record = trainer.records[member.slot]
        if measured is None:
            results.append(_record_unmeasured(config, record))
            continue

        path = adapter_path(config.out, run_name(config, config.run_id()))
        pairs = pairs_of_training(member.inputs)
        state = adapter.file_state(record.best)
        save_adapter(path, state, adapter.configs, config.language, adapter.tower, pairs)
        adapter.write_own_format(path.with_suffix(""))

        description = describe_adapter(adapter, tower_size, path)
        result = record_training(member.inputs, measured, description, trainer, member.slot, len(members))
        results.append(result)

    config = members[0].config
    remove_states(config.out, config.run_id())

    # Only now: a fleet that is killed before this line resumes, and records all its results again
    for member, result in zip(members, results, strict=True):
        if result.status == "complete":
            event = Event(member.config, member.slot, trainer.step, trainer.total_steps, recalls_of(result))
            for callback in trainer.callbacks:
                callback.at_end(event)
    return results


def _record_unmeasured(config: ExperimentConfig, record: SlotRecord) -> Result:
    """Write and return the result of a run that diverged or was pruned."""
    steps = not_none(record.stopped, "stopped")
    if record.diverged is None:
        path = write_unfinished(config, "pruned", steps=steps, validation_recall=record.scores[-1][1])
    else:
        error = "".join(traceback.format_exception_only(DivergedError(record.diverged))).strip()
        path = write_unfinished(config, "failed", error=error, steps=steps)
    return read_result(path)


def check_run(
    configs: Sequence[ExperimentConfig], share: int | None = None, cache: TrainingDataCache | None = None
) -> list[Inputs]:
    """Make all checks of `train_fleet` before its first step, and write nothing: a dry run.

    Weights are not loaded if the shape of the text tower is known. Images are not decoded.
    """
    check_fleet(configs)
    adapters = adapters_of(configs[0])
    make_trackers(configs[0])  # raises an error if a package is missing
    with use_threads(configs[0].threads):
        towers = with_shape(towers_of(configs[0]), configs[0])
        runs, _ = _read_and_check(configs, adapters, share, cache or TrainingDataCache(), towers, is_dry=True)
        return runs


def evaluate(config: ExperimentConfig | Mapping[str, Any]) -> Result:
    """Return the result of an evaluation: the recall of the plain tower, or with the adapter `config.weights`.

    It is measured on the published test part, or else on the whole data set, without the pairs that trained the adapter
    or chose its weights, unless `config.all_pairs`. Raise PeclError for bad input; nothing is written then.

    Args:
        config: the run, or its fields as `make_config` takes them.
    """
    config, choice = with_adapter(as_config(config))
    with use_threads(config.threads):
        towers = towers_of(config, trims=config.trim_vocabulary)
        inputs = read_evaluation(config, towers)
        check_writable(config.out)
        file = choice.read(towers.text)
        logger.info("%s: %s", config.language, choice.sentence)
        inputs = without_training_pairs(inputs, file)

        if config.trim_vocabulary:
            configs = () if file is None else file.configs
            check_trimming("pecl", configs)
            trim_to_texts([inputs], configs)

        tower_size = size_of(towers.text)
        evaluator = make_evaluator(inputs, "test")
        if file is None:
            evaluation = evaluator(embed_queries_plain(inputs, "test"))
            return record_evaluation(inputs, {"test": {"zero_shot": evaluation}}, None)

        if file.language not in (None, config.language):
            message = "%s was trained for %s and is evaluated on %s"
            logger.warning(message, file.path, file.language, config.language)
        adapter = attach(towers.text, file.configs)
        try:
            adapter.load_slot_state(0, file.state)
            evaluation = evaluator(embed_queries(adapter, 0, inputs.tokens("test")))
            description = describe_adapter(adapter, tower_size, file.path)
        finally:
            adapter.remove()
        return record_evaluation(inputs, {"test": {"best": evaluation}}, description)


def with_adapter(config: ExperimentConfig) -> tuple[ExperimentConfig, AdapterChoice]:
    """Return the config of an evaluation, with the adapter's name as results use it, and the adapter.

    `weights` None evaluates the plain tower, even if an adapter of the language is known.
    """
    if config.all_pairs and config.weights in (None, PLAIN):
        raise ConfigError("all_pairs: expected an adapter with it: no pair trained the plain tower")
    known = KnownAdapters(config.profile, text_model=config.text_model)
    if config.weights is not None:
        choice = known.choose(config.weights, config.language)
        return replace(config, weights=choice.name), choice
    other = known.for_language(config.language)
    way = f"--adapter {other.name} evaluates the adapter of this language" if other.path else other.reason
    return config, replace(known.choose(PLAIN, None), reason=f"the plain tower; {way}")


def as_config(config: ExperimentConfig | Mapping[str, Any]) -> ExperimentConfig:
    """Return a config unchanged, or make one from its fields. Raise ConfigError for any other value."""
    if isinstance(config, ExperimentConfig):
        return config
    if not isinstance(config, Mapping):
        raise ConfigError(
            f'config: expected fields such as {{"language": "de"}}, or pecl.make_config(...), got {config!r:.200}'
        )
    first, *_ = each_language(with_adapter_of_start(config))
    return make_config(first)


def with_joint_languages(config: ExperimentConfig) -> list[ExperimentConfig]:
    """Return one config per language of a joint training; for any other training, the config itself."""
    if config.joint is None:
        return [config]
    return [replace(config, language=language) for language in config.joint_languages]


def _complete(configs: Sequence[ExperimentConfig], cache: TrainingDataCache) -> list[Result] | None:
    """Return the results of `configs` if all are complete."""
    results = [complete_result(config, cache.hashes) for config in configs]
    complete = [result for result in results if result is not None]
    if len(complete) < len(configs):
        return None
    logger.info("complete already: %s", ", ".join(config.run_id() for config in configs))
    return complete


def towers_of(config: ExperimentConfig, trims: bool = False) -> Towers:
    """Return the towers of a config, see `load_towers_once`."""
    return load_towers_once(tower_arguments(config), trims)


def load_towers_once(arguments: Sequence[Any], trims: bool = False) -> Towers:
    """Return towers for the arguments of `load_towers`: those of the previous run if it had the same arguments.

    Between runs the towers have no adapter. Towers whose vocabulary will be trimmed are loaded again, and not cached.
    """
    if trims:  # a trimmed tower lacks the words of all other data
        _load_once.cache_clear()
        return load_towers(*arguments)
    return _load_once(load_towers, *arguments)


@lru_cache(maxsize=1)
def _load_once(load: Callable[..., Towers], *arguments: Any) -> Towers:
    return load(*arguments)
