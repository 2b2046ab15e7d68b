"""The exact store: one matrix of embeddings, held in memory and compared with a query as a whole.

The matrix is read once, when the index is opened, and the bytes that are searched are those whose digest was compared:
a file that is damaged, exchanged or cut afterwards changes nothing. N photographs take N x D x 4 bytes of memory, 1 GB
for a million of width 256.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

from pecl.errors import ConfigError
from pecl.files import open_regular, sha256_bytes, write_stream
from pecl.search.catalogue import Entry, Head, damaged, read_entries
from pecl.search.engines import Match, Renewal, check_scores, in_blocks

_SCORES = 1 << 24  # similarities that are in memory at a time
_HEADER = 1 << 12  # bytes, more than NumPy's header of a matrix has
_BLOCK = 1 << 12  # rows that are written together


def matrix_file(folder: Path, generation: str) -> Path:
    """Return the path of the matrix of a generation."""
    return folder / f"embeddings-{generation}.npy"


class ExactStore:
    """The embeddings of an index, in memory.

    Args:
        entries: N photographs.
        matrix: (N, D) float32, each row of length 1.
        path: file of the matrix, for messages.
    """

    def __init__(self, entries: Sequence[Entry], matrix: np.ndarray, path: Path | None = None) -> None:
        self.entries = entries
        self.matrix = matrix
        self._path = path

    def embeddings(self) -> np.ndarray:
        """See `Engine`; read-only."""
        return self.matrix

    def nearest(self, queries: np.ndarray, top: int) -> list[list[Match]]:
        """See `Engine`; of equal similarities the first in the order of names comes first."""
        found: list[list[Match]] = []
        for block in in_blocks(len(queries), max(1, _SCORES // len(self.matrix))):
            with np.errstate(invalid="ignore", over="ignore"):  # damaged embeddings are told below
                scores = queries[block.start : block.stop] @ self.matrix.T  # (Q, D) x (D, N): (Q, N)
            check_scores(scores, self._path)
            for own in scores:
                rows = _best(own, min(top, len(own)))
                found.append([Match(self.entries[row], float(own[row])) for row in rows.tolist()])
        return found

    def close(self) -> None:
        """See `Engine`; the matrix goes with its last user."""


def _best(scores: np.ndarray, top: int) -> np.ndarray:
    """Return the places of the `top` largest of N scores, largest first, of equal ones the first."""
    if top == len(scores):
        return np.argsort(-scores, kind="stable")
    least = np.partition(scores, len(scores) - top)[len(scores) - top]
    places = np.flatnonzero(scores >= least)  # more than `top` where several are equal to the least
    return places[np.argsort(-scores[places], kind="stable")][:top]


class Store:
    """See `EngineKind`.

    Raises:
        ConfigError: there is an address.
    """

    def __init__(self, url: str | None = None) -> None:
        if url is not None:
            raise ConfigError("--url: expected it only with --engine qdrant; --out names the index's folder")

    def check(self) -> None:
        """See `EngineKind`; the index's own folder is there."""

    def open(self, folder: Path, head: Head) -> ExactStore:
        """See `EngineKind`; the matrix is read into memory."""
        path = matrix_file(folder, head.generation)
        return ExactStore(read_entries(folder, head), _read_matrix(path, head), path)

    def lost(self, folder: Path, head: Head) -> list[int]:
        """See `EngineKind`; a matrix is whole or damaged."""
        _read_matrix(matrix_file(folder, head.generation), head)
        return []

    def write(self, folder: Path, before: Head | None, head: Head, renewal: Renewal) -> dict[str, str]:
        """See `EngineKind`; writes a new matrix next to the one before."""
        kept = np.asarray(renewal.kept, np.int64)
        old = None
        if before is not None and (kept >= 0).any():
            old = _read_matrix(matrix_file(folder, before.generation), before)
        digest = hashlib.sha256()

        def write(file: BinaryIO) -> None:
            for content in _content(head, kept, old, renewal.fresh):
                digest.update(content)
                file.write(content)

        write_stream(matrix_file(folder, head.generation), write)
        return {"embeddings": digest.hexdigest()}

    def clean(self, head: Head, entries: Sequence[Entry]) -> None:
        """See `EngineKind`; there is nothing outside the index's folder."""


def _content(head: Head, kept: np.ndarray, old: np.ndarray | None, fresh: Mapping[int, np.ndarray]) -> Iterator[bytes]:
    """Yield the bytes of a matrix (N, D) as NumPy's file, block by block.

    Args:
        head: of the new generation, with N and D.
        kept: (N,) rows of `old`, or -1.
        old: matrix before, or None.
        fresh: new embeddings (D,) by their row.
    """
    header = io.BytesIO()
    layout = {"descr": "<f4", "fortran_order": False, "shape": (head.count, head.width)}
    np.lib.format.write_array_header_1_0(header, layout)
    yield header.getvalue()
    for block in in_blocks(head.count, _BLOCK):
        rows = np.empty((len(block), head.width), "<f4")
        for place, row in enumerate(block):
            rows[place] = fresh[row] if old is None or kept[row] < 0 else old[kept[row]]
        yield rows.tobytes()


def _read_matrix(path: Path, head: Head) -> np.ndarray:
    """Return the matrix (N, D) float32 of a generation, read-only; the bytes that it is in were compared.

    Raises:
        FileNotFoundError: it is missing.
        DataError: it is damaged, or a link.
    """
    size = 4 * head.count * head.width
    try:
        with open_regular(path, follow=False) as file:
            found = file.seek(0, io.SEEK_END)
            file.seek(0)
            content = file.read() if size <= found <= size + _HEADER else b""
    except FileNotFoundError:
        raise
    except OSError as error:
        raise damaged(path, error.strerror or str(error)) from error
    if not content:
        raise damaged(path, f"it has {found:,} bytes, expected {size:,} and a header")
    if sha256_bytes(content) != head.files.get("embeddings"):
        raise damaged(path, "its content has changed since it was written")
    return _parse_matrix(path, content, head)


def _parse_matrix(path: Path, content: bytes, head: Head) -> np.ndarray:
    """Return the matrix in the bytes of NumPy's file, which are not copied."""
    try:
        file = io.BytesIO(content)
        version = np.lib.format.read_magic(file)
        if version != (1, 0):
            raise ValueError(f"it is of version {version} of NumPy's format, expected 1.0")
        shape, by_column, dtype = np.lib.format.read_array_header_1_0(file)
        if shape != (head.count, head.width) or by_column or dtype != np.dtype("<f4"):
            raise ValueError(f"it is {dtype} of shape {shape}, expected float32 of {(head.count, head.width)}")
        matrix = np.frombuffer(content, np.float32, offset=file.tell()).reshape(shape)
    except ValueError as error:
        raise damaged(path, error) from error
    return matrix
