"""`SlotTask`: the pairs and objective of one slot. `Share`: one batch, of which each process embeds a part."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from pecl.encoders.batches import TokenIds
from pecl.encoders.embeddings import Embeddings
from pecl.encoders.text import MultilingualTextEncoder
from pecl.files import sha256_bytes
from pecl.training.losses import Objective


def derived_seed(seed: int, purpose: str, number: int) -> int:
    """Return a seed for one purpose and one step or epoch, independent of all the others."""
    return int(sha256_bytes(f"{seed}/{purpose}/{number}".encode())[:15], 16)


def random_order(n: int, seed: int, purpose: str, epoch: int) -> torch.Tensor:
    """Return the order (n,) of an epoch's pairs."""
    generator = torch.Generator().manual_seed(derived_seed(seed, purpose, epoch))
    return torch.randperm(n, generator=generator, dtype=torch.int32)


@dataclass(frozen=True)
class ImageTask:
    """Captioned images that are trained on next to text without images: each step takes a batch of both."""

    captions: TokenIds  # of m captions
    images: torch.Tensor | Embeddings  # (m, D)

    def batch(self, step: int, size: int, seed: int) -> list[int]:
        """Return the indices of at most `size` pairs for `step`: an epoch has all whole batches of a new order."""
        size = min(size, len(self.captions))
        epoch, number = divmod(step, len(self.captions) // size)
        order = random_order(len(self.captions), seed, "photographs", epoch)
        return order[number * size : (number + 1) * size].tolist()


@dataclass(frozen=True)
class SlotTask:
    """The n training pairs of one language in a slot, in memory or in files (`TokenStore`, `Embeddings`).

    A slot has one task, or one per language of a joint training.
    """

    query: TokenIds  # token ids of the n queries
    # Token ids of a student anchor, through which gradients flow, or embeddings (n, D) of a frozen
    # one
    anchor: TokenIds | torch.Tensor | Embeddings | None
    images: torch.Tensor | Embeddings | None  # (n, D); None in training on text
    objective: Objective
    lr: float  # peak learning rate, after warm-up
    # of the order of the pairs and of dropout; dropout in a slot uses the seed of its first task
    seed: int
    image_task: ImageTask | None = None  # captioned images for the image-text loss
    mixed: int = 0  # how many of the last pairs are mixed captions

    def __len__(self) -> int:
        return len(self.query)

    @property
    def anchor_texts(self) -> TokenIds | None:
        """Token ids of a student anchor; None for a frozen anchor, or none."""
        if self.anchor is None or isinstance(self.anchor, torch.Tensor | Embeddings):
            return None
        return self.anchor

    @property
    def frozen_anchor(self) -> torch.Tensor | Embeddings | None:
        """Embeddings (n, D) of a frozen anchor; None for a student anchor, or none."""
        return self.anchor if isinstance(self.anchor, torch.Tensor | Embeddings) else None

    @property
    def texts(self) -> list[TokenIds]:
        """The text columns that a step encodes: queries, and anchors that are texts."""
        return [self.query] if self.anchor_texts is None else [self.query, self.anchor_texts]

    @property
    def vocabulary_texts(self) -> list[TokenIds]:
        """Texts that an adapter chooses tokens from: `texts` without mixed captions, and captions of `image_task`."""
        texts = self.texts
        if self.mixed:
            texts = [column[: len(self) - self.mixed] for column in texts]
        return texts if self.image_task is None else [*texts, self.image_task.captions]


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
