"""Train the members of a fleet: their runs, their trainer, its phases, and the validation scores."""

import logging
import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import nn

from pecl.adapters.adapter import Adapter
from pecl.config import LEXICON, WITH_BANK, ExperimentConfig
from pecl.config.recipes import MEMORY, Recipe, own_recipe
from pecl.encoders.batches import TokenIds
from pecl.encoders.embeddings import Embeddings
from pecl.encoders.large import tokens_of
from pecl.encoders.memory import to_device
from pecl.errors import NotFiniteError, not_none
from pecl.experiment.closed_form import SOLVERS_OF_HEADS
from pecl.experiment.fleet import Member, members_of, seeds_of, state_of
from pecl.experiment.fleet_measuring import embed_queries, evaluate_part
from pecl.experiment.initial_weights import start_slots, translate_slots
from pecl.experiment.inputs import Inputs
from pecl.experiment.towers import tower_arguments
from pecl.results.folder import threads_of_states
from pecl.training.callbacks import Callback
from pecl.training.distributed import ProcessGroup
from pecl.training.losses import BANK, CAPTIONS, IMAGES, Objective, RouteLoss
from pecl.training.optimizer import SlotAdam
from pecl.training.recipes import make_loss
from pecl.training.schedule import Schedule
from pecl.training.slot_run import Photographs, Rows, SlotRun
from pecl.training.trainer import Trainer

logger = logging.getLogger(__name__)

BANK_SIZE = 8192  # frozen anchors of the first training pairs, for `match`


def make_trainer(
    adapter: Adapter,
    members: Sequence[Member],
    processes: ProcessGroup,
    callbacks: Sequence[Callback] = (),
) -> Trainer:
    """Return the trainer of an adapter's slots, as `config.start` initialises it. `Trainer.run` resumes a saved one."""
    config = members[0].config
    if config.start == LEXICON:
        translate_slots(adapter, members)
    elif config.start is not None:
        start_slots(adapter, config.start)

    path = state_of([member.inputs for member in members])
    if not path.exists():
        other_threads = threads_of_states(path)
        if other_threads:
            message = "run %s restarts: it was interrupted with %d threads and has %d now, which changes last digits"
            logger.warning(message, config.run_id(), other_threads[0], torch.get_num_threads())

    return Trainer(
        adapter,
        [make_run(member) for member in members],
        make_schedule(config),
        partial(validate, adapter, members),
        optimizer=SlotAdam(adapter.parameters(), list(adapter.learning_rate_scales().values())),
        state_path=path,
        processes=processes,
        callbacks=callbacks,
    )


def make_schedule(config: ExperimentConfig) -> Schedule:
    """Return the schedule of a run."""
    return Schedule(
        config.epochs if "gradient" in config.solvers else 0,
        config.batch_size,
        config.eval_every,
        dropout=config.dropout,
        warmup=config.warmup,
        ema=config.ema,
        patience=config.patience,
        last=config.choose == "last",
    )


def make_run(member: Member) -> SlotRun:
    """Return the training pairs and the loss of a run."""
    inputs = member.inputs
    frozen = member.frozen
    config = member.config
    tower = inputs.towers.text

    recipe = own_recipe(config.recipe)
    anchor: TokenIds | torch.Tensor | Embeddings | None = None
    memory: dict[str, torch.Tensor] = {}
    if inputs.anchor_column is not None and recipe is None:
        if config.anchor == "student":
            texts = getattr(inputs.train, inputs.anchor_column)
            anchor = tokens_of(tower, texts, inputs.language_of(inputs.anchor_column))
        else:
            anchor = frozen.anchors
        if set(config.losses) & set(WITH_BANK):
            memory[BANK] = to_device(not_none(frozen.anchors, "anchors")[:BANK_SIZE], tower.device)

    images = frozen.train_images
    photographs = None
    mixed = 0
    if inputs.training_text is not None:
        mixed = inputs.training_text.mixed
        if images is not None:  # the text has no images, but the data set has
            column = inputs.route.query
            captions = getattr(inputs.data.select(inputs.parts["train"]), column)
            photographs = Photographs(
                {CAPTIONS: tokens_of(tower, captions, inputs.language_of(column))}, {IMAGES: images}
            )
            images = None

    if recipe is None:
        pairs = Rows.of_route(inputs.train_tokens, anchor, images)
        loss: nn.Module = RouteLoss(
            Objective(config.losses, config.alignment_weight, config.image_weight, weights=config.loss_weights)
        )
    else:
        pairs = _rows_of(inputs, recipe, {**frozen.teacher, **({} if images is None else {IMAGES: images})})
        loss = make_loss(recipe, config, tower.embedding_dim)
        if frozen.memory is not None:
            memory[MEMORY] = to_device(frozen.memory, tower.device)
        if IMAGES not in recipe.teacher:
            photographs = None

    return SlotRun(
        pairs=pairs,
        loss=loss,
        lr=config.lr,
        seed=config.seed,
        slot=member.slot,
        photographs=photographs,
        mixed=mixed,
        memory=memory,
        config=config,
    )


