"""A training of tiny towers on a few pairs, without files."""

import torch

from helpers.tiny import sentences
from pecl.adapters.adapter import attach
from pecl.adapters.kinds.layer_norm import LayerNormConfig
from pecl.adapters.kinds.lora import LoraConfig
from pecl.adapters.kinds.word_embeddings import WordEmbeddingsConfig
from pecl.training.losses import Objective, RouteLoss
from pecl.training.schedule import Schedule
from pecl.training.slot_run import Rows, SlotRun
from pecl.training.trainer import Trainer

PAIRS = 12
CONFIGS = (LoraConfig(r=2), WordEmbeddingsConfig(tokens=9, rank=2), LayerNormConfig())


def slot_run(tower, seed=1, lr=1e-2, anchor="student", slot=0, **more):
    queries, anchors = sentences(PAIRS, seed=10 + seed), sentences(PAIRS, seed=20 + seed)
    images = torch.randn(PAIRS, tower.embedding_dim, generator=torch.Generator().manual_seed(seed))
    ids = tower.tokenize(anchors)
    frozen = torch.randn(PAIRS, tower.embedding_dim, generator=torch.Generator().manual_seed(99))
    anchors_given = ids if anchor == "student" else frozen if anchor == "frozen" else None
    pairs = Rows.of_route(tower.tokenize(queries), anchors_given, images)
    return SlotRun(pairs, RouteLoss(Objective(("mse",), 0.5)), lr, seed, slot, **more)


def trainer(tower, runs, schedule=None, configs=CONFIGS, joint=False, **options):
    """A trainer of runs, each in a slot of its own, or all in one."""
    for number, run in enumerate(runs):
        run.slot = 0 if joint else number
    adapter = attach(tower, configs, seeds=[run.seed for run in (runs[:1] if joint else runs)])
    schedule = schedule or Schedule(epochs=3, batch_size=5, eval_every=2, dropout=False)
    return Trainer(adapter, runs, schedule, lambda slots: [0.5] * len(slots), **options)
