"""The exact store: one matrix of embeddings, memory-mapped, compared with a query as a whole.

Right up to some hundred thousand photographs: a query reads every embedding once, N x D x 4 bytes.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from pecl.errors import ConfigError
from pecl.files import check_regular, sha256_file, write_bytes
from pecl.search.catalogue import Entry, Head, damaged, read_entries
from pecl.search.engines import Match, Renewal, in_blocks

_SCORES = 1 << 24  # similarities that are in memory at a time


def matrix_file(folder: Path, generation: str) -> Path:
    """Return the path of the matrix of a generation."""
    return folder / f"embeddings-{generation}.npy"


class ExactStore:
    """The embeddings of an index, on disk.

    Args:
        entries: N photographs.
        matrix: (N, D) float32, each row of length 1.
    """

    def __init__(self, entries: Sequence[Entry], matrix: np.ndarray) -> None:
        self.entries = entries
        self.matrix = matrix

    @cached_property
    def _by_id(self) -> dict[str, int]:
        return {entry.id: row for row, entry in enumerate(self.entries)}

    def names(self) -> Sequence[str]:
        """See `Engine`."""
        return [entry.name for entry in self.entries]

    def embeddings(self) -> np.ndarray:
        """See `Engine`; read-only, from the disk as it is used."""
        return self.matrix

    def find(self, identity: str) -> tuple[str, str] | None:
        """See `Engine`."""
        row = self._by_id.get(identity)
        return None if row is None else (self.entries[row].name, self.entries[row].fingerprint)

    def nearest(self, queries: np.ndarray, top: int) -> list[list[Match]]:
        """See `Engine`; of equal similarities the first in the order of names comes first."""
        found: list[list[Match]] = []
        for block in in_blocks(len(queries), max(1, _SCORES // len(self.matrix))):
            for scores in queries[block.start : block.stop] @ self.matrix.T:  # (Q, D) x (D, N): (N,) each
                rows = _best(scores, min(top, len(scores)))
                found.append([self._match(int(row), float(scores[row])) for row in rows])
        return found

    def close(self) -> None:
        """See `Engine`; the matrix goes with its last user."""

    def _match(self, row: int, score: float) -> Match:
        entry = self.entries[row]
        return Match(entry.name, entry.fingerprint, score)


def _best(scores: np.ndarray, top: int) -> np.ndarray:
    """Return the places of the `top` largest of N scores, largest first, of equal ones the first."""
    if top == len(scores):
        return np.argsort(-scores, kind="stable")
    least = np.partition(scores, len(scores) - top)[len(scores) - top]
    places = np.flatnonzero(scores >= least)  # more than `top` where several are equal to the least
    return places[np.argsort(-scores[places], kind="stable")][:top]


class _Store:
    """See `EngineKind`."""

    def open(self, folder: Path, head: Head) -> ExactStore:
        """Open the matrix; its size is checked, its content at a renewal."""
        entries, path = read_entries(folder, head), matrix_file(folder, head.generation)
        try:
            check_regular(path)
            matrix = np.load(path, mmap_mode="r", allow_pickle=False)
        except FileNotFoundError:
            raise
        except (ValueError, OSError, EOFError) as error:
            raise damaged(path, str(error)) from error
        matrix = matrix.view(np.ndarray)
        if matrix.shape != (head.count, head.width) or matrix.dtype != np.float32:
            raise damaged(path, f"it is {matrix.dtype} of shape {matrix.shape}")
        return ExactStore(entries, matrix)

    def place(self, where: Mapping[str, str | None]) -> dict[str, str]:
        """Refuse another place: the matrix lies in the index."""
        if given := [f"--{name}" for name, value in where.items() if value is not None]:
            raise ConfigError(f"{given[0]}: expected it with --engine qdrant alone; --out names the index's folder")
        return {}

    def check(self, head: Head) -> None:
        """See `EngineKind`; the index's own folder is there."""

    def write(self, folder: Path, before: Head | None, head: Head, renewal: Renewal) -> dict[str, str]:
        """Write a new matrix beside the one before."""
        matrix = np.empty((head.count, head.width), np.float32)  # (N, D)
        kept = np.asarray(renewal.kept, np.int64)
        if before is not None and (kept >= 0).any():
            matrix[kept >= 0] = self._whole(folder, before)[kept[kept >= 0]]
        for row, embedding in renewal.fresh.items():
            matrix[row] = embedding
        buffer = io.BytesIO()
        np.save(buffer, matrix, allow_pickle=False)
        content = buffer.getvalue()
        write_bytes(matrix_file(folder, head.generation), content)
        return {"embeddings": hashlib.sha256(content).hexdigest()}

    def _whole(self, folder: Path, head: Head) -> np.ndarray:
        """Return the matrix of a generation, its content checked."""
        path = matrix_file(folder, head.generation)
        try:
            matrix = self.open(folder, head).matrix
        except FileNotFoundError as error:
            raise damaged(path, "it is missing") from error
        if sha256_file(path) != head.sha256.get("embeddings"):
            raise damaged(path, "its content has changed since it was written")
        return matrix


STORE = _Store()
