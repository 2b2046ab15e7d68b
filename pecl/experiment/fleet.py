"""`Fleet`: runs that are trained together, with their tasks, saved state, measurements and results."""

import logging
import math
import traceback
from collections.abc import Sequence
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pecl.adapters.adapter import Adapter
from pecl.adapters.formats.files import save_adapter
from pecl.config import FLEET_FIELDS, LEXICON, WITH_BANK, ExperimentConfig
from pecl.encoders.batches import TokenIds
from pecl.encoders.devices import to_device
from pecl.encoders.embeddings import Embeddings
from pecl.encoders.large import tokens_of
from pecl.encoders.vocabulary import kept_tokens, left_out
from pecl.errors import ConfigError, DivergedError, NotFiniteError, not_none
from pecl.experiment.prepared import Prepared
from pecl.experiment.record import describe_adapter, describe_data, record_training
from pecl.experiment.start import start_slots, translate_slots
from pecl.files import sha256_json
from pecl.files.typed_json import encode
from pecl.results import parts
from pecl.results.folder import complete_result, remove_states, state_path, threads_of_states
from pecl.results.result import OTHER_TEXT, Result, adapter_path, read_result, run_name, write_unfinished
from pecl.retrieval.evaluator import Evaluation
from pecl.training.distributed import ProcessGroup
from pecl.training.losses import Objective
from pecl.training.schedule import Schedule, SlotRecord
from pecl.training.task import ImageTask, SlotTask
from pecl.training.trainer import Trainer
from pecl.training.worker_rank import WorkerSetup

logger = logging.getLogger(__name__)

BANK_SIZE = 8192  # frozen anchors of the first training pairs, for `match`


def check_fleet(configs: Sequence[ExperimentConfig]) -> None:
    """Refuse configs that differ in a field that may not differ within a fleet, by a ConfigError that names it."""
    joint = configs[0].joint
    may_differ = {"language"} if joint else FLEET_FIELDS
    for item in fields(ExperimentConfig):
        values = {getattr(config, item.name) for config in configs}
        if item.name not in may_differ and len(values) > 1:
            raise ConfigError(f"{item.name}: expected one value within a fleet, got {', '.join(map(str, values))}")
    if joint and sorted(config.language for config in configs) != list(configs[0].joint_languages):
        given = ", ".join(config.language for config in configs)
        raise ConfigError(f"language: expected all languages of the joint training {joint} at once, got {given}")


