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
from dataclasses import fields
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pecl.adapters.adapter import Adapter, attach
from pecl.adapters.formats.files import AdapterFile, load_adapter_file, save_adapter
from pecl.adapters.kind import AdapterConfig
from pecl.adapters.spec import describe, parse_adapter
from pecl.config import ENGINES, FLEET_FIELDS, WITH_BANK, ExperimentConfig
from pecl.encoders.devices import to_device
from pecl.encoders.embeddings import Embeddings
from pecl.encoders.large import tokens_of
from pecl.encoders.text import MultilingualTextEncoder, TokenIds
from pecl.encoders.towers import Towers, load_towers
from pecl.encoders.vocabulary import left_out
from pecl.errors import ConfigError, require
from pecl.experiment.closed_form import HeadSolver
from pecl.experiment.inputs import training_hashes
from pecl.experiment.prepared import Prepared, prepare_evaluation, prepare_training
from pecl.experiment.processes import held_by_first, in_processes, of_first
from pecl.experiment.record import describe_adapter, describe_data, record_evaluation, record_training
from pecl.experiment.trimming import check_trimming, own_tokens_of, trim_to_texts
from pecl.files import check_writable, sha256_json
from pecl.results.folder import complete_result, find_result, remove_states, state_path, threads_of_states
from pecl.results.locks import hold
from pecl.results.parts import Fleet
from pecl.results.result import Result, adapter_path, run_name, write_unfinished
from pecl.results.typed_json import encode
from pecl.retrieval.evaluator import Evaluation
from pecl.training.distributed import Processes, join
from pecl.training.losses import AlignmentObjective
from pecl.training.schedule import Schedule, SlotRecord
from pecl.training.trainer import AlignmentTrainer, SlotTask

logger = logging.getLogger(__name__)

BANK_SIZE = 8192  # frozen anchors, of the first training pairs, that `match` compares with


def evaluate(config: ExperimentConfig) -> Result:
    """Measure the recall of the plain tower, or of `config.weights`, on the whole data set and return the result.

    Raises:
        PeclError: bad input; nothing has been written.
    """
    with use_threads(config.threads):
        return _evaluate(config)


def _evaluate(config: ExperimentConfig) -> Result:
    towers = towers_of(config, [config])
    prepared = prepare_evaluation(config, towers)
    check_writable(config.out)
    file = None if config.weights is None else load_adapter_file(config.weights, towers.text)
    if config.trim_vocabulary:
        _trim(prepared, () if file is None else file.configs)
    evaluator = prepared.evaluator("test")
    described, total = None, _size(towers.text)
    if file is None:
        evaluation = evaluator(prepared.zero_shot("test"))
    else:
        if file.language not in (None, config.language):
            logger.warning("%s was trained for %s and is evaluated on %s", file.path, file.language, config.language)
        adapter = attach(towers.text, file.configs)
        try:
            adapter.load_slot_state(0, file.state)
            evaluation = evaluator(_embed(adapter, 0, prepared.tokens("test")))
            described = describe_adapter(adapter, total)
        finally:
            adapter.remove()
    stage = "zero_shot" if config.weights is None else "best"
    return record_evaluation(prepared, {"test": {stage: evaluation}}, described)


def train(config: ExperimentConfig) -> Result:
    """Train one config and return its result, whose file is `result.path`.

    A complete result of the same config and data is returned as it is; an interrupted run goes on where it was. While
    another process is at work on the run, this one waits for it.

    Raises:
        PeclError: bad input; nothing has been written.
    """
    return train_fleet([config])[0]


def train_fleet(configs: Sequence[ExperimentConfig], wait: bool = True) -> list[Result]:
    """Train configs that differ in `FLEET_FIELDS` alone side by side, one slot each, and return their results.

    Args:
        configs: runs. Those that are complete are not trained again, unless the fleet was interrupted: then all go on.
        wait: wait while another process is at work on one of them, instead of an error.

    Raises:
        PeclError: bad input, or the configs differ in another field; nothing has been written.
        BusyError: another process is at work on one of them.
    """
    processes = join(configs[0].device)
    processes.check_equal([config.identity() for config in configs])
    configs = in_processes(configs, processes.size)
    processes.in_turn(lambda: check_fleet(configs))
    with use_threads(configs[0].threads):
        done = of_first(processes, lambda: _complete(configs))
        return done or _train_fleet(configs, wait, processes)


