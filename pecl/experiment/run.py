"""Run one experiment: the page to read first.

`train` turns a config into a result: towers, data, few-shot split, frozen embeddings, zero-shot recall, adapter,
training, recall of the final and the best weights. `evaluate` stops after the first recall. `train_fleet` trains
several configs at once, one slot each, in one pass over the frozen tower; `train` is a fleet of one. The configs of a
`joint` training, one per language, share a slot: they learn one adapter, and each language has its own result.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from pecl.adapters.adapter import attach
from pecl.adapters.choice import PLAIN, AdapterChoice, KnownAdapters
from pecl.adapters.kind import AdapterConfig
from pecl.config import ENGINES, ExperimentConfig, each_language, make_config
from pecl.encoders.cached_layers import CACHED_BYTES
from pecl.encoders.towers import Towers, load_towers
from pecl.errors import ConfigError, not_none
from pecl.experiment.closed_form import HeadSolver
from pecl.experiment.fleet import Fleet, check_fleet, embed_queries, remaining_of, size_of, tower_arguments
from pecl.experiment.inputs import TrainingInputs
from pecl.experiment.memory import check_size, largest_fleet
from pecl.experiment.prepared import Prepared, check_joint, prepare_evaluation, prepare_training
from pecl.experiment.record import describe_adapter, record_evaluation
from pecl.experiment.start import check_start, with_adapter_of_start
from pecl.experiment.tested_pairs import without_training_pairs
from pecl.experiment.text_tower import check_trimming, has_no_values, trim_to_texts, with_shape
from pecl.files import check_writable
from pecl.results.folder import complete_result, find_result, hold, tidy
from pecl.results.result import Result
from pecl.training.distributed import ProcessGroup, join_group, use_threads
from pecl.training.trainer import Trainer
from pecl.training.worker_rank import run_worker, set_up_workers

logger = logging.getLogger(__name__)


def train(config: ExperimentConfig | Mapping[str, Any]) -> Result:
    """Train one config and return its result, whose file is `result.path`.

    A `joint` config trains all its languages, which learn one adapter together. Each has a result of its own, and that
    of `language` is returned, by default that of the first one.

    A complete result of the same config and data is returned unchanged. An interrupted run resumes. While another
    process trains the run, this process waits.

    Args:
        config: the run, or its fields as `make_config` takes them.

    Example:
        >>> result = pecl.train({"language": "de", "epochs": 5})
        >>> result.recall(stage="zero_shot"), result.recall()
    """
    config = as_config(config)
    results = train_fleet(with_joint_languages(config))
    return next(result for result in results if result.config.language == config.language)


def train_fleet(
    configs: Sequence[ExperimentConfig | Mapping[str, Any]],
    wait: bool = True,
    share: int | None = None,
    inputs: TrainingInputs | None = None,
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
        inputs: a cache of data that may have been read already.

    Raises:
        PeclError: bad input, or the configs differ in another field; nothing has been written.
        BusyError: another process trains one of them.
        DivergedError: the only run diverged.
    """
    if not configs:
        raise ConfigError("configs: expected at least one run, got none")
    configs = [as_config(config) for config in configs]
    processes = join_group(configs[0].device)
    runs = [config.identity() for config in configs]
    with use_threads(configs[0].threads):
        if processes.rank > 0:
            last = run_worker(processes, runs, load_towers_once)
            return [replace(Result.from_json(document), path=Path(path)) for path, document in last["results"]]
        with processes.leading(runs) as last:
            configs = [replace(config, processes=processes.size) for config in configs]
            given = [config.language for config in configs] if configs[0].joint else []
            configs.sort(key=lambda one: one.language if given else "")  # a joint training has one order of languages
            results = _train_fleet(configs, wait, share, inputs or TrainingInputs(), processes)
            results.sort(key=lambda one: given.index(one.config.language) if given else 0)
            last["results"] = [(str(result.path), result.to_json()) for result in results]
        return results


def _train_fleet(
    configs: Sequence[ExperimentConfig], wait: bool, share: int | None, inputs: TrainingInputs, processes: ProcessGroup
) -> list[Result]:
    """Read and check everything, then lock the runs and train as many at a time as fit into memory."""
    check_fleet(configs)
    if done := _complete(configs, inputs):
        for config in configs:
            tidy(config.out, config.run_id())
        return done
    first, adapters = configs[0], adapters_of(configs[0])
    towers = towers_of(first, trims=first.trim_vocabulary)
    members, most = _prepare(configs, adapters, share, inputs, towers)
    with hold(first.out, [config.run_id() for config in configs], wait):
        if done := _complete(configs, inputs):  # by another process, meanwhile
            return done
        trained: list[Result] = []
        for start in range(0, len(members), most):  # once, if all fit into memory
            trained += _train_together(members[start : start + most], adapters, processes)
        if len(trained) == len(configs):
            return trained
        return [not_none(find_result(config), "result") for config in configs]


def adapters_of(config: ExperimentConfig) -> tuple[AdapterConfig, ...]:
    """Return the adapter of a run, as its engine reads it. Raise ConfigError for one that the engine does not have."""
    adapters = ENGINES[config.engine].parse_adapter(config.adapter, config.rank, config.adapter_layers)
    if config.trim_vocabulary:
        check_trimming(config.engine, adapters)
    return adapters


