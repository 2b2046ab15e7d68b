"""A training of tiny towers on a few pairs, without files."""

import os
import signal

import torch

import pecl.training.trainer
from helpers.tiny import sentences, tiny_tower
from pecl.adapters.adapter import attach
from pecl.adapters.kinds.layer_norm import LayerNormConfig
from pecl.adapters.kinds.lora import LoraConfig
from pecl.adapters.kinds.word_embeddings import WordEmbeddingsConfig
from pecl.files import write_json, write_tensors
from pecl.training.losses import Objective
from pecl.training.trainer import Schedule, SlotTask, Trainer

PAIRS = 12
CONFIGS = (LoraConfig(r=2), WordEmbeddingsConfig(tokens=9, rank=2), LayerNormConfig())


def task(tower, seed=1, lr=1e-2, anchor="student"):
    queries, anchors = sentences(PAIRS, seed=10 + seed), sentences(PAIRS, seed=20 + seed)
    images = torch.randn(PAIRS, tower.embedding_dim, generator=torch.Generator().manual_seed(seed))
    ids = tower.tokenize(anchors)
    frozen = torch.randn(PAIRS, tower.embedding_dim, generator=torch.Generator().manual_seed(99))
    return SlotTask(
        tower.tokenize(queries),
        ids if anchor == "student" else frozen if anchor == "frozen" else None,
        images,
        Objective(("mse",), 0.5),
        lr,
        seed,
    )


def trainer(tower, tasks, schedule=None, configs=CONFIGS, seeds=None, **options):
    adapter = attach(tower, configs, seeds=seeds or [one.seed for one in tasks])
    schedule = schedule or Schedule(epochs=3, batch_size=5, eval_every=2, dropout=False)
    return Trainer(tower, adapter, tasks, schedule, lambda slots: [0.5] * len(slots), **options)


def train_and_die(folder, dies_in, place):
    """Train two slots with a saved state, write them, and kill this process in step `dies_in`."""
    torch.set_num_threads(1)
    pecl.training.trainer.SAVE_EVERY_SECONDS = 0.0
    tower = tiny_tower()
    tasks = [task(tower, seed=1), task(tower, seed=2, lr=3e-3)]
    run = trainer(tower, tasks, Schedule(8, 5, 3, True), state_path=folder / "state")
    first = run.adapter.parameters()[0]
    run.validate = lambda slots: first.detach().abs().flatten(1).mean(dim=1).tolist()
    plain_step, plain_replace = run.train_step, os.replace

    def die():
        if run.step == dies_in:
            os.kill(os.getpid(), signal.SIGKILL)

    if place == "after the step":
        run.train_step = lambda: (plain_step(), die())[0]
    else:
        os.replace = lambda *paths: (die(), plain_replace(*paths))[1]
    records = run.run()
    tensors = {f"{s}.{n}": v for s in range(2) for n, v in run.adapter.slot_state(s).items()}
    tensors |= {f"best.{s}.{n}": v for s, r in enumerate(records) for n, v in r.best.items()}
    write_tensors(folder / "out", tensors, {})
    write_json(folder / "out.json", [[r.losses, r.scores, r.best_step] for r in records])
