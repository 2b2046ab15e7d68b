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
from pecl.encoders.embeddings import Embeddings
from pecl.encoders.large import tokens_of
from pecl.encoders.memory import to_device
from pecl.encoders.vocabulary import kept_tokens, left_out
from pecl.errors import ConfigError, DivergedError, NotFiniteError, not_none
from pecl.experiment.prepared import Prepared
from pecl.experiment.record import describe_adapter, describe_data, record_training
from pecl.experiment.start import start_slots, translate_slots
from pecl.experiment.tested_pairs import pairs_of_training
from pecl.files import sha256_json
from pecl.files.typed_json import encode
from pecl.results.folder import complete_result, remove_states, state_path, threads_of_states
from pecl.results.result import OTHER_TEXT, Result, adapter_path, read_result, run_name, write_unfinished
from pecl.retrieval.evaluator import Evaluation
from pecl.training.distributed import ProcessGroup
from pecl.training.losses import Objective
from pecl.training.optimizer import Schedule
from pecl.training.state import SlotRecord
from pecl.training.task import ImageTask, SlotTask
from pecl.training.trainer import Trainer

logger = logging.getLogger(__name__)

BANK_SIZE = 8192  # frozen anchors of the first training pairs, for `match`


def check_fleet(configs: Sequence[ExperimentConfig]) -> None:
    """Raise ConfigError with the first field in which the configs differ, though it must be equal within a fleet."""
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
        self.seeds = [members[self.slot_of.index(slot)].config.seed for slot in sorted(set(self.slot_of))]
        self.tower_size = size_of(members[0].towers.text)
        self.checks = [prepared.checks() for prepared in members]
        for prepared in members:
            if prepared.config.chooses_by_text:
                _ = prepared.text_gallery  # needs the tower without adapter
        self.tasks = [_slot_task(prepared) for prepared in members]

    def trainer(self, adapter: Adapter, processes: ProcessGroup) -> Trainer:
        """Return the trainer of an adapter's slots: initialised by `config.start`, or resumed from a saved state."""
        config = self.members[0].config
        if config.start == LEXICON:
            translate_slots(adapter, self.members, self.slot_of)
        elif config.start is not None:
            start_slots(adapter, config.start)
        path = _state(self.members)
        if not path.exists() and (others := threads_of_states(path)):
            said = "run %s was interrupted with --threads %d and has %d now, which changes last digits: it restarts"
            logger.warning(said, config.run_id(), others[0], torch.get_num_threads())
        epochs = config.epochs if "gradient" in config.solvers else 0
        alike = ("batch_size", "eval_every", "dropout", "warmup", "ema", "patience")  # in a config and its schedule
        values = {name: getattr(config, name) for name in alike}
        schedule = Schedule(epochs, **values, last=config.choose == "last")
        validate = partial(self._validate, adapter)
        runs = [member.config for member in self.members]
        return Trainer(adapter.tower, adapter, self.tasks, schedule, validate, path, self.slot_of, processes, runs=runs)

    def setup(self, adapter: Adapter) -> dict[str, Any]:
        """Return the arguments of `set_up_workers`, for the worker ranks."""
        config = self.members[0].config
        return {
            "towers": tower_arguments(config),
            "vocabulary": kept_tokens(adapter.tower),
            "engine": config.engine,
            "adapter": (config.adapter, config.rank, config.adapter_layers),
            "seeds": self.seeds,
            "texts": [list(texts) for texts in self.trained_often()] if adapter.first_layer else [],
        }

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
        val, test = ([checks[part].token_ids for checks in self.checks] for part in ("val", "test"))
        by_text = self.members[0].config.choose == "text"
        return [*(() if by_text else val), *held_out, *self.trained_often(), *val, *test]

    def record(self, adapter: Adapter, trainer: Trainer) -> list[Result]:
        """Measure each run, write its adapter file and then its result, and return the results.

        The plain tower, the final and the best weights are measured. Afterwards the slots hold their best weights.
        """
        results = list[Result]()
        measured = self._measure(adapter, trainer.records)
        for slot, prepared, found in zip(self.slot_of, self.members, measured, strict=True):
            record, config = trainer.records[slot], prepared.config
            if not found:
                said = "".join(traceback.format_exception_only(DivergedError(record.diverged))).strip()
                stopped = not_none(record.stopped, "stopped")
                results.append(read_result(write_unfinished(config, "failed", error=said, steps=stopped)))
                continue
            path = adapter_path(config.out, run_name(config, config.run_id()))
            state, pairs = adapter.file_state(record.best), pairs_of_training(prepared)
            save_adapter(path, state, adapter.configs, config.language, adapter.tower, pairs)
            adapter.write_own_format(path.with_suffix(""))
            described = describe_adapter(adapter, self.tower_size, path)
            results.append(record_training(prepared, found, described, trainer, slot, len(self.members)))
        config = self.members[0].config
        remove_states(config.out, config.run_id())
        return results

    def _measure(self, adapter: Adapter, records: Sequence[SlotRecord]) -> list[dict[str, dict[str, Evaluation]]]:
        """Return each run's measurements by part and stage; {} if it diverged. `other_text` has no stage `final`."""
        ended = [i for i, slot in enumerate(self.slot_of) if not records[slot].diverged]
        finals = {  # before any slot is changed
            (i, part): self._evaluate(adapter, i, part) for i in ended for part in self.checks[i] if part != OTHER_TEXT
        }
        ends = [adapter.slot_state(slot) for slot in range(len(records))]
        for slot in {self.slot_of[i] for i in ended}:
            adapter.load_slot_state(slot, records[slot].best)
        measured: list[dict[str, dict[str, Evaluation]]] = [{} for _ in self.members]
        for i in ended:
            slot = self.slot_of[i]
            is_final = all(torch.equal(value, ends[slot][name]) for name, value in records[slot].best.items())
            for part, check in self.checks[i].items():
                final = finals.get((i, part))
                best = final if is_final and final is not None else self._evaluate(adapter, i, part)
                stages = {"zero_shot": check.plain, "final": final, "best": best}
                measured[i][part] = {stage: found for stage, found in stages.items() if found is not None}
        return measured

    def record_interruption(self, step: int) -> None:
        """Record the runs as interrupted at `step`, that of the last saved state; the same command resumes there."""
        for member in self.members:
            if not _is_complete(member):
                write_unfinished(member.config, "interrupted", steps=step)

    def _validate(self, adapter: Adapter, slots: Sequence[int]) -> list[float]:
        """Return the validation score of each slot, the mean of its runs; NaN for diverged weights."""
        scores = ([self._score(adapter, i) for i, own in enumerate(self.slot_of) if own == slot] for slot in slots)
        return [sum(own) / len(own) for own in scores]

    def _score(self, adapter: Adapter, index: int) -> float:
        """Return a run's recall on its validation part or its held-out text."""
        member = self.members[index]
        try:
            if member.config.choose == "text":
                return member.text_recall(embed_queries(adapter, self.slot_of[index], member.held_out_tokens))
            return self._evaluate(adapter, index, "val").mean_recall_at_1
        except NotFiniteError:
            return math.nan

    def _evaluate(self, adapter: Adapter, index: int, part: str) -> Evaluation:
        check = self.checks[index][part]
        return check.evaluator(embed_queries(adapter, self.slot_of[index], check.token_ids))