class Fleet:
    """Runs that are trained together. Frozen embeddings are computed here, before an adapter is attached."""

    def __init__(self, members: list[Prepared]) -> None:
        self.members = members
        self.slot_of = [0 if prepared.config.joint else i for i, prepared in enumerate(members)]
        self.tower_size = size_of(members[0].towers.text)
        self.tokens = [{part: prepared.tokens(part) for part in ("val", "test")} for prepared in members]
        self.evaluators = [{part: prepared.evaluator(part) for part in ("val", "test")} for prepared in members]
        self.zero_shot = [
            {part: evaluator(prepared.zero_shot(part)) for part, evaluator in evaluators.items()}
            for prepared, evaluators in zip(members, self.evaluators, strict=True)
        ]
        self.other = [prepared.other_evaluator() if prepared.other_text is not None else None for prepared in members]
        self.by_text = members[0].config.choose == "text"
        for prepared in members:
            if prepared.config.chooses_by_text:
                _ = prepared.text_gallery  # needs the tower without adapter
        self.tasks = [_slot_task(prepared) for prepared in members]
        self.run_ids = [prepared.config.run_id() for prepared in members]

    @property
    def seeds(self) -> list[int]:
        """One per slot."""
        return [self.members[self.slot_of.index(slot)].config.seed for slot in sorted(set(self.slot_of))]

    def trainer(self, adapter: Adapter, processes: ProcessGroup) -> Trainer:
        """Return the trainer of an adapter's slots, which begins with `config.start` or resumes from a saved state."""
        config = self.members[0].config
        if config.start == LEXICON:
            translate_slots(adapter, self.members, self.slot_of)
        elif config.start is not None:
            start_slots(adapter, config.start)
        path = _state(self.members)
        if not path.exists() and (others := threads_of_states(path)):
            logger.warning(
                "run %s was interrupted with --threads %d and has %d now, which changes last digits: it restarts",
                self.run_ids[0],
                others[0],
                torch.get_num_threads(),
            )
        schedule = Schedule(
            config.epochs if "gradient" in config.solvers else 0,
            config.batch_size,
            config.eval_every,
            config.dropout,
            config.warmup,
            config.ema,
            config.patience,
            last=config.choose == "last",
        )
        validate = partial(self._validate, adapter)
        return Trainer(adapter.tower, adapter, self.tasks, schedule, validate, path, self.slot_of, processes)

    def setup(self, adapter: Adapter) -> WorkerSetup:
        """Return what the worker ranks load before the first batch."""
        config = self.members[0].config
        return WorkerSetup(
            tower_arguments(config),
            kept_tokens(adapter.tower),
            config.engine,
            (config.adapter, config.rank, config.adapter_layers),
            self.seeds,
            [list(texts) for texts in self.trained_often()] if adapter.first_layer else [],
        )

    def trained_often(self) -> list[TokenIds]:
        """Return the texts that training encodes repeatedly without dropout, the most frequent first."""
        config = self.members[0].config
        epochs = config.epochs if "gradient" in config.solvers and not config.dropout else 0
        captions = [task.image_task.captions for task in self.tasks if task.image_task is not None and epochs]
        if epochs + config.solvers.count("closed-form") < 2:
            return captions
        return captions + [column for task in self.tasks for column in task.texts]

    def encoded_often(self) -> list[TokenIds]:
        """Return the texts that training and measuring encode repeatedly, the most frequent first."""
        held_out = [prepared.held_out_tokens for prepared in self.members if prepared.config.chooses_by_text]
        val, test = ([tokens[part] for tokens in self.tokens] for part in ("val", "test"))
        return [*(() if self.by_text else val), *held_out, *self.trained_often(), *val, *test]

    def measure(self, adapter: Adapter, records: Sequence[SlotRecord]) -> list[dict[str, dict[str, Evaluation]]]:
        """Evaluate plain tower, final and best weights of each run: {val, test} x stage; {} for a diverged run.

        Runs on training text are also measured on `other_text`, plain and with the best weights. Afterwards the slots
        hold their best weights.
        """
        ended = [i for i, slot in enumerate(self.slot_of) if not records[slot].diverged]
        measured = [
            {p: {"zero_shot": self.zero_shot[i][p], "final": self._evaluate(adapter, i, p)} for p in ("val", "test")}
            if i in ended
            else {}
            for i in range(len(self.members))
        ]  # before any slot is changed
        ends = [adapter.slot_state(slot) for slot in range(len(records))]
        for slot in {self.slot_of[i] for i in ended}:
            adapter.load_slot_state(slot, records[slot].best)
        for i in ended:
            slot = self.slot_of[i]
            is_final = all(torch.equal(value, ends[slot][name]) for name, value in records[slot].best.items())
            for part, found in measured[i].items():
                found["best"] = found["final"] if is_final else self._evaluate(adapter, i, part)
            if (other := self.other[i]) is not None:
                evaluator, plain = other
                best = evaluator(embed_queries(adapter, slot, self.members[i].other_tokens))
                measured[i][OTHER_TEXT] = {"zero_shot": plain, "best": best}
        return measured

    def record(
        self, adapter: Adapter, trainer: Trainer, measured: Sequence[dict[str, dict[str, Evaluation]]]
    ) -> list[Result]:
        """Write the adapter file and then the result of each run, and return the results."""
        results = []
        for i, (prepared, found) in enumerate(zip(self.members, measured, strict=True)):
            slot, record = self.slot_of[i], trainer.records[self.slot_of[i]]
            if not found:
                results.append(_failed(prepared.config, record))
                continue
            path = adapter_path(prepared.config.out, run_name(prepared.config, self.run_ids[i]))
            state = adapter.file_state(record.best)
            save_adapter(path, state, adapter.configs, prepared.config.language, adapter.tower)
            fleet = parts.FleetRecord(len(self.members), slot)
            described = describe_adapter(adapter, self.tower_size, path)
            results.append(record_training(prepared, found, described, trainer, record, fleet))
        remove_states(self.members[0].config.out, self.run_ids[0])
        return results

    def record_interruption(self, step: int) -> None:
        """Record unfinished runs; the same command resumes from the last saved state, of `step`."""
        for member in self.members:
            if not _is_complete(member):
                write_unfinished(member.config, "interrupted", steps=step)

    def _validate(self, adapter: Adapter, slots: Sequence[int]) -> list[float]:
        """Return the validation score of each slot, the mean of its runs; NaN for diverged weights."""
        scores = []
        for slot in slots:
            found = [self._score(adapter, i) for i, own in enumerate(self.slot_of) if own == slot]
            scores.append(sum(found) / len(found))
        return scores

    def _score(self, adapter: Adapter, index: int) -> float:
        """Return a run's recall on its validation part or its held-out text."""
        member = self.members[index]
        try:
            if self.by_text:
                return member.text_recall(embed_queries(adapter, self.slot_of[index], member.held_out_tokens))
            return self._evaluate(adapter, index, "val").mean_recall_at_1
        except NotFiniteError:
            return math.nan

    def _evaluate(self, adapter: Adapter, index: int, part: str) -> Evaluation:
        return self.evaluators[index][part](embed_queries(adapter, self.slot_of[index], self.tokens[index][part]))


