"""The vector backends of an index, which hold its embeddings and find the nearest: the interface, and their table."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from pecl.errors import ConfigError, DataError
from pecl.options import Registry
from pecl.search.catalogue import Entry, Head

_TOLERANCE = 1e-3  # excess of a similarity over 1: rounding of float32 stays far below


class Engine(Protocol):
    """The embeddings of an open index, and the list of its photographs."""

    entries: Sequence[Entry]

    def nearest(self, queries: np.ndarray, top: int, corrected: np.ndarray) -> list[list[tuple[int, float]]]:
        """Return the `top` nearest photographs of each of Q queries, (Q, D) of length 1, nearest first.

        Each is its place among `entries`, and its cosine similarity. Where `corrected`, (Q,) bool, is True, corrections
        are subtracted from the similarities. All are False where the head names no reference captions.

        Raises:
            DataError: a similarity is outside -1 to 1, so the embeddings are damaged.
        """
        ...

    def embeddings(self) -> np.ndarray:
        """Return all embeddings (N, D) float32 of length 1, in the order of `entries`."""
        ...

    def close(self) -> None:
        """Close files and connections."""
        ...


class Renewal(NamedTuple):
    """The changes of a renewal."""

    entries: list[Entry]  # the N photographs of the new generation, sorted by name
    kept: Sequence[int]  # for each its row in the generation before, or -1 where its embedding is new
    fresh: Mapping[int, np.ndarray]  # new embeddings by their row among `entries`, each (D,) float32 of length 1


class EngineKind(Protocol):
    """A vector backend, by its name and its server: opens the embeddings of a generation, and writes them."""

    def check(self) -> None:
        """Raise DataError unless the server answers; ConfigError where a package is missing."""
        ...

    def open(self, folder: Path, head: Head) -> Engine:
        """Open the embeddings of the index in `folder`, all checked.

        Raises:
            FileNotFoundError: the generation was removed by a renewal.
            DataError: they are damaged, incomplete, or cannot be reached.
        """
        ...

    def lost(self, folder: Path, head: Head) -> list[int]:
        """Return the rows of a generation whose embeddings are gone, and can be made again.

        Raises:
            FileNotFoundError: a file is missing.
            DataError: the embeddings are damaged, or cannot be reached.
        """
        ...

    def write(self, folder: Path, before: Head | None, head: Head, renewal: Renewal) -> dict[str, str]:
        """Write the embeddings of a new generation, and return the SHA-256 of each file in `folder`, by name.

        The generation before (None: there is none that can be used) stays readable until the head is written.

        Raises:
            DataError: the embeddings of the generation before are damaged.
            OutputError: they cannot be written.
        """
        ...

    def clean(self, head: Head, entries: Sequence[Entry]) -> None:
        """Remove the embeddings of other generations outside the index's folder, after the head was written."""
        ...


ENGINES = Registry("engine", {"store": "pecl.search.store:Store", "qdrant": "pecl.search.qdrant:Qdrant"})


def engine_kind(name: str, url: str | None) -> EngineKind:
    """Return the engine of this name, with the address of its server.

    Raises:
        ConfigError: there is no such engine, or it needs an address or takes none.
    """
    if name not in ENGINES:
        raise ConfigError(f"engine: expected one of {', '.join(sorted(ENGINES))}, got {name!r}")
    return ENGINES[name](url)


def check_scores(scores: np.ndarray, holder: object) -> None:
    """Raise DataError that names `holder` unless all similarities are from -1 to 1: embeddings have length 1."""
    if scores.size and not (scores.min() >= -1 - _TOLERANCE and scores.max() <= 1 + _TOLERANCE):  # NaN is neither
        raise DataError(
            f"{holder} gives similarities of {scores.min():.3g} to {scores.max():.3g}, expected -1 to 1: its "
            f"embeddings are damaged: run `pecl index FOLDER --rebuild`"
        )


def in_blocks(count: int, block: int) -> Iterator[range]:
    """Yield 0 to `count` - 1 in ranges of at most `block`."""
    for start in range(0, count, block):
        yield range(start, min(start + block, count))