def _train_fleet(configs: Sequence[ExperimentConfig], wait: bool, processes: Processes) -> list[Result]:
    first, attach_adapter = configs[0], ENGINES[configs[0].engine]
    adapter_configs = processes.in_turn(lambda: parse_adapter(first.adapter, first.rank))

    def prepare() -> list[Prepared]:
        if first.trim_vocabulary:
            check_trimming(first.engine, adapter_configs)
        towers = towers_of(first, configs)
        members = [prepare_training(config, towers) for config in configs]
        adapter = attach_adapter(towers.text, adapter_configs, seeds=[first.seed])  # what does not fit is said now
        try:
            _check_start(adapter, first)
            own_tokens = own_tokens_of(adapter) if first.trim_vocabulary else []
        finally:
            adapter.remove()
        if first.trim_vocabulary:
            trim_to_texts(members, own_tokens)
        if processes.is_first:
            check_writable(first.out)
        return members

    members = processes.in_turn(prepare)
    with held_by_first(processes, lambda: hold(first.out, [config.run_id() for config in configs], wait)):
        if done := of_first(processes, lambda: _complete(configs)):  # another process has done them meanwhile
            return done
        remaining = [members[i] for i in processes.from_first(lambda: _remaining(members))]
        fleet = processes.in_turn(lambda: _Fleet(remaining))
        seeds = [one.config.seed for one in remaining[: 1 if first.joint else None]]  # one slot for all, or one each
        adapter = attach_adapter(members[0].towers.text, adapter_configs, seeds=seeds)
        try:
            trained = fleet.train(adapter, processes)
        except KeyboardInterrupt:
            if processes.is_first:
                fleet.record_interruption()
            raise
        finally:
            adapter.remove()
        if len(trained) < len(configs):
            return of_first(processes, lambda: [require(find_result(config), "result") for config in configs]) or []
        return trained


def _remaining(members: list[Prepared]) -> list[int]:
    """Return the places of the runs to train: those that are not complete, or all of a fleet that was interrupted."""
    if members[0].config.joint or _state(members)[0].exists():
        return list(range(len(members)))
    return [i for i, one in enumerate(members) if complete_result(one.config, training_hashes) is None]


def _state(members: Sequence[Prepared]) -> tuple[Path, str]:
    """Return where the unfinished training of runs, in this order, is kept on this machine, and its identity."""
    together = members[0].config.processes
    own = [_state_identity(prepared) for prepared in members]
    identity = sha256_json(own if together == 1 else [*own, together])
    run_ids = [prepared.config.run_id() for prepared in members]
    threads = torch.get_num_threads()
    return state_path(members[0].config.out, run_ids, identity, threads), sha256_json([identity, threads])


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


def towers_of(config: ExperimentConfig, runs: Sequence[ExperimentConfig] = ()) -> Towers:
    """Return the towers of a config: those of the run before where they are the same, so that a grid loads them once.

    They are this module's own, and plain between runs.

    Args:
        config: names them.
        runs: with `trim_vocabulary`, those that will trim them: the towers of other runs lack other words.
    """
    trimmed_for = sha256_json([run.to_dict() for run in runs]) if config.trim_vocabulary and runs else ""
    return _load_once(
        trimmed_for,
        load_towers,
        *(config.profile, config.text_model, config.image_model, config.device, config.precision),
    )


@lru_cache(maxsize=1)
def _load_once(trimmed_for: str, load: Callable[..., Towers], *arguments: str | None) -> Towers:
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


def _complete(configs: Sequence[ExperimentConfig]) -> list[Result] | None:
    """Return the results of `configs` if all are complete."""
    done = [result for config in configs if (result := complete_result(config, training_hashes)) is not None]
    if len(done) < len(configs):
        return None
    logger.info("complete already: %s", ", ".join(config.run_id() for config in configs))
    return done


def check_fleet(configs: Sequence[ExperimentConfig]) -> None:
    """Refuse configs that cannot be trained side by side.

    Raises:
        ConfigError: they differ in a field that may not differ, or one was recorded by an earlier version of pecl as
            one of runs that it does not train so any more; the field is named.
    """
    for config in configs:
        if config.beside is not None:
            raise ConfigError(
                f"beside: {config.beside} is a run whose dropout was drawn for a whole batch, with the runs beside it: "
                "leave beside out to train it with dropout of its own"
            )
    joint = configs[0].joint
    may_differ = {"language"} if joint else FLEET_FIELDS
    for item in fields(ExperimentConfig):
        values = {getattr(config, item.name) for config in configs}
        if item.name not in may_differ and len(values) > 1:
            raise ConfigError(f"{item.name}: expected one value within a fleet, got {', '.join(map(str, values))}")
    if joint and sorted(config.language for config in configs) != list(configs[0].joint_languages):
        given = ", ".join(config.language for config in configs)
        raise ConfigError(f"language: expected all languages of the joint training {joint} at once, got {given}")


