"""`ImageRows`: embeddings of images that another program has computed with the same image tower.

They lie in a parquet file with the columns `id`, the path of an image, and `embedding`, or in a folder of such files.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from pecl.errors import DataError
from pecl.files.columns import as_rows, read_parquet

if TYPE_CHECKING:
    import pyarrow as pa

_BLOCK = 1 << 16  # rows that are compared at a time
_LENGTH = 0.01  # allowed difference of a row's length from 1: 16-bit rows are rounded


class Nearest(NamedTuple):
    """An image near to a query: its path, as the other program wrote it, and its cosine similarity."""

    path: str
    score: float


class ImageRows:
    """Embeddings of N images, in a parquet file or a folder of them.

    Raises:
        DataError: a file is missing or damaged, or the numbers of rows and paths differ.
    """

    def __init__(self, embeddings: str | Path) -> None:
        self.source = Path(embeddings)
        self.paths: list[str] = []
        self.parts: list[np.ndarray] = []
        for path in sorted(self.source.glob("*.parquet")) if self.source.is_dir() else [self.source]:
            ids, rows = read_parquet(path, "id", "embedding")
            self.paths += _texts(ids)
            self.parts += as_rows(rows, path)

        count = sum(map(len, self.parts))
        if count != len(self.paths) or not count:
            raise DataError(f"{self.source}: expected one path per embedding, got {count:,} and {len(self.paths):,}")

    def check(self, width: int, tower: str) -> None:
        """Raise DataError unless all rows are finite, of length 1 and of the width of the image tower `tower`."""
        self._check_width(width, tower)
        for start, block in self._blocks():
            self._check_lengths(block, range(start, start + len(block)))

    def rows_of(self, names: Sequence[str]) -> list[int]:
        """Return the row numbers of M images, which are matched by file name in any folder.

        Raises:
            DataError: an image has no row, or its name is that of several rows or images.
        """
        by_name: dict[str, list[int]] = {name: [] for name in names}
        for row, path in enumerate(self.paths):
            by_name.get(PurePath(path).name, []).append(row)
        images = Counter(names)
        for name, rows in by_name.items():
            if (images[name], len(rows)) != (1, 1):
                raise DataError(
                    f"{self.source}: expected one row and one image per file name, got {len(rows)} and {images[name]} "
                    f"of {name}"
                )
        return [by_name[name][0] for name in names]

    def take(self, rows: Sequence[int], width: int, tower: str) -> np.ndarray:
        """Return the embeddings (M, D) float32 of M rows, checked as in `check`."""
        self._check_width(width, tower)
        ends = np.cumsum([len(part) for part in self.parts])  # (P,)
        part_of = np.searchsorted(ends, rows, side="right")  # (M,)
        embeddings = np.empty((len(rows), width), np.float32)
        for i, (row, part) in enumerate(zip(rows, part_of, strict=True)):
            embeddings[i] = self.parts[part][row - ends[part]]  # a negative index, from the end of the part
        self._check_lengths(embeddings, rows)
        return embeddings

    def nearest(self, query: np.ndarray, top: int) -> list[Nearest]:
        """Return the `top` images nearest to an embedding (D,) of length 1, nearest first."""
        scores = np.concatenate([block @ query for _, block in self._blocks()])  # (N,)
        best = np.argsort(-scores, kind="stable")[:top]
        return [Nearest(self.paths[row], float(scores[row])) for row in best]

    def _check_width(self, width: int, tower: str) -> None:
        for part in self.parts:
            if part.ndim != 2 or part.shape[1] != width or part.dtype.kind != "f":
                raise DataError(
                    f"{self.source}: expected rows of {width} floats, as {tower} gives, got shape {part.shape} of "
                    f"{part.dtype}: choose the profile with the tower that embedded the images"
                )

    def _check_lengths(self, block: np.ndarray, rows: Sequence[int]) -> None:
        lengths = np.linalg.norm(block, axis=1)
        wrong = np.flatnonzero(~(np.abs(lengths - 1) <= _LENGTH))  # also NaN
        if len(wrong):
            row = rows[int(wrong[0])]
            raise DataError(
                f"{self.source}: expected rows of length 1, got length {lengths[wrong[0]]:.3g} in row {row} "
                f"({self.paths[row]}): divide each row by its length"
            )

    def _blocks(self) -> Iterator[tuple[int, np.ndarray]]:
        """Yield the number of the first row, and rows (B, D) float32."""
        first = 0
        for part in self.parts:
            for start in range(0, len(part), _BLOCK):
                yield first + start, np.asarray(part[start : start + _BLOCK], dtype=np.float32)
            first += len(part)


def _texts(names: pa.ChunkedArray) -> list[str]:
    """Return names, also numbers, as texts; a missing name is left out, so that the number of names shows it."""
    return [str(name) for name in names.drop_null().to_pylist()]
