"""Run one experiment: the page to read first.

`train` goes from a config to a result: towers, data, few-shot split, frozen embeddings, zero-shot recall, adapter,
training, recall of the final and of the best weights. `evaluate` stops after the first recall. `train_fleet` trains
several configs at once, one slot each, in one pass over the frozen tower; `train` is a fleet of one. Configs of one
`joint` training, one a language, share a slot: they learn one adapter, and each language has its own result.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

import torch

from pecl.adapters.adapter import Adapter, attach
from pecl.adapters.formats.files import load_adapter_file
from pecl.adapters.kind import AdapterConfig
from pecl.adapters.spec import parse_adapter
from pecl.config import ENGINES, ExperimentConfig, make_config
from pecl.encoders.kept import KEPT_BYTES
from pecl.encoders.towers import Towers, load_towers
from pecl.errors import ConfigError, require
from pecl.experiment.fleet import Fleet, check_fleet, embed, remaining_of, size_of
from pecl.experiment.inputs import TrainingInputs
from pecl.experiment.memory import check_size, largest_fleet
from pecl.experiment.prepared import Prepared, prepare_evaluation, prepare_training
from pecl.experiment.processes import held_by_first, in_processes, of_first
from pecl.experiment.record import describe_adapter, record_evaluation
from pecl.experiment.start import check_start
from pecl.experiment.trimming import check_trimming, own_tokens_of, trim_to_texts
from pecl.files import check_writable
from pecl.results.folder import complete_result, find_result
from pecl.results.locks import hold
from pecl.results.result import Result
from pecl.training.distributed import Processes, join

logger = logging.getLogger(__name__)


def evaluate(config: ExperimentConfig | Mapping[str, Any]) -> Result:
    """Measure the recall of the plain tower, or of `config.weights`, on the whole data set and return the result.

    Args:
        config: the run, or its fields as `make_config` takes them.

    Raises:
        PeclError: bad input; nothing has been written.
    """
    config = as_config(config)
    with use_threads(config.threads):
        return _evaluate(config)


def _evaluate(config: ExperimentConfig) -> Result:
    towers = towers_of(config, trims=config.trim_vocabulary)
    prepared = prepare_evaluation(config, towers)
    check_writable(config.out)
    file = None if config.weights is None else load_adapter_file(config.weights, towers.text)
    if config.trim_vocabulary:
        _trim(prepared, () if file is None else file.configs)
    evaluator = prepared.evaluator("test")
    described, total = None, size_of(towers.text)
    if file is None:
        evaluation = evaluator(prepared.zero_shot("test"))
    else:
        if file.language not in (None, config.language):
            logger.warning("%s was trained for %s and is evaluated on %s", file.path, file.language, config.language)
        adapter = attach(towers.text, file.configs)
        try:
            adapter.load_slot_state(0, file.state)
            evaluation = evaluator(embed(adapter, 0, prepared.tokens("test")))
            described = describe_adapter(adapter, total, file.path)
        finally:
            adapter.remove()
    stage = "zero_shot" if config.weights is None else "best"
    return record_evaluation(prepared, {"test": {stage: evaluation}}, described)


def train(config: ExperimentConfig | Mapping[str, Any]) -> Result:
    """Train one config and return its result, whose file is `result.path`.

    A complete result of the same config and data is returned as it is; an interrupted run goes on where it was. While
    another process is at work on the run, this one waits for it.

    Args:
        config: the run, or its fields as `make_config` takes them.

    Example:
        >>> result = pecl.train({"language": "de", "epochs": 5})
        >>> result.recall(stage="zero_shot"), result.recall()

    Raises:
        PeclError: bad input; nothing has been written.
    """
    return train_fleet([config])[0]


def train_fleet(
    configs: Sequence[ExperimentConfig | Mapping[str, Any]],
    wait: bool = True,
    share: int | None = None,
    inputs: TrainingInputs | None = None,
) -> list[Result]:
    """Train configs that differ in `FLEET_FIELDS` alone side by side, one slot each, and return their results.

    Args:
        configs: runs, or the fields of each. Those that are complete are not trained again, unless the fleet was
            interrupted: then all go on.
        wait: wait while another process is at work on one of them, instead of an error.
        share: processes that share the memory here, if the fleet is to be divided into fleets that fit into it; None:
            one that does not fit is an error, which names the largest that does.
        inputs: what has been read of their data already.

    A run that diverges leaves the fleet; its result says so, with the step, and the others are as they are without it.

    Raises:
        PeclError: bad input, or the configs differ in another field; nothing has been written.
        BusyError: another process is at work on one of them.
        DivergedError: the only run diverged.
    """
    configs = [as_config(config) for config in configs]
    processes = join(configs[0].device)
    processes.check_equal([config.identity() for config in configs])
    configs = in_processes(configs, processes.size)
    processes.in_turn(lambda: check_fleet(configs))
    with use_threads(configs[0].threads):
        inputs = inputs or TrainingInputs()
        done = of_first(processes, lambda: _complete(configs, inputs))
        return done or _train_fleet(configs, wait, share, processes, inputs)


def _train_fleet(
    configs: Sequence[ExperimentConfig], wait: bool, share: int | None, processes: Processes, inputs: TrainingInputs
) -> list[Result]:
    first, attach_adapter = configs[0], ENGINES[configs[0].engine]
    adapter_configs = processes.in_turn(lambda: parse_adapter(first.adapter, first.rank, first.adapter_layers))

    def prepare() -> tuple[list[Prepared], int]:
        if first.trim_vocabulary:
            check_trimming(first.engine, adapter_configs)
        towers = towers_of(first, trims=first.trim_vocabulary)
        members = [prepare_training(config, towers, inputs) for config in configs]
        adapter = attach_adapter(towers.text, adapter_configs, seeds=[first.seed])  # what does not fit is said now
        try:
            check_start(adapter, first)
            own_tokens = own_tokens_of(adapter) if first.trim_vocabulary else []
            parameters, kept = adapter.num_parameters(), KEPT_BYTES if adapter.first_layer else 0
        finally:
            adapter.remove()
        if first.trim_vocabulary:
            trim_to_texts(members, own_tokens)
        most = largest_fleet(members, parameters, share or 1, kept)
        if share is None:
            check_size(members, most)
        if processes.is_first:
            check_writable(first.out)
        return members, most

    def attach_slots(seeds: list[int]) -> Adapter:
        return attach_adapter(members[0].towers.text, adapter_configs, seeds=seeds)

    members, most = processes.in_turn(prepare)
    most = processes.from_first(lambda: most)
    with held_by_first(processes, lambda: hold(first.out, [config.run_id() for config in configs], wait)):
        if done := of_first(processes, lambda: _complete(configs, inputs)):  # another process has done them meanwhile
            return done
        trained = []
        for start in range(0, len(members), most):  # once, unless they do not fit into memory together
            trained += _train_members(members[start : start + most], attach_slots, processes)
        if len(trained) < len(configs):
            return of_first(processes, lambda: [require(find_result(config), "result") for config in configs]) or []
        return trained


def _train_members(
    members: list[Prepared], attach_slots: Callable[[list[int]], Adapter], processes: Processes
) -> list[Result]:
    """Train what is left of runs that fit into memory, and return the results of that."""
    remaining = [members[i] for i in processes.from_first(lambda: remaining_of(members))]
    if not remaining:
        return []
    fleet = processes.in_turn(lambda: Fleet(remaining))
    slots = remaining[:1] if remaining[0].config.joint else remaining  # one for all, or one each
    adapter = attach_slots([one.config.seed for one in slots])
    try:
        return fleet.train(adapter, processes)
    except KeyboardInterrupt:
        if processes.is_first:
            fleet.record_interruption()
        raise
    finally:
        adapter.remove()


def as_config(config: ExperimentConfig | Mapping[str, Any]) -> ExperimentConfig:
    """Return a config as it is, and the fields of one as `make_config` reads them.

    Raises:
        ConfigError: a field is unknown or wrong, or `config` is neither.
    """
    if isinstance(config, ExperimentConfig):
        return config
    if not isinstance(config, Mapping):
        raise ConfigError(
            f'config: expected fields such as {{"language": "de"}}, or pecl.make_config(...), got {config!r:.200}'
        )
    return make_config(config)


@contextlib.contextmanager
def use_threads(number: int | None) -> Iterator[None]:
    """Compute with `number` threads in the body; None leaves the number as it is."""
    before = torch.get_num_threads()
    if number is not None:
        torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def towers_of(config: ExperimentConfig, trims: bool = False) -> Towers:
    """Return the towers of a config: those of the run before where they are the same, so that a grid loads them once.

    They are this module's own, and plain between runs.

    Args:
        config: names them.
        trims: whether their vocabulary will be trimmed: they are then loaded anew, and not kept.
    """
    arguments = config.profile, config.text_model, config.image_model, config.device, config.precision
    if trims:  # what is trimmed lacks the words of all other data, and of these as they may be by the next time
        _load_once.cache_clear()
        return load_towers(*arguments)
    return _load_once(load_towers, *arguments)


@lru_cache(maxsize=1)
def _load_once(load: Callable[..., Towers], *arguments: str | None) -> Towers:
    return load(*arguments)


def _trim(prepared: Prepared, configs: Sequence[AdapterConfig]) -> None:
    """Trim the text tower to the captions of an evaluation and to the texts of an adapter of `configs`, if any."""
    check_trimming("pecl", configs)
    own_tokens: list[int] = []
    if configs:
        adapter = attach(prepared.towers.text, configs)
        own_tokens = own_tokens_of(adapter)
        adapter.remove()
    trim_to_texts([prepared], own_tokens)


def _complete(configs: Sequence[ExperimentConfig], inputs: TrainingInputs) -> list[Result] | None:
    """Return the results of `configs` if all are complete."""
    done = [result for config in configs if (result := complete_result(config, inputs.hashes)) is not None]
    if len(done) < len(configs):
        return None
    logger.info("complete already: %s", ", ".join(config.run_id() for config in configs))
    return done
