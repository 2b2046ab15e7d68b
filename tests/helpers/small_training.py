"""A training of tiny towers on a few pairs, without files."""

import torch

from helpers.tiny import sentences
from pecl.adapters.adapter import attach
from pecl.adapters.kinds.layer_norm import LayerNormConfig
from pecl.adapters.kinds.lora import LoraConfig
from pecl.adapters.kinds.word_embeddings import WordEmbeddingsConfig
from pecl.training.losses import Objective
from pecl.training.schedule import Schedule
from pecl.training.task import SlotTask
from pecl.training.trainer import Trainer

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