def tower_arguments(config: ExperimentConfig) -> tuple[Any, ...]:
    """Return the arguments of `load_towers` that a config names."""
    return config.profile, config.text_model, config.image_model, config.device, config.precision


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
        language = prepared.language_of(prepared.anchor)
        anchor = tokens_of(text, texts, language) if student else prepared.frozen_anchor
    images, image_task = prepared.train_images, None
    if prepared.translations is not None and images is not None:  # the text has no images, but the data set has
        captions = getattr(prepared.data.select(prepared.parts["train"]), prepared.route.query)
        tokens = tokens_of(text, captions, prepared.language_of(prepared.route.query))
        images, image_task = None, ImageTask(tokens, images)
    mixed = 0 if prepared.translations is None else prepared.translations.mixed
    return SlotTask(prepared.train_tokens, anchor, images, objective, config.lr, config.seed, image_task, mixed)


def size_of(tower: nn.Module) -> int:
    """Return the number of parameters of a plain tower, including those that trimming removed."""
    return sum(parameter.numel() for parameter in tower.parameters()) + left_out(tower)


def embed_queries(adapter: Adapter, slot: int, token_ids: TokenIds) -> torch.Tensor:
    """Return the embeddings (N, D) of texts with one slot of an adapter."""
    return adapter.tower.encode_token_ids(token_ids, slots=torch.full((len(token_ids),), slot))


def remaining_of(members: list[Prepared]) -> list[Prepared]:
    """Return the runs to train: incomplete runs, or all runs of an interrupted fleet."""
    if members[0].config.joint or _state(members).exists():
        return members
    return [one for one in members if not _is_complete(one)]


def _is_complete(prepared: Prepared) -> bool:
    """Say whether a run has a complete result on its present data."""
    return complete_result(prepared.config, lambda _: prepared.hashes) is not None


def _state(members: Sequence[Prepared]) -> Path:
    """Return the path of the saved state of runs, in this order, on this machine.

    Its name has a hash of config, data, split, images and towers.
    """
    identities: list[Any] = []
    for one in members:
        towers, seen = one.towers, None
        if one.data.images is not None:
            seen = [towers.image.fingerprint, one.data.image_index, one.image_fingerprints]
        data = encode(describe_data(one))
        identities.append([one.config.identity(), data, one.parts, towers.text.fingerprint, seen])
    config = members[0].config
    identity = sha256_json(identities if config.processes == 1 else [*identities, config.processes])
    return state_path(config.out, [one.config.run_id() for one in members], identity, torch.get_num_threads())