class _Fleet:
    """Runs that are trained side by side. Everything frozen is computed here, before an adapter is attached."""

    def __init__(self, members: list[Prepared]) -> None:
        self.members = members
        self.slot_of = [0 if prepared.config.joint else i for i, prepared in enumerate(members)]
        self.tower_size = _size(members[0].towers.text)
        self.tokens = [{part: prepared.tokens(part) for part in ("val", "test")} for prepared in members]
        self.evaluators = [{part: prepared.evaluator(part) for part in ("val", "test")} for prepared in members]
        self.zero_shot = [
            {part: evaluator(prepared.zero_shot(part)) for part, evaluator in evaluators.items()}
            for prepared, evaluators in zip(members, self.evaluators, strict=True)
        ]
        self.by_text = members[0].config.choose == "text"
        for prepared in members:
            if prepared.config.chooses_by_text:
                _ = prepared.text_gallery  # it takes a tower without an adapter
        self.training = [_slot_task(prepared) for prepared in members]
        if "closed-form" in members[0].config.solvers:
            for prepared in members:
                _ = prepared.frozen_anchor, prepared.held_out_anchor
        self.run_ids = [prepared.config.run_id() for prepared in members]
        self.trainer: AlignmentTrainer | None = None

    def train(self, adapter: Adapter, processes: Processes) -> list[Result]:
        """Train all runs and return their results, which the first of `processes` measures and writes."""
        first = self.members[0].config
        path, identity = _state(self.members)
        if not path.exists() and (others := threads_of_states(path)):
            logger.warning(
                "run %s was interrupted with --threads %d and has %d now, which changes last digits: it starts anew",
                self.run_ids[0],
                others[0],
                torch.get_num_threads(),
            )
        trainer = self.trainer = AlignmentTrainer(
            adapter.tower,
            adapter,
            self.training,
            _schedule(first),
            lambda: [self._score(adapter, index) for index in range(len(self.members))],
            path,
            identity,
            self.slot_of,
            processes,
        )
        records = self._learn(adapter, trainer)
        return of_first(processes, lambda: self._results(adapter, records)) or []

    def _results(self, adapter: Adapter, records: list[SlotRecord]) -> list[Result]:
        measured = [self._final(adapter, index) for index in range(len(self.members))]  # before any slot is changed
        ends = [adapter.slot_state(slot) for slot in range(len(records))]
        for slot, record in enumerate(records):
            adapter.load_slot_state(slot, record.best)
        results = [self._finish(adapter, i, ends, records[self.slot_of[i]], one) for i, one in enumerate(measured)]
        remove_states(self.members[0].config.out, self.run_ids[0])
        return results

    def _learn(self, adapter: Adapter, trainer: AlignmentTrainer) -> list[SlotRecord]:
        """Start, train and solve as the config says; what a saved state holds is not done again."""
        first = self.members[0].config
        solver = HeadSolver(adapter, self.members, self.slot_of) if "closed-form" in first.solvers else None
        if not trainer.is_saved:
            if first.start is not None:
                _start(adapter, first.start)
            if first.choose == "text":  # what is there before anything is learned is a choice, too
                trainer.measure(0)
            if solver is not None and first.solvers[0] == "closed-form":
                trainer.notes["solved"] = [[encode(found)] for found in solver.solve()]
                trainer.measure(0)
        records = trainer.run()
        if solver is not None and "gradient" in first.solvers and first.solvers[-1] == "closed-form":
            ends = solver.solve()
            starts = trainer.notes.get("solved", [[] for _ in ends])
            trainer.notes["solved"] = [[*start, encode(end)] for start, end in zip(starts, ends, strict=True)]
            trainer.measure(trainer.step + 1)
        return records

    def record_interruption(self) -> None:
        """Write that runs are unfinished; the same command goes on from the last saved state."""
        configs = [prepared.config for prepared in self.members]
        for config in (config for config in configs if not complete_result(config, training_hashes)):
            write_unfinished(config, "interrupted", steps=self.trainer.saved_step if self.trainer else 0)

    def _score(self, adapter: Adapter, index: int) -> float:
        """Return what a run's weights are chosen by: recall on its validation part, or on the text that is held out."""
        member = self.members[index]
        if self.by_text:
            return member.text_recall(_embed(adapter, self.slot_of[index], member.held_out_tokens))
        return self._evaluate(adapter, index, "val").mean_recall_at_1

    def _evaluate(self, adapter: Adapter, index: int, part: str) -> Evaluation:
        return self.evaluators[index][part](_embed(adapter, self.slot_of[index], self.tokens[index][part]))

    def _final(self, adapter: Adapter, index: int) -> dict[str, dict[str, Evaluation]]:
        """Return what the plain tower and the final weights measure for a run: {val, test} x {zero_shot, final}."""
        zero_shot = self.zero_shot[index]
        return {p: {"zero_shot": zero_shot[p], "final": self._evaluate(adapter, index, p)} for p in ("val", "test")}

    def _finish(
        self,
        adapter: Adapter,
        index: int,
        ends: Sequence[Mapping[str, torch.Tensor]],
        record: SlotRecord,
        measured: dict[str, dict[str, Evaluation]],
    ) -> Result:
        """Measure the best weights, which the adapter holds, for a run; write its adapter file and then its result.

        `ends` are the final weights of each slot.
        """
        prepared, trainer = self.members[index], require(self.trainer, "trainer")
        end = ends[self.slot_of[index]]
        is_final = all(torch.equal(value, end[name]) for name, value in record.best.items())
        for part, found in measured.items():
            found["best"] = found["final"] if is_final else self._evaluate(adapter, index, part)
        path = adapter_path(prepared.config.out, run_name(prepared.config, self.run_ids[index]))
        save_adapter(path, adapter.file_state(record.best), adapter.configs, prepared.config.language, adapter.tower)
        fleet = Fleet(len(self.members), self.slot_of[index])
        return record_training(prepared, measured, describe_adapter(adapter, self.tower_size), trainer, record, fleet)


