"""Texts, and batches of them as token ids: padded to their longest, of about one length where there is a choice.

`BatchedTexts` are texts that are encoded again and again, such as those of a validation.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, overload

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence

from pecl.encoders.embeddings import TokenStore
from pecl.errors import DataError

TokenIds = Sequence[list[int]]  # a list, or a `TokenStore` of more texts than memory holds
MAX_PADDING = 0.1  # share of a batch's positions: `batches` keeps below it, and a pass with more is packed


class Batch(NamedTuple):
    """Token ids padded to the longest of the batch, on the CPU: the tower copies them to its device."""

    indices: torch.Tensor  # (B,) int64: places of the rows in the list that was batched
    input_ids: torch.Tensor  # (B, L) int64
    attention_mask: torch.Tensor  # (B, L) int64, 1 for tokens and 0 for padding


def lengths_of(token_ids: TokenIds) -> np.ndarray:
    """Return the number of tokens of each text, (N,) int64."""
    if isinstance(token_ids, TokenStore):
        return token_ids.lengths()
    return np.fromiter(map(len, token_ids), np.int64, len(token_ids))


def as_texts(texts: str | Iterable[str]) -> list[str]:
    """Return one text, or any number of them, as a list; a DataError shows a value that is neither."""
    if isinstance(texts, str):
        return [texts]
    if not isinstance(texts, Iterable) or isinstance(texts, Mapping | bytes):
        raise DataError(f"texts: expected a text or a list of texts, got {texts!r} ({type(texts).__name__})")
    listed = list(texts)
    for i, text in enumerate(listed):
        if not isinstance(text, str):
            raise DataError(f"texts: expected a text at position {i}, got {text!r} ({type(text).__name__})")
    return listed


def pad(token_ids: TokenIds, indices: Sequence[int] | torch.Tensor, padding: int) -> Batch:
    """Return the texts at `indices` as one batch, filled with the token id `padding`."""
    rows = [torch.tensor(token_ids[int(i)], dtype=torch.int64) for i in indices]
    input_ids = pad_sequence(rows, batch_first=True, padding_value=padding)  # (B, L)
    attention_mask = pad_sequence([torch.ones_like(row) for row in rows], batch_first=True)  # (B, L)
    return Batch(torch.as_tensor(indices), input_ids, attention_mask)


def batches(token_ids: TokenIds, batch_size: int, padding: int, max_padding: float = MAX_PADDING) -> Iterator[Batch]:
    """Yield batches of at most `batch_size` texts, longest first, each with at most `max_padding` of padding."""
    lengths = lengths_of(token_ids)
    batch: list[int] = []
    tokens = 0
    for i in map(int, np.argsort(-lengths, kind="stable")):  # equal lengths keep their order
        length = int(lengths[i])
        positions = int(lengths[batch[0] if batch else i]) * (len(batch) + 1)
        if len(batch) == batch_size or tokens + length < (1 - max_padding) * positions:
            yield pad(token_ids, batch, padding)
            batch, tokens = [], 0
        batch.append(i)
        tokens += length
    if batch:
        yield pad(token_ids, batch, padding)


class BatchedTexts(Sequence[list[int]]):
    """Token ids (list[int]) of N texts, which must not change: batches are made once, at their first use, and kept."""

    def __init__(self, token_ids: TokenIds) -> None:
        self._token_ids = token_ids
        self._batches: dict[tuple[int, int, float], list[Batch]] = {}

    def __len__(self) -> int:
        return len(self._token_ids)

    @overload
    def __getitem__(self, index: int) -> list[int]: ...

    @overload
    def __getitem__(self, index: slice) -> TokenIds: ...

    def __getitem__(self, index: int | slice) -> list[int] | TokenIds:
        return self._token_ids[index]

    def batches(self, batch_size: int, padding: int, max_padding: float) -> list[Batch]:
        """Return the batches that the function `batches` yields of these texts."""
        key = batch_size, padding, max_padding
        if key not in self._batches:
            self._batches[key] = list(batches(self._token_ids, *key))
        return self._batches[key]
