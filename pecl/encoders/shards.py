"""A shard: one file of embeddings with the hashes of their keys, each compared with its checksum when it is read.

A file of rows (`pecl.files.rows`) with `rows` (N,) int64, the row of each key; `embeddings` (N, D) float32 in the order
they were made; and `keys` (N, 32) uint8, the SHA-256 of each key in ascending order. The metadata names the tower. The
index, keys and rows, is held in memory (40 bytes per embedding). The embeddings stay on disk.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pecl.files.rows import DamagedRowsError, open_rows, write_rows

_HASH_BYTES = 32
_TENSORS = ("rows", "embeddings", "keys")


def hash_keys(keys: Sequence[str]) -> np.ndarray:
    """Return the SHA-256 of each of N keys, (N,) of 32 bytes each."""
    return np.array([hashlib.sha256(key.encode("utf-8")).digest() for key in keys], dtype=f"S{_HASH_BYTES}")


def write_shard(path: Path, tower: str, hashes: np.ndarray, embeddings: np.ndarray) -> None:
    """Write the embeddings (N, D) float32 of N distinct key hashes to `path`, atomically."""
    rows = np.argsort(hashes).astype(np.int64)
    keys = np.frombuffer(hashes[rows].tobytes(), np.uint8).reshape(-1, _HASH_BYTES)
    write_rows(path, _TENSORS, [{"rows": rows, "embeddings": embeddings, "keys": keys}], {"tower": tower})


class Shard:
    """The index of one file, which must hold embeddings of `tower`; a damaged one raises a `DamagedRowsError`."""

    def __init__(self, path: Path, tower: str) -> None:
        self.path = path
        tensors, metadata = open_rows(path, check=False)
        self._digest = metadata["digest"]
        lengths = {len(rows) for rows in tensors.values()}
        if metadata.get("tower") != tower:
            raise DamagedRowsError(path, "it belongs to another tower")
        if tensors.keys() != set(_TENSORS) or len(lengths) != 1:
            raise DamagedRowsError(path, "it is not a shard")
        self.width: int = tensors["embeddings"].shape[1]
        self._rows = tensors["rows"].load()
        self._hashes = tensors["keys"].load().reshape(-1).view(f"S{_HASH_BYTES}")

    def find(self, hashes: np.ndarray) -> np.ndarray:
        """Return the row of each of N key hashes, (N,) int64; -1 for those that are not here."""
        places = np.searchsorted(self._hashes, hashes).clip(max=len(self._hashes) - 1)
        return np.where(self._hashes[places] == hashes, self._rows[places], -1)

    def read(self, rows: np.ndarray) -> np.ndarray:
        """Return the embeddings (N, D) float32 of N rows, in that order.

        The file is opened for each call, since a store may have more shards than a process may have open files.
        """
        tensors, metadata = open_rows(self.path, check=False)
        if metadata["digest"] != self._digest:
            raise DamagedRowsError(self.path, "it has changed since it was opened")
        return tensors["embeddings"].take(rows)

    def all(self) -> tuple[np.ndarray, np.ndarray]:
        """Return all key hashes (N,) and their embeddings (N, D)."""
        return self._hashes, self.read(self._rows)
