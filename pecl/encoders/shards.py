"""A shard: one file of embeddings with the hashes of what they embed, checked whenever it is read.

safetensors with `keys` (N, 32) uint8, the SHA-256 of each key in ascending order; `rows` (N,) int64, the row of each
key; and `embeddings` (N, D) float32 in the order they were made. The metadata names the tower and holds the SHA-256 of
the index (keys and rows) and of each block of `BLOCK` rows. The index is held in memory, 40 bytes an embedding; the
embeddings stay on disk and are read block by block, each block checked before any of its rows is used.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open

from pecl.files import open_regular, parse_json, sha256_bytes, write_tensors

BLOCK = 1024  # rows that are read, and checked, together
_HASH_BYTES = 32


class DamagedShardError(Exception):
    """A shard is proven wrong: cut short, changed since it was written, or of another tower."""


def hash_keys(keys: Sequence[str]) -> np.ndarray:
    """Return the SHA-256 of each of N keys, (N,) of 32 bytes each."""
    return np.array([hashlib.sha256(key.encode("utf-8")).digest() for key in keys], dtype=f"S{_HASH_BYTES}")


def write_shard(path: Path, tower: str, hashes: np.ndarray, embeddings: np.ndarray) -> Path:
    """Write the embeddings (N, D) float32 of N distinct key hashes to `path`, atomically.

    Raises:
        OutputError: the folder cannot be written.
    """
    rows = np.argsort(hashes).astype(np.int64)
    keys = np.frombuffer(hashes[rows].tobytes(), np.uint8).reshape(-1, _HASH_BYTES)
    blocks = [sha256_bytes(embeddings[start : start + BLOCK].tobytes()) for start in range(0, len(embeddings), BLOCK)]
    tensors = {"keys": keys, "rows": rows, "embeddings": embeddings}
    metadata = {"tower": tower, "index": _index_digest(keys, rows), "blocks": json.dumps(blocks)}
    return write_tensors(path, {name: torch.from_numpy(array.copy()) for name, array in tensors.items()}, metadata)


class Shard:
    """The index of one file.

    Args:
        path: where it lies.
        tower: identity of the tower that its embeddings must be of.

    Raises:
        DamagedShardError: the file is proven wrong.
        OSError: it cannot be opened, which says nothing of its content.
    """

    def __init__(self, path: Path, tower: str) -> None:
        self.path = path
        with open_regular(path) as file:  # an OSError here is not damage, as safetensors' own errors would have it
            header = file.read(8)
        try:
            with safe_open(path, "numpy") as shard:
                metadata = shard.metadata() or {}
                if "blocks" not in metadata:
                    raise DamagedShardError("it holds no digests: an older version wrote it")
                keys, rows = shard.get_tensor("keys"), shard.get_tensor("rows")
                self.shape = tuple(shard.get_slice("embeddings").get_shape())
            digests = parse_json(metadata["blocks"])
            if not isinstance(digests, list):
                raise DamagedShardError("its digests are not a list")
            self._check(metadata, tower, keys, rows, digests)
            self._start = self._embeddings_start(header)
            self._hashes = keys.reshape(-1).view(f"S{_HASH_BYTES}")
        except (SafetensorError, KeyError, ValueError, TypeError) as error:
            raise DamagedShardError(str(error)) from error
        self._rows = rows
        self._digests: list[str] = digests

    def _check(
        self, metadata: dict[str, str], tower: str, keys: np.ndarray, rows: np.ndarray, digests: list[str]
    ) -> None:
        if metadata["tower"] != tower:
            raise DamagedShardError("it belongs to another tower")
        if metadata["index"] != _index_digest(keys, rows):
            raise DamagedShardError("its index has changed since it was written")
        if not len(keys) == len(rows) == self.shape[0] or len(digests) != -(-len(rows) // BLOCK):
            raise DamagedShardError("its parts are of different length")

    def _embeddings_start(self, header: bytes) -> int:
        length = int.from_bytes(header, "little")
        with open_regular(self.path) as file:
            file.seek(8)
            return 8 + length + parse_json(file.read(length))["embeddings"]["data_offsets"][0]

    def find(self, hashes: np.ndarray) -> np.ndarray:
        """Return the row of each of N key hashes, (N,) int64; -1 for those that are not here."""
        places = np.searchsorted(self._hashes, hashes).clip(max=len(self._hashes) - 1)
        return np.where(self._hashes[places] == hashes, self._rows[places], -1)

    def read(self, rows: np.ndarray) -> np.ndarray:
        """Return the embeddings (N, D) float32 of N rows, in that order.

        Raises:
            DamagedShardError: a block that holds one of them has changed since it was written.
            OSError: the file cannot be read.
        """
        found = np.empty((len(rows), self.shape[1]), np.float32)
        row_bytes = 4 * self.shape[1]
        with open_regular(self.path) as file:
            for block in np.unique(rows // BLOCK):
                first = int(block) * BLOCK
                file.seek(self._start + first * row_bytes)
                content = file.read(min(BLOCK, self.shape[0] - first) * row_bytes)
                if sha256_bytes(content) != self._digests[block]:
                    raise DamagedShardError(f"rows from {first} on have changed since they were written")
                wanted = rows // BLOCK == block
                found[wanted] = np.frombuffer(content, np.float32).reshape(-1, self.shape[1])[rows[wanted] - first]
        return found

    def all(self) -> tuple[np.ndarray, np.ndarray]:
        """Return all key hashes (N,) and their embeddings (N, D)."""
        return self._hashes, self.read(self._rows)


def _index_digest(keys: np.ndarray, rows: np.ndarray) -> str:
    return sha256_bytes(keys.tobytes() + rows.tobytes())
