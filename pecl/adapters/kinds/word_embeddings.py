"""Low-rank changes of the word embeddings of a language's own tokens, per slot: e(w) + U t(w).

A tower that saw little of a language in pre-training embeds few of its words well, and changed layers
cannot teach it single words. A few hundred captions use one to three thousand of 250,000 tokens. Only
those tokens have a vector t, the most frequent first. This is PEFT's LoRA of an embedding
(`lora_embedding_A`, `lora_embedding_B`) with all other rows at zero. The vectors start at zero, so a
fresh layer is the identity, unless a lexicon initialises them (`translate`).
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from pecl.adapters.kind import WEIGHT_OF_LAYER, AdapterConfig, Placement
from pecl.adapters.slots import SlotModule, SlotRows, innermost, normal
from pecl.encoders.text import MultilingualTextEncoder
from pecl.errors import ConfigError
from pecl.language.lexicon import Lexicon
from pecl.options import option

_NONE = 2**31 - 1  # stands for no token; larger than every token id
_STRIDE = 2**32  # between the ids of two slots
_WAY = 0.75  # share of the way from a token's own word embedding to its translation's


@dataclass(frozen=True)
class WordEmbeddingsConfig(AdapterConfig):
    """Low-rank changes of the word embeddings of some tokens."""

    kind: ClassVar[str] = "word_embeddings"
    level: ClassVar[int] = WEIGHT_OF_LAYER
    tokens: int = option(2048, "number N of tokens with a vector, the most frequent of the training text", low=1)
    rank: int = option(32, "width r of a vector, at most the word embeddings' own", low=1)
    lr_scale: float = option(1.0, "the learning rate is the run's times this", low=0)

    def placements(self, tower: MultilingualTextEncoder) -> list[Placement]:
        """Return the change of the word embeddings."""
        return self.at_roles(tower, ("word_embeddings",), lambda base, rows: SlotWordEmbeddings(base, rows, self))


class SlotWordEmbeddings(SlotModule):
    """Word embeddings with S changes: vectors (S, N, r) of the token ids `tokens` (S, N), and up (S, d, r).

    Raises:
        ConfigError: the rank is larger than the word embeddings' width.
    """

    counts_tokens = True
    tokens: torch.Tensor  # int32, rising; _NONE where a slot has chosen fewer

    def __init__(self, base: nn.Module, rows: SlotRows, config: WordEmbeddingsConfig) -> None:
        super().__init__(base, rows)
        words = innermost(base).weight  # (V, d)
        if config.rank > words.shape[1]:
            raise ConfigError(f"word_embeddings: rank: expected 1 to {words.shape[1]}, got {config.rank}")
        self.vectors = self.slot_parameter(config.tokens, config.rank, like=words)
        self.up = self.slot_parameter(words.shape[1], config.rank, like=words)
        none = torch.full(self.vectors.shape[:2], _NONE, dtype=torch.int32, device=words.device)
        self.register_buffer("tokens", none)

    def reset_slot(self, slot: int, generator: torch.Generator) -> None:
        """Choose no token, fill the vectors with zeros, and draw `up` from N(0, 1/r)."""
        shape = self.up.shape[1:]
        self.tokens[slot] = _NONE
        self.vectors.data[slot] = 0
        self.up.data[slot] = normal(shape, shape[1] ** -0.5, generator)

    def choose(self, slot: int, counts: Mapping[int, int]) -> None:
        """Choose the most frequent tokens; the slot's earlier tokens fill the room left, and keep their vectors."""
        rows = {token: row for row, token in enumerate(self.tokens[slot].tolist()) if token != _NONE}
        by_frequency = sorted(counts, key=lambda token: (-counts[token], token))
        tokens = sorted([*by_frequency, *(token for token in rows if token not in counts)][: self.tokens.shape[1]])

        vectors = torch.zeros_like(self.vectors.data[slot])
        for new_row, token in enumerate(tokens):
            if token in rows:
                vectors[new_row] = self.vectors.data[slot, rows[token]]

        self.vectors.data[slot] = vectors
        self.tokens[slot] = _NONE
        self.tokens[slot, : len(tokens)] = torch.tensor(tokens, dtype=torch.int32, device=self.tokens.device)

    def translate(self, slot: int, counts: Mapping[int, int], lexicon: Lexicon) -> None:
        """Choose the most frequent tokens of a lexicon, and move each towards the mean of its translations.

        The moves are reduced to rank r, with more weight on frequent tokens.
        """
        self.choose(slot, {int(token): counts[token] for token in np.unique(lexicon.target).tolist()})
        tokens = self.tokens[slot][self.tokens[slot] != _NONE]  # (n,)

        # the pairs (P,) of the lexicon whose token was chosen
        is_chosen = np.isin(lexicon.target, tokens.cpu().numpy())
        target, english, weight = (
            torch.from_numpy(column[is_chosen]).to(tokens.device)
            for column in (lexicon.target, lexicon.english, lexicon.weight.astype(np.float32))
        )

        # the weighted mean of the translations of each token
        words = innermost(self.base)
        row = torch.searchsorted(tokens, target.to(tokens.dtype))  # (P,)
        total = torch.zeros(len(tokens), device=tokens.device).index_add(0, row, weight)  # (n,)
        share = (weight / total[row]).unsqueeze(1)  # (P, 1)
        start = words(tokens).float()  # (n, d)
        means = torch.zeros_like(start).index_add(0, row, share * words(english).float())  # (n, d)

        frequencies = torch.tensor([counts[token] for token in tokens.tolist()], device=tokens.device)
        emphasis = frequencies.sqrt().unsqueeze(1)  # (n, 1)
        left, values, right = torch.linalg.svd(_WAY * emphasis * (means - start), full_matrices=False)

        rank = min(self.up.shape[2], len(values))
        size = (right.shape[1] / self.up.shape[2]) ** 0.5  # `up` is as large as `reset_slot` draws it
        self.up.data[slot, :, :rank] = (right[:rank].T * size).to(self.up)
        vectors = left[:, :rank] * values[:rank] / emphasis / size  # (n, rank)
        self.vectors.data[slot, : len(tokens), :rank] = vectors.to(self.vectors)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Map ids (B, L) to (B, L, d)."""
        slots = self.rows.slots_of_tokens  # (B, 1), or (1, T)
        if slots is None:
            vectors = _vectors_of(ids, self.rows.one(self.tokens), self.rows.one(self.vectors))
        else:
            first = torch.arange(self.rows.num_slots, device=ids.device).unsqueeze(1) * _STRIDE  # (S, 1)
            tokens = (self.tokens + first).flatten()
            vectors = _vectors_of(ids + slots * _STRIDE, tokens, self.vectors.flatten(0, 1))
        return self.base(ids) + self.rows.linear(vectors, self.up)

    def merged(self, slot: int) -> nn.Module:
        """Return an embedding with the changed vectors, computed in float32 or wider."""
        plain = self.plain_base(slot)
        wide = torch.promote_types(plain.weight.dtype, torch.float32)
        with torch.no_grad():
            ids = torch.arange(plain.num_embeddings, device=plain.weight.device)
            vectors = _vectors_of(ids, self.tokens[slot], self.vectors[slot])
            changed = plain.weight.to(wide) + vectors.to(wide) @ self.up[slot].to(wide).T  # (V, d)
        return copy.deepcopy(plain, {id(plain.weight): nn.Parameter(changed.to(plain.weight.dtype), False)})


def _vectors_of(ids: torch.Tensor, tokens: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
    """Return the vectors (..., r) of `ids` (...), given those (N, r) of the rising `tokens` (N,); zeros for others."""
    tokens = tokens.to(ids.dtype)  # `searchsorted` takes one type
    exporting = torch.compiler.is_exporting()  # ONNX has no binary search
    rows = (tokens < ids.unsqueeze(-1)).sum(-1) if exporting else torch.searchsorted(tokens, ids)
    rows = rows.clamp(max=len(tokens) - 1)
    has_vector = tokens[rows] == ids
    return F.embedding(rows, vectors) * has_vector.unsqueeze(-1)
