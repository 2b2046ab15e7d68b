"""`ImageRows`: embeddings of images that another program has computed with the same image tower.

They lie in an array (`.npy`) with a text file of paths, in a parquet file with the columns `id` and `embedding` or a
folder of such files, or in a folder of clip-retrieval: `img_emb/*.npy`, and `metadata/*.parquet` with the column
`image_path`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from pecl.errors import ConfigError, DataError, one_line, setting
from pecl.files import check_regular, read_regular

if TYPE_CHECKING:
    import pyarrow as pa

_BLOCK = 1 << 16  # rows that are compared at a time
_LENGTH = 0.01  # allowed difference of a row's length from 1: 16-bit rows are rounded


class Nearest(NamedTuple):
    """An image near to a query: its path, as the other program wrote it, and its cosine similarity."""

    path: str
    score: float


class ImageRows:
    """Embeddings of N images; `paths` is a text file with the path of each row of an array, and None for other forms.

    Raises:
        ConfigError: an array lacks `paths`, or another form has them.
        DataError: a file is missing or damaged, or the numbers of rows and paths differ.
    """

    def __init__(self, embeddings: str | Path, paths: str | Path | None = None) -> None:
        self.source = Path(embeddings)
        is_array = self.source.suffix == ".npy"
        if is_array != (paths is not None):
            paths_setting = setting("image_paths")
            expected = f"{paths_setting} with an array" if is_array else f"no {paths_setting}: it names its images"
            raise ConfigError(f"{self.source}: expected {expected}", field="image_embeddings")
        self.paths: list[str] = []
        self.parts: list[np.ndarray] = []

        files = sorted(self.source.glob("*.parquet")) if self.source.is_dir() else [self.source]
        if paths is not None:
            self.parts = [read_array(self.source)]
            self.paths = read_names(Path(paths))
        elif files:
            for path in files:
                ids, rows = read_columns(path, "id", "embedding")
                self.paths += _texts(ids)
                if len(rows):
                    self.parts.append(_stacked(path, rows))
        else:
            self._read_folder()

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

    def _read_folder(self) -> None:
        arrays, tables = (
            sorted(self.source.glob(pattern), key=lambda path: (len(path.name), path.name))  # part 10 after part 9
            for pattern in ("img_emb/*.npy", "metadata/*.parquet")
        )
        if not arrays or len(arrays) != len(tables):
            raise DataError(
                f"{self.source}: expected a folder of clip-retrieval, as many img_emb/*.npy as metadata/*.parquet, got "
                f"{len(arrays)} and {len(tables)}"
            )
        self.parts = [read_array(path) for path in arrays]
        self.paths = [name for table in tables for name in _texts(read_columns(table, "image_path")[0])]


def _texts(names: pa.ChunkedArray) -> list[str]:
    """Return names, also numbers, as texts; a missing name is left out, so that the number of names shows it."""
    return [str(name) for name in names.drop_null().to_pylist()]


def _stacked(path: Path, rows: pa.ChunkedArray) -> np.ndarray:
    try:
        return np.stack(rows.to_numpy())
    except ValueError as error:  # lists of several lengths, or a missing one
        raise DataError(f"{path}: expected embeddings of one length ({one_line(error)})") from error


def read_array(path: Path) -> np.ndarray:
    """Return a memory-mapped array `.npy`; raise DataError for another file."""
    try:
        check_regular(path)
        return np.lib.format.open_memmap(path, mode="r")
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: expected an array of NumPy ({one_line(error)})") from error


def read_names(path: Path) -> list[str]:
    """Return the lines of a text file, the names of rows; raise DataError for another file."""
    try:
        lines = read_regular(path).decode("utf-8-sig").replace("\r\n", "\n").split("\n")
        return lines if lines[-1] else lines[:-1]  # `splitlines` would cut a name at a form feed, too
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: expected one path per line in UTF-8 ({one_line(error)})") from error


def read_columns(path: Path, *names: str) -> list[pa.ChunkedArray]:
    """Return columns of a parquet file and check its checksums, if it has any; raise DataError for another file."""
    from pyarrow import ArrowException, parquet

    try:
        check_regular(path)
        table = parquet.read_table(path, columns=list(names), page_checksum_verification=True)
        return [table.column(name) for name in names]
    except (OSError, ValueError, KeyError, ArrowException) as error:
        raise DataError(f"{path}: expected parquet with the columns {', '.join(names)} ({one_line(error)})") from error