def _prepare(
    configs: Sequence[ExperimentConfig],
    adapters: Sequence[AdapterConfig],
    share: int | None,
    inputs: TrainingInputs,
    towers: Towers,
    trims: bool = True,
) -> tuple[list[Prepared], int]:
    """Check everything, and return prepared runs and the number of runs that fit into memory.

    `towers` may have shapes without values, see `with_shape`. Without `trims`, the runs' `trim_vocabulary` is ignored.
    """
    first = configs[0]
    members = [prepare_training(config, towers, inputs) for config in configs]
    check_joint(members)
    checked, seeds = adapters, [first.seed]
    if has_no_values(towers.text):  # no values to draw, and no tokenizer for prompts of words
        seeds = []
        checked = [one for one in adapters if not one.text_prompt and getattr(one, "init_text", None) is None]
    adapter = ENGINES[first.engine].attach(towers.text, checked, seeds=seeds)
    try:
        if "closed-form" in first.solvers:
            HeadSolver(adapter, (), ())  # refuses an adapter without a head
        check_start(adapter, members)
        parameters, kept = adapter.num_parameters(), CACHED_BYTES if checked and adapter.first_layer else 0
    finally:
        adapter.remove()
    if trims and first.trim_vocabulary:
        trim_to_texts(members, adapters)
    most = largest_fleet(members, parameters, share or 1, kept)
    if share is None:
        check_size(members, most)
    check_writable(first.out)
    return members, most


def _train_together(
    members: list[Prepared], adapters: Sequence[AdapterConfig], processes: ProcessGroup
) -> list[Result]:
    """Train the incomplete runs among `members`: prepare, attach, train, measure, record."""
    if not (remaining := remaining_of(members)):
        return []
    config, tower = remaining[0].config, remaining[0].towers.text
    fleet = Fleet(remaining)  # everything frozen is computed while the tower is plain
    adapter = ENGINES[config.engine].attach(tower, adapters, seeds=fleet.seeds)
    try:
        trainer = fleet.trainer(adapter, processes)
        try:
            if processes.size > 1:
                set_up_workers(processes, **fleet.setup(adapter))
            with tower.caching(fleet.encoded_often()):
                _train_phases(trainer, fleet, config)
                return fleet.record(adapter, trainer)
        except KeyboardInterrupt:
            fleet.record_interruption(trainer.saved_step)
            raise
    finally:
        adapter.remove()


def _train_phases(trainer: Trainer, fleet: Fleet, config: ExperimentConfig) -> None:
    """Train and solve in the order of `config.solvers`; a saved state resumes in the gradient phase."""
    phases = config.solvers
    solver = HeadSolver(trainer.adapter, fleet.members, fleet.slot_of) if "closed-form" in phases else None
    if trainer.is_saved:
        phases = phases[phases.index("gradient") :]
    elif config.choose == "text":  # the initial weights are a candidate, too
        trainer.measure(0)
    for phase in phases:
        if solver is None or phase == "gradient":
            trainer.run()
        else:
            solver.solve(trainer.records)
            trainer.measure(trainer.step + 1 if trainer.step else 0)  # scored as weights of the next step


def check_run(
    configs: Sequence[ExperimentConfig], share: int | None = None, inputs: TrainingInputs | None = None
) -> list[Prepared]:
    """Make all checks of `train_fleet` before its first step, and write nothing: a dry run.

    Weights are not loaded if the shape of the text tower is known. Images are not decoded.
    """
    check_fleet(configs)
    adapters = adapters_of(configs[0])
    with use_threads(configs[0].threads):
        towers = with_shape(towers_of(configs[0]), configs[0])
        return _prepare(configs, adapters, share, inputs or TrainingInputs(), towers, trims=False)[0]


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
        prepared = prepare_evaluation(config, towers)
        check_writable(config.out)
        file = choice.read(towers.text)
        logger.info("%s: %s", config.language, choice.sentence)
        prepared = without_training_pairs(prepared, file)
        if config.trim_vocabulary:
            configs = () if file is None else file.configs
            check_trimming("pecl", configs)
            trim_to_texts([prepared], configs)
        evaluator, total = prepared.evaluator("test"), size_of(towers.text)
        if file is None:
            return record_evaluation(prepared, {"test": {"zero_shot": evaluator(prepared.zero_shot("test"))}}, None)
        if file.language not in (None, config.language):
            trained = (file.path, file.language)
            logger.warning("%s was trained for %s and is evaluated on %s", *trained, config.language)
        adapter = attach(towers.text, file.configs)
        try:
            adapter.load_slot_state(0, file.state)
            evaluation = evaluator(embed_queries(adapter, 0, prepared.tokens("test")))
            described = describe_adapter(adapter, total, file.path)
        finally:
            adapter.remove()
        return record_evaluation(prepared, {"test": {"best": evaluation}}, described)


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


def _complete(configs: Sequence[ExperimentConfig], inputs: TrainingInputs) -> list[Result] | None:
    """Return the results of `configs` if all are complete."""
    done = [result for config in configs if (result := complete_result(config, inputs.hashes)) is not None]
    if len(done) < len(configs):
        return None
    logger.info("complete already: %s", ", ".join(config.run_id() for config in configs))
    return done


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