def tower_arguments(config: ExperimentConfig) -> tuple[Any, ...]:
    """Return the arguments of `load_towers` that a config names."""
    return config.profile, config.text_model, config.image_model, config.device, config.precision


def _failed(config: ExperimentConfig, record: SlotRecord) -> Result:
    said = "".join(traceback.format_exception_only(DivergedError(record.diverged))).strip()
    return read_result(write_unfinished(config, "failed", error=said, steps=not_none(record.stopped, "stopped")))


def _state_identity(prepared: Prepared) -> list[Any]:
    """Return the identity of a saved state: config, data, split, images and towers."""
    towers, seen = prepared.towers, None
    if prepared.data.images is not None:
        seen = [towers.image.fingerprint, prepared.data.image_index, prepared.image_fingerprints]
    data = encode(describe_data(prepared))
    return [prepared.config.identity(), data, prepared.parts, towers.text.fingerprint, seen]


def _slot_task(prepared: Prepared) -> SlotTask:
    config, text = prepared.config, prepared.towers.text
    bank = None
    if prepared.anchor is not None and set(config.losses) & set(WITH_BANK):
        bank = to_device(prepared.frozen_anchor[:BANK_SIZE], text.device)
    objective = Objective(
        config.losses, config.alignment_weight, config.image_weight, weights=config.loss_weights, bank=bank
    )
    anchor: TokenIds | torch.Tensor | Embeddings | None = None
    if prepared.anchor is not None:
        student = config.anchor == "student"
        texts = getattr(prepared.train, prepared.anchor)
        with prepared.speaking(prepared.anchor):
            anchor = tokens_of(text, texts) if student else prepared.frozen_anchor
    images, image_task = prepared.train_images, None
    if prepared.translations is not None and images is not None:  # the text has no images, but the data set has
        captions = getattr(prepared.data.select(prepared.parts["train"]), prepared.route.query)
        with prepared.speaking(prepared.route.query):
            images, image_task = None, ImageTask(tokens_of(text, captions), images)
    mixed = 0 if prepared.translations is None else prepared.translations.mixed
    return SlotTask(prepared.train_tokens, anchor, images, objective, config.lr, config.seed, image_task, mixed)


def size_of(tower: nn.Module) -> int:
    """Return the number of parameters of a plain tower, including those that trimming removed."""
    return sum(parameter.numel() for parameter in tower.parameters()) + left_out(tower)


def embed_queries(adapter: Adapter, slot: int, token_ids: TokenIds) -> torch.Tensor:
    """Return the embeddings (N, D) of texts by one slot."""
    return adapter.tower.encode_token_ids(token_ids, slots=torch.full((len(token_ids),), slot))


def remaining_of(members: list[Prepared]) -> list[int]:
    """Return the indices of the runs to train: incomplete runs, or all runs of an interrupted fleet."""
    if members[0].config.joint or _state(members).exists():
        return list(range(len(members)))
    return [i for i, one in enumerate(members) if not _is_complete(one)]


def _is_complete(prepared: Prepared) -> bool:
    """Say whether a run has a complete result on its present data."""
    return complete_result(prepared.config, lambda _: prepared.hashes) is not None


def _state(members: Sequence[Prepared]) -> Path:
    """Return the path of the saved state of runs, in this order, on this machine."""
    together = members[0].config.processes
    own = [_state_identity(prepared) for prepared in members]
    identity = sha256_json(own if together == 1 else [*own, together])
    run_ids = [prepared.config.run_id() for prepared in members]
    return state_path(members[0].config.out, run_ids, identity, torch.get_num_threads())
