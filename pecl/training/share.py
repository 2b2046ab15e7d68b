"""`Share`: one batch as plain lists. Each process embeds a part of its rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from pecl.encoders.text import MultilingualTextEncoder


@dataclass(frozen=True)
class Share:
    """One batch for a tower, as plain lists that JSON can hold.

    Attributes:
        rows: token ids of the R rows.
        slots: the slot of each row.
        seeds: dropout seed of each row.
        seed: seed of modules that do not draw by row.
        dropout: whether dropout is on.
    """

    rows: list[list[int]]
    slots: list[int]
    seeds: list[int]
    seed: int
    dropout: bool


def embed_share(tower: MultilingualTextEncoder, share: Share, own: Sequence[int]) -> torch.Tensor:
    """Return the embeddings (b, D) of the rows `own` of a batch, with gradients."""
    if not own:
        return torch.zeros(0, tower.embedding_dim, device=tower.device)
    batch = tower.pad(share.rows, own)
    if tower.training != share.dropout:  # setting the mode of all modules is slow
        tower.train(share.dropout)
    seeds = np.asarray(share.seeds, np.uint64)[batch.indices.numpy()]
    devices = [tower.device] if tower.device.type == "cuda" else []
    with tower.draws.drawn(seeds), torch.random.fork_rng(devices=devices):
        torch.manual_seed(share.seed)
        embeddings = tower(batch.input_ids, batch.attention_mask, torch.tensor(share.slots)[batch.indices])
    if share.dropout:
        tower.eval()
    return embeddings