def _rows_of(inputs: Inputs, recipe: Recipe, embeddings: Mapping[str, torch.Tensor | Embeddings]) -> Rows:
    """Return the columns of the training pairs that a recipe with a loss of its own reads."""
    tower = inputs.towers.text
    texts = {name: tokens_of(tower, getattr(inputs.train, name), inputs.language_of(name)) for name in recipe.student}
    return Rows(texts, {name: rows for name, rows in embeddings.items() if name in recipe.teacher})


def train_phases(trainer: Trainer, members: Sequence[Member]) -> None:
    """Train and solve in the order of `config.solvers`; a saved state resumes in the gradient phase."""
    config = members[0].config
    phases = config.solvers
    solvers = {name: solver(trainer.adapter, members) for name, solver in SOLVERS_OF_HEADS.items() if name in phases}

    if trainer.is_saved:
        phases = phases[phases.index("gradient") :]
    elif config.choose == "text":  # the initial weights are a candidate, too
        trainer.measure(0)

    for phase in phases:
        if phase == "gradient":
            trainer.run()
        else:
            solvers[phase].solve(trainer.records)
            # after the gradient, the solution counts as one more step: its score is not that of the last one
            trainer.measure(trainer.step + 1 if trainer.step else 0)


def validate(adapter: Adapter, members: Sequence[Member], slots: Sequence[int]) -> list[float]:
    """Return the validation score of each slot, the mean of its runs; NaN for diverged weights."""
    scores = []
    for slot in slots:
        scores_of_runs = [_score(adapter, member) for member in members_of(members, slot)]
        scores.append(sum(scores_of_runs) / len(scores_of_runs))
    return scores


def _score(adapter: Adapter, member: Member) -> float:
    """Return a run's recall on its validation part or its held-out text."""
    try:
        if member.config.choose == "text":
            embeddings = embed_queries(adapter, member.slot, member.inputs.held_out_tokens)
            return member.frozen.text_recall(embeddings)
        return evaluate_part(adapter, member, "val").mean_recall_at_1
    except NotFiniteError:
        return math.nan


def worker_setup(trainer: Trainer, members: Sequence[Member]) -> dict[str, Any]:
    """Return the arguments of `set_up_workers`, for the worker ranks."""
    config = members[0].config
    adapter = trainer.adapter
    return {
        "towers": tower_arguments(config),
        "engine": config.engine,
        "adapter": (config.adapter, config.rank, config.adapter_layers),
        "seeds": seeds_of(members),
        "texts": [list(texts) for texts in _trained_often(trainer, config)] if adapter.first_layer else [],
    }


def encoded_often(trainer: Trainer, members: Sequence[Member]) -> list[TokenIds]:
    """Return the texts that training and measuring encode repeatedly, the most frequent first."""
    config = members[0].config
    val = [member.frozen.checks["val"].token_ids for member in members]
    other_tokens = [
        check.token_ids for member in members for part, check in member.frozen.checks.items() if part != "val"
    ]
    held_out = [member.inputs.held_out_tokens for member in members if member.config.chooses_by_text]

    first = [] if config.choose == "text" else val
    return [*first, *held_out, *_trained_often(trainer, config), *val, *other_tokens]


def _trained_often(trainer: Trainer, config: ExperimentConfig) -> list[TokenIds]:
    """Return the texts that training encodes repeatedly without dropout, the most frequent first."""
    epochs = config.epochs if "gradient" in config.solvers and not config.dropout else 0
    runs = trainer.runs
    captions = [texts for run in runs if run.photographs and epochs for texts in run.photographs.texts.values()]
    if not epochs and "closed-form" not in config.solvers:
        return captions
    return captions + [texts for run in runs for texts in run.pairs.texts.values()]
