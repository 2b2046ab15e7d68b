"""Columns on disk: texts, lists of token ids or embeddings, in Arrow files that are memory-mapped, or in parquet.

A value takes memory only while it is used. A column of texts stays in memory up to `IN_MEMORY` bytes. A longer one lies
in an unnamed file in the cache folder, which disappears with the process.
"""

from __future__ import annotations

import mmap
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar, overload

import numpy as np

from pecl.errors import DataError, OutputError, one_line
from pecl.files.paths import default_cache_dir
from pecl.files.reading import check_regular, open_regular
from pecl.files.writing import write_stream

if TYPE_CHECKING:  # pyarrow takes a tenth of a second, and most commands need none
    import pyarrow as pa

T = TypeVar("T")

IN_MEMORY = 1 << 26  # bytes of a column of texts in memory
ROWS = 4096  # values that are written, or read, together
VALUES = "values"  # name of a file's only column


class ArrowColumn(Sequence[T]):
    """N values, each read on access: texts, or lists of numbers.

    Args:
        values: M >= N values.
        indices: (N,) indices of the values, in order; None for all.
    """

    def __init__(self, values: pa.ChunkedArray, indices: np.ndarray | None = None) -> None:
        self.values = values
        self._indices = indices

    def __len__(self) -> int:
        return len(self.values) if self._indices is None else len(self._indices)

    @overload
    def __getitem__(self, index: int) -> T: ...

    @overload
    def __getitem__(self, index: slice) -> list[T]: ...

    def __getitem__(self, index: int | slice) -> T | list[T]:
        if not isinstance(index, slice):
            position = range(len(self))[index]  # IndexError beyond the end, as lists raise it
            if self._indices is not None:
                position = int(self._indices[position])
            return self.values[position].as_py()

        positions = range(len(self))[index]
        if self._indices is not None:
            return [self.values[i].as_py() for i in self._indices[index].tolist()]
        if positions.step == 1:
            return self.values.slice(positions.start, len(positions)).to_pylist()
        return [self.values[i].as_py() for i in positions]

    def __iter__(self) -> Iterator[T]:
        for start in range(0, len(self), ROWS):
            yield from self[start : start + ROWS]

    def take(self, indices: Sequence[int] | np.ndarray) -> ArrowColumn[T]:
        """Return the values at `indices`, in that order; values are not copied."""
        rows = np.asarray(indices, np.uint32)
        return ArrowColumn(self.values, rows if self._indices is None else self._indices[rows])


class _Spool(tempfile.SpooledTemporaryFile):
    """A file that stays in memory while it is short; the cache folder is created only for longer files."""

    def rollover(self) -> None:
        """Continue in an unnamed file on disk."""
        default_cache_dir().mkdir(parents=True, exist_ok=True)
        super().rollover()


class TextWriter:
    """Collects texts, `count` so far, into a column; raises OutputError if the cache folder cannot be written."""

    def __init__(self) -> None:
        import pyarrow as pa

        self._pending: list[str] = []
        self.count = 0
        self._file = _Spool(IN_MEMORY, dir=str(default_cache_dir()))
        self._writer = pa.ipc.new_file(self._file, pa.schema([(VALUES, pa.string())]))

    def append(self, text: str) -> None:
        """Add a text."""
        self._pending.append(text)
        self.count += 1
        if len(self._pending) == ROWS:
            self._flush()

    def column(self) -> ArrowColumn[str]:
        """Finish and return the column."""
        import pyarrow as pa

        self._flush(last=True)
        if self._file.tell() > IN_MEMORY:  # it is on disk
            return ArrowColumn(_table(self._file).column(VALUES))
        self._file.seek(0)
        return ArrowColumn(pa.ipc.open_file(pa.py_buffer(self._file.read())).read_all().column(VALUES))

    def _flush(self, last: bool = False) -> None:
        import pyarrow as pa

        batch = pa.record_batch([pa.array(self._pending, pa.string())], [VALUES])
        try:
            self._writer.write_batch(batch)
            if last:
                self._writer.close()
                self._file.flush()
        except OSError as error:
            raise OutputError(
                f"cannot write the training text into {default_cache_dir()}: {error.strerror or error}; "
                "PECL_CACHE_DIR names another folder"
            ) from error
        self._pending = []


