"""Lists of texts, and batches of their token ids: texts of similar length, padded to the longest of the batch."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import NamedTuple

import numpy as np
import torch

from pecl.encoders.embeddings import TokenStore
from pecl.errors import ConfigError, DataError, is_text

TokenIds = Sequence[list[int]]  # a list, or a `TokenStore` of more texts than memory holds
# share of a batch's positions: `batches` stays below it, and a pass with more padding is packed
MAX_PADDING = 0.1


class Batch(NamedTuple):
    """Token ids padded to the longest of the batch, on the CPU: the tower copies them to its device."""

    indices: torch.Tensor  # (B,) int64: index of each row in the list that was batched
    input_ids: torch.Tensor  # (B, L) int64
    attention_mask: torch.Tensor  # (B, L) int64, 1 for tokens and 0 for padding


def lengths_of(token_ids: TokenIds) -> np.ndarray:
    """Return the number of tokens of each text, (N,) int64."""
    if isinstance(token_ids, TokenStore):
        return token_ids.lengths()
    return np.fromiter(map(len, token_ids), np.int64, len(token_ids))


def as_texts(texts: str | Iterable[str]) -> list[str]:
    """Return one text or several as a list. Raise DataError for any other value."""
    if isinstance(texts, str):
        texts = [texts]
    if not isinstance(texts, Iterable) or isinstance(texts, Mapping | bytes):
        raise DataError(f"expected a text or a list of texts, got {texts!r} ({type(texts).__name__})", field="texts")

    text_list = list(texts)
    for i, text in enumerate(text_list):
        if not isinstance(text, str):
            raise DataError(f"expected a text at position {i}, got {text!r} ({type(text).__name__})", field="texts")
        if not is_text(text):
            raise DataError(f"expected a text at position {i}, got {text!r}, which UTF-8 cannot encode", field="texts")

    return text_list


def pad(token_ids: TokenIds, indices: Sequence[int] | torch.Tensor, padding: int) -> Batch:
    """Return the texts at `indices` as one batch, filled with the token id `padding`."""
    rows = [token_ids[int(i)] for i in indices]
    lengths = lengths_of(rows)
    mask = np.arange(lengths.max()) < lengths[:, None]  # (B, L)
    input_ids = np.full(mask.shape, padding, np.int64)
    input_ids[mask] = np.fromiter(chain.from_iterable(rows), np.int64, lengths.sum())
    return Batch(torch.as_tensor(indices), torch.from_numpy(input_ids), torch.from_numpy(mask.astype(np.int64)))


def batches(
    token_ids: TokenIds,
    batch_size: int,
    padding: int,
    max_padding: float = MAX_PADDING,
) -> Iterator[Batch]:
    """Yield batches of at most `batch_size` texts, longest first; at most `max_padding` of each is padding."""
    if batch_size < 1:
        raise ConfigError(f"expected at least 1, got {batch_size}", field="batch_size")

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
