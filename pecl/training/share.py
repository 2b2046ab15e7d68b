"""`Share`: the rows of one step, of which each process embeds a part."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from pecl.encoders.text import MultilingualTextEncoder


@dataclass(frozen=True)
class Share:
    """One batch for a tower, as plain lists that JSON can hold."""

    rows: list[list[int]]  # token ids
    slots: list[int]  # of each row
    seeds: list[int]  # dropout seed of each row
    seed: int  # torch's seed, for modules that do not draw per row
    dropout: bool


def embed_share(
    tower: MultilingualTextEncoder,
    share: Share,
    indices: Sequence[int],
) -> torch.Tensor:
    """Return the embeddings (b, D) of the rows `indices` of a batch, with gradients."""
    if not indices:
        return torch.zeros(0, tower.embedding_dim, device=tower.device)

    batch = tower.pad(share.rows, indices)
    if tower.training != share.dropout:  # setting the mode of all modules is slow
        tower.train(share.dropout)

    seeds = np.asarray(share.seeds, np.uint64)[batch.indices.numpy()]
    devices = [tower.device] if tower.device.type == "cuda" else []
    with tower.dropout_seeds.use(seeds), torch.random.fork_rng(devices=devices):
        torch.manual_seed(share.seed)
        embeddings = tower(batch.input_ids, batch.attention_mask, torch.tensor(share.slots)[batch.indices])

    if share.dropout:
        tower.eval()
    return embeddings
