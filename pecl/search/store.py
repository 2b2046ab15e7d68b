"""The exact store: one matrix of embeddings, held in memory and compared with a query as a whole.

The matrix is read once, when the index is opened, and the bytes that are searched are those that were compared with
their checksums. A file that is damaged, exchanged or cut afterwards changes nothing. N photographs take N x D x 4 bytes
of memory, 1 GB for a million of width 256.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pecl.errors import ConfigError, DataError
from pecl.files.rows import DamagedRowsError, open_rows, write_rows
from pecl.retrieval.hubs import References, find_references
from pecl.search.catalogue import Entry, Head, damaged, read_entries
from pecl.search.engines import Renewal, check_scores, in_blocks

_SCORES = 1 << 24  # similarities that are in memory at a time
_BLOCK = 1 << 12  # rows that are written together
_NAME, _CORRECTIONS = "embeddings", "corrections"


def _embeddings_file(folder: Path, generation: str) -> Path:
    return folder / f"embeddings-{generation}.safetensors"


@dataclass(eq=False)
class ExactStore:
    """The embeddings of an index, in memory."""

    entries: Sequence[Entry]  # N photographs
    matrix: np.ndarray  # (N, D) float32, each row of length 1
    path: Path | None = None  # file of the matrix, for messages
    corrections: np.ndarray | None = None  # (N,) float32, see `pecl.retrieval.hubs`

    def embeddings(self) -> np.ndarray:
        """See `Engine`; read-only."""
        return self.matrix

    def nearest(self, queries: np.ndarray, top: int, corrected: np.ndarray) -> list[list[tuple[int, float]]]:
        """See `Engine`; ties go to the first name."""
        found: list[list[tuple[int, float]]] = []
        for block in in_blocks(len(queries), max(1, _SCORES // len(self.matrix))):
            with np.errstate(invalid="ignore", over="ignore"):  # damaged embeddings are reported below
                scores = queries[block.start : block.stop] @ self.matrix.T  # (Q, D) x (D, N): (Q, N)
            check_scores(scores, self.path)
            if self.corrections is not None:
                scores[corrected[block.start : block.stop]] -= self.corrections
            for own in scores:
                rows = _best(own, min(top, len(own)))
                found.append(list(zip(rows.tolist(), own[rows].tolist(), strict=True)))
        return found

    def close(self) -> None:
        """See `Engine`; the matrix goes with its last user."""


def _best(scores: np.ndarray, top: int) -> np.ndarray:
    """Return the places of the `top` largest of N scores, largest first; ties go to the first place."""
    if top == len(scores):
        return np.argsort(-scores, kind="stable")
    least = np.partition(scores, len(scores) - top)[len(scores) - top]
    places = np.flatnonzero(scores >= least)  # more than `top` where several are equal to the least
    return places[np.argsort(-scores[places], kind="stable")][:top]


class Store:
    """See `EngineKind`."""

    def __init__(self, url: str | None = None) -> None:
        if url is not None:
            raise ConfigError("--url: expected it only with --engine qdrant; --out names the index's folder")

    def check(self) -> None:
        """See `EngineKind`; the index's own folder is there."""

    def open(self, folder: Path, head: Head) -> ExactStore:
        """See `EngineKind`; the matrix is read into memory."""
        path = _embeddings_file(folder, head.generation)
        entries, rows = read_entries(folder, head), _read_rows(path, head)
        return ExactStore(entries, rows[_NAME], path, rows.get(_CORRECTIONS))

    def lost(self, folder: Path, head: Head) -> list[int]:
        """See `EngineKind`; a matrix is whole or damaged."""
        _read_rows(_embeddings_file(folder, head.generation), head)
        return []

    def write(self, folder: Path, before: Head | None, head: Head, renewal: Renewal) -> dict[str, str]:
        """See `EngineKind`; writes a new file next to the one before."""
        kept = np.asarray(renewal.kept, np.int64)
        old: Mapping[str, np.ndarray] = {}
        if before is not None and (kept >= 0).any():
            old = _read_rows(_embeddings_file(folder, before.generation), before)
            if before.references != head.references:
                old = {_NAME: old[_NAME]}
        path = _embeddings_file(folder, head.generation)
        references = find_references(head.profile, head.fingerprints) if head.references else None
        names = (_NAME,) if references is None else (_NAME, _CORRECTIONS)
        return {"embeddings": write_rows(path, names, _blocks(head, kept, old, renewal.fresh, references), {})}

    def clean(self, head: Head, entries: Sequence[Entry]) -> None:
        """See `EngineKind`; there is nothing outside the index's folder."""


def _blocks(
    head: Head,
    kept: np.ndarray,
    old: Mapping[str, np.ndarray],
    fresh: Mapping[int, np.ndarray],
    references: References | None,
) -> Iterator[dict[str, np.ndarray]]:
    """Yield the embeddings (N, D), and with `references` the corrections (N,), block by block.

    `kept` (N,) has rows of `old`, or -1. `old` holds the embeddings before, and the corrections that still hold; either
    may be missing.
    """
    for block in in_blocks(head.count, _BLOCK):
        rows, before = np.empty((len(block), head.width), np.float32), kept[block.start : block.stop]
        for place, row in enumerate(block):
            rows[place] = fresh[row] if not old or kept[row] < 0 else old[_NAME][kept[row]]
        if references is None:
            yield {_NAME: rows}
            continue
        held = before >= 0 if _CORRECTIONS in old else np.zeros(len(block), bool)
        corrections = np.empty(len(block), np.float32)
        corrections[~held] = references.corrections(rows[~held])
        if held.any():
            corrections[held] = old[_CORRECTIONS][before[held]]
        yield {_NAME: rows, _CORRECTIONS: corrections}


def _read_rows(path: Path, head: Head) -> dict[str, np.ndarray]:
    """Return the embeddings (N, D) float32 of a generation, and its corrections (N,) float32 if it has any.

    The bytes that are returned were compared with their checksums.

    Raises:
        FileNotFoundError: the file is missing.
        DataError: it is damaged, or a link.
    """
    try:
        tensors, metadata = open_rows(path, check=False, follow=False)
        if metadata["digest"] != head.files.get("embeddings"):
            raise damaged(path, "it is not the file that the head of the index names")
        shapes = {_NAME: (head.count, head.width)} | ({_CORRECTIONS: (head.count,)} if head.references else {})
        if tensors.keys() != shapes.keys():
            raise damaged(path, f"it holds {', '.join(tensors) or 'nothing'}, expected {', '.join(shapes)}")
        for name, rows in tensors.items():
            if rows.shape != shapes[name] or rows.dtype != np.float32:
                raise damaged(path, f"{name} are {rows.dtype} of shape {rows.shape}, expected {shapes[name]}")
        loaded = {name: rows.load() for name, rows in tensors.items()}
        if head.references:
            check_scores(loaded[_CORRECTIONS], path)
        return loaded
    except DamagedRowsError as error:
        raise damaged(path, error.reason) from error
    except DataError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            raise error.__cause__ from None
        raise