def _state_identity(prepared: Prepared) -> list[Any]:
    """Return what a saved state depends on: config, data, split, images and towers."""
    images, seen = prepared.data.images, None
    if images is not None:
        files = [images.fingerprint(i) for i in range(len(images))]
        seen = [prepared.towers.image.fingerprint, prepared.data.image_index, files]
    return [
        prepared.config.identity(),
        encode(describe_data(prepared)),
        prepared.parts,
        prepared.towers.text.fingerprint,
        seen,
    ]


def _slot_task(prepared: Prepared) -> SlotTask:
    config, text = prepared.config, prepared.towers.text
    bank = None
    if prepared.route.anchor is not None and set(config.alignments) & set(WITH_BANK):
        bank = to_device(prepared.frozen_anchor[:BANK_SIZE], text.device)
    objective = AlignmentObjective(
        config.alignments, config.alignment_weight, config.image_weight, weights=config.alignment_weights, bank=bank
    )
    anchor: TokenIds | torch.Tensor | Embeddings | None = None
    if prepared.route.anchor is not None and config.alignment_weight:  # nothing is learned from one of weight 0
        student = config.anchor == "student"
        texts = getattr(prepared.train, prepared.route.anchor)
        anchor = tokens_of(text, texts) if student else prepared.frozen_anchor
    return SlotTask(prepared.train_tokens, anchor, prepared.train_images, objective, config.lr, config.seed)


def _schedule(config: ExperimentConfig) -> Schedule:
    return Schedule(
        config.epochs if "gradient" in config.solvers else 0,
        config.batch_size,
        config.eval_every,
        config.dropout,
        config.warmup,
        config.ema,
        config.patience,
        last=config.choose == "last",
    )


def _check_start(adapter: Adapter, config: ExperimentConfig) -> None:
    """Refuse a closed form or a start that the adapter cannot have.

    Raises:
        ConfigError: it has no head, or the file to start from is of another configuration.
        WeightsError: that file cannot be used on this tower.
    """
    if "closed-form" in config.solvers:
        HeadSolver(adapter, (), ())
    if config.start is not None:
        _start(adapter, config.start)


def _start(adapter: Adapter, path: str) -> None:
    """Give every slot the parameters of an adapter file.

    Raises:
        ConfigError: the file is of another configuration.
        WeightsError: it cannot be used on this tower.
    """
    file = start_file(path, adapter.configs, adapter.tower)
    for slot in range(adapter.num_slots):
        adapter.load_slot_state(slot, file.state)


def start_file(
    path: str, configs: Sequence[AdapterConfig], tower: MultilingualTextEncoder | None = None
) -> AdapterFile:
    """Return the adapter file that a training starts from.

    Raises:
        ConfigError: it is of another configuration than `configs`.
        WeightsError: it cannot be read, or used on the tower, where one is given.
    """
    file = load_adapter_file(path, tower)
    if file.configs != tuple(configs):
        raise ConfigError(
            f'start: expected an adapter "{describe(configs)}", got {path} with "{describe(file.configs)}"'
        )
    return file


def _size(tower: nn.Module) -> int:
    """Return the number of parameters of a plain tower, those that trimming left out among them."""
    return sum(parameter.numel() for parameter in tower.parameters()) + left_out(tower)


def _embed(adapter: Adapter, slot: int, token_ids: TokenIds) -> torch.Tensor:
    """Return the embeddings (N, D) of texts by one slot."""
    return adapter.tower.encode_token_ids(token_ids, slots=torch.full((len(token_ids),), slot))
