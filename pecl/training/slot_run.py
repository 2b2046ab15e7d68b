"""`SlotRun`: one run of a trainer: its data, loss, rate, seed, slot, config and record."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch

from pecl.config import ExperimentConfig
from pecl.encoders.batches import TokenIds
from pecl.encoders.embeddings import Embeddings
from pecl.files import sha256_bytes
from pecl.training.losses import ANCHOR, IMAGES, QUERY, Views
from pecl.training.state import SlotRecord


def derived_seed(seed: int, purpose: str, number: int) -> int:
    """Return a seed for one purpose and one step or epoch, independent of all the others."""
    return int(sha256_bytes(f"{seed}/{purpose}/{number}".encode())[:15], 16)


def random_order(n: int, seed: int, purpose: str, epoch: int) -> torch.Tensor:
    """Return the order (n,) of an epoch's pairs."""
    generator = torch.Generator().manual_seed(derived_seed(seed, purpose, epoch))
    return torch.randperm(n, generator=generator, dtype=torch.int32)


@dataclass(frozen=True)
class Rows:
    """n rows in columns, in memory or in files (`TokenStore`, `Embeddings`); equal indices belong together."""

    texts: Mapping[str, TokenIds]  # token ids of columns that the tower with its adapter embeds, with gradients
    embeddings: Mapping[str, torch.Tensor | Embeddings] = field(default_factory=dict)  # (n, D), of the frozen towers

    def __len__(self) -> int:
        return len(next(iter(self.texts.values())))

    @classmethod
    def of_route(
        cls,
        query: TokenIds,
        anchor: TokenIds | torch.Tensor | Embeddings | None = None,
        images: torch.Tensor | Embeddings | None = None,
    ) -> "Rows":
        """Return the columns of a route; embeddings of the anchors in place of texts are those of a frozen anchor."""
        texts = {QUERY: query}
        embeddings: dict[str, torch.Tensor | Embeddings] = {}
        if isinstance(anchor, torch.Tensor | Embeddings):
            embeddings[ANCHOR] = anchor
        elif anchor is not None:
            texts[ANCHOR] = anchor
        if images is not None:
            embeddings[IMAGES] = images
        return cls(texts, embeddings)


class Photographs(Rows):
    """Captioned images that are trained on next to text without images: each step takes a batch of both."""

    def batch(self, step: int, size: int, seed: int) -> list[int]:
        """Return the indices of at most `size` rows for `step`: an epoch has all whole batches of a new order."""
        size = min(size, len(self))
        epoch, number = divmod(step, len(self) // size)
        order = random_order(len(self), seed, "photographs", epoch)
        return order[number * size : (number + 1) * size].tolist()


@dataclass
class SlotRun:
    """One run in a slot of an adapter. A slot has one run, or one per language of a joint training."""

    pairs: Rows  # n training pairs
    loss: Callable[[Views], torch.Tensor]
    lr: float  # peak learning rate, after warm-up
    # of the order of the pairs and of dropout; dropout in a slot uses the seed of its first run
    seed: int
    slot: int = 0
    photographs: Photographs | None = None
    mixed: int = 0  # how many of the last pairs are mixed captions
    # (M, D) frozen embeddings, on the tower's device, that the loss gets whole in every step
    memory: Mapping[str, torch.Tensor] = field(default_factory=dict)
    config: ExperimentConfig | None = None  # for the callbacks
    record: SlotRecord = field(default_factory=SlotRecord)  # the runs of a slot share one

    @property
    def vocabulary_texts(self) -> list[TokenIds]:
        """Texts that an adapter chooses tokens from: those of the pairs without mixed captions, and captions."""
        texts: list[TokenIds] = list(self.pairs.texts.values())
        if self.mixed:
            texts = [column[: len(self.pairs) - self.mixed] for column in texts]
        return texts if self.photographs is None else [*texts, *self.photographs.texts.values()]


@dataclass(frozen=True)
class RunBatch:
    """The rows of one run in a step."""

    run: SlotRun
    pairs: Sequence[int]  # indices of its pairs
    photographs: Sequence[int]  # indices of its photographs; empty without any

    @property
    def columns(self) -> list[tuple[str, TokenIds, Sequence[int]]]:
        """Name, texts and indices of each column that the student embeds."""
        columns = [(name, texts, self.pairs) for name, texts in self.run.pairs.texts.items()]
        if self.run.photographs is not None:
            columns += [(name, texts, self.photographs) for name, texts in self.run.photographs.texts.items()]
        return columns


@dataclass(frozen=True)
class Batch:
    """The rows of one step, of the runs that learn: one row per text, run by run and column by column."""

    runs: list[RunBatch]

    @property
    def token_ids(self) -> list[list[int]]:
        """Token ids of the R rows."""
        return [texts[i] for part in self.runs for _, texts, indices in part.columns for i in indices]

    @property
    def slots(self) -> list[int]:
        """The slot of each of the R rows."""
        return [part.run.slot for part in self.runs for _, _, indices in part.columns for _ in indices]

    def split(self, embeddings: torch.Tensor) -> list[dict[str, torch.Tensor]]:
        """Return the rows (b, D) of `embeddings` (R, D) by run and column."""
        names = [(number, name) for number, part in enumerate(self.runs) for name, _, _ in part.columns]
        sizes = [len(indices) for part in self.runs for _, _, indices in part.columns]
        parts: list[dict[str, torch.Tensor]] = [{} for _ in self.runs]
        for (number, name), rows in zip(names, embeddings.split(sizes), strict=True):
            parts[number][name] = rows
        return parts