def column_of(texts: Iterable[str]) -> ArrowColumn[str]:
    """Return a column of texts, as `TextWriter` makes it."""
    writer = TextWriter()
    for text in texts:
        writer.append(text)
    return writer.column()


def write_column(path: str | Path, kind: pa.DataType, arrays: Iterable[pa.Array]) -> Path:
    """Write arrays of the type `kind`, one by one, to the only column of an Arrow file, atomically.

    Raises:
        OutputError: the folder cannot be written or the disk is full.
    """
    import pyarrow as pa

    def write(file: BinaryIO) -> None:
        with pa.ipc.new_file(file, pa.schema([(VALUES, kind)])) as writer:
            for array in arrays:
                writer.write_batch(pa.record_batch([array], [VALUES]))

    return write_stream(path, write)


def read_column(path: str | Path, kind: str) -> pa.ChunkedArray:
    """Return the values of a file that `write_column` wrote, memory-mapped.

    Raises:
        DataError: it is missing, cannot be read, or does not hold values of the `kind`, such as "token ids".
    """
    import pyarrow as pa

    try:
        with open_regular(path) as file:
            table = _table(file)
        table.validate(full=True)
        return table.column(VALUES)
    except (pa.ArrowException, ValueError, KeyError) as error:
        raise DataError(f"{path}: expected an Arrow file of {kind} ({one_line(error)})") from error
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error


def read_parquet(path: Path, *names: str) -> list[pa.ChunkedArray]:
    """Return columns of a parquet file and check its checksums, if it has any; raise DataError for another file."""
    from pyarrow import ArrowException, parquet

    try:
        check_regular(path)
        table = parquet.read_table(path, columns=list(names), page_checksum_verification=True)
        return [table.column(name) for name in names]
    except (OSError, ValueError, KeyError, ArrowException) as error:
        raise DataError(f"{path}: expected parquet with the columns {', '.join(names)} ({one_line(error)})") from error


def as_rows(values: pa.ChunkedArray, path: Path) -> list[np.ndarray]:
    """Return a column of N embeddings as arrays (n, D), one per chunk, without copies.

    Raises:
        DataError: the column of the file `path` does not hold lists of D floats, or a number is missing.
    """
    import pyarrow as pa

    is_fixed = pa.types.is_fixed_size_list(values.type)
    is_list = is_fixed or pa.types.is_list(values.type) or pa.types.is_large_list(values.type)
    if len(values) and not (is_list and pa.types.is_floating(values.type.value_type)):
        raise DataError(f"{path}: expected embeddings, lists of floats, got a column of {values.type}")

    width = values.type.list_size if is_fixed else next((len(row) for row in values if row.is_valid), 0)
    rows: list[np.ndarray] = []
    start = 0
    for chunk in values.chunks if is_list else []:
        numbers = chunk.flatten()
        is_whole = is_fixed or bool((np.diff(chunk.offsets.to_numpy()) == width).all())
        if chunk.null_count or numbers.null_count or not is_whole:
            is_wrong = (not row.is_valid or row.values.null_count or len(row) != width for row in chunk)
            row = start + list(map(bool, is_wrong)).index(True)
            raise DataError(f"{path}: expected {width} numbers in each row, row {row} differs")
        if is_fixed or len(chunk):
            rows.append(numbers.to_numpy().reshape(len(chunk), width))
        start += len(chunk)

    return rows


def _table(file: Any) -> pa.Table:
    """Return the table in an open Arrow file, memory-mapped; it stays when the file is closed."""
    import pyarrow as pa

    return pa.ipc.open_file(pa.py_buffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))).read_all()


def blocks_of(values: Iterable[T]) -> Iterator[list[T]]:
    """Yield values in lists of `ROWS`."""
    iterator = iter(values)
    while block := list(islice(iterator, ROWS)):
        yield block
