"""Who holds the embeddings of an index and finds the nearest: one interface, `Engine`, and the table of engines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from pecl.errors import ConfigError
from pecl.options import Registry
from pecl.search.catalogue import Entry, Head


class Match(NamedTuple):
    """A photograph that was found: its path relative to the folder of photographs, and the cosine similarity."""

    name: str
    fingerprint: str
    score: float


class Engine(Protocol):
    """The embeddings of an open index."""

    def nearest(self, queries: np.ndarray, top: int) -> list[list[Match]]:
        """Return for each of Q embeddings (Q, D) of length 1 the `top` nearest photographs, nearest first."""
        ...

    def find(self, identity: str) -> tuple[str, str] | None:
        """Return name and fingerprint of the photograph with this `Entry.id`; None where there is none."""
        ...

    def names(self) -> Sequence[str]:
        """Return the names of all N photographs."""
        ...

    def embeddings(self) -> np.ndarray:
        """Return all embeddings (N, D) float32 of length 1, in the order of `names`."""
        ...

    def close(self) -> None:
        """Let go of files and connections."""
        ...


class Renewal(NamedTuple):
    """What a renewal changes.

    Attributes:
        entries: the N photographs of the new generation, sorted by name.
        kept: for each its row in the generation before, or -1 where its embedding is new.
        fresh: new embeddings by their row among `entries`, each (D,) float32 of length 1.
    """

    entries: list[Entry]
    kept: Sequence[int]
    fresh: Mapping[int, np.ndarray]


class EngineKind(Protocol):
    """How an engine opens what it holds, and writes a generation."""

    def open(self, folder: Path, head: Head) -> Engine:
        """Open the embeddings of the index in `folder`.

        Raises:
            FileNotFoundError: the generation was removed by a renewal.
            DataError: they are damaged or cannot be reached.
        """
        ...

    def place(self, where: Mapping[str, str | None]) -> dict[str, str]:
        """Return where a new index holds its embeddings (`Head.place`), from the flags `url` and `path`.

        Raises:
            ConfigError: the engine does not take what is given.
        """
        ...

    def check(self, head: Head) -> None:
        """Raise DataError unless the place that a head names can be reached; before anything is embedded for it."""
        ...

    def write(self, folder: Path, before: Head | None, head: Head, renewal: Renewal) -> dict[str, str]:
        """Write the embeddings of a new generation, and return the SHA-256 of what lies in `folder`, by name.

        The generation before (None: there is none that can be used) stays readable until the head is written, where
        the engine can do that.

        Raises:
            DataError: the embeddings of the generation before are damaged.
            OutputError: they cannot be written.
        """
        ...


ENGINES = Registry(
    "engine",
    {"store": "pecl.search.store:STORE", "qdrant": "pecl.search.qdrant:QDRANT"},
)


def engine_kind(name: str) -> EngineKind:
    """Return the engine of this name.

    Raises:
        ConfigError: there is no such engine, or the package that it needs is missing.
    """
    if name not in ENGINES:
        raise ConfigError(f"engine: expected one of {', '.join(sorted(ENGINES))}, got {name!r}")
    return ENGINES[name]


def in_blocks(count: int, block: int) -> Iterator[range]:
    """Yield 0 to `count` - 1 in ranges of at most `block`."""
    for start in range(0, count, block):
        yield range(start, min(start + block, count))
