"""Tensors in safetensors files that are larger than memory: written as their rows come, and read by their rows.

The header comes first in such a file and holds the length of its tensors, which nobody knows while they are made. So
room is left for it, and it is written last; the format lets a header end in spaces. Rows are read by their place in
the file (`pread`), not through a memory map: a file that is cut while it is open is an error, and no SIGBUS.

Source of the format: https://github.com/huggingface/safetensors, "Format".
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from pecl.errors import DataError
from pecl.files import open_regular, parse_json, sha256_json, write_stream

_HEADER = 4096  # bytes that are left for the header, its length included
_HEADER_LIMIT = 1 << 20  # of a header that another program wrote
_BLOCK = 1 << 22  # bytes that are copied or hashed at a time
_TYPES = {"I32": np.int32, "I64": np.int64, "F32": np.float32, "U8": np.uint8}
_NAMES = {np.dtype(kind): name for name, kind in _TYPES.items()}
_DIGEST = "digest"


class RowWriter:
    """One tensor of a file, appended to block by block; the first grows in the file, others in a temporary one.

    Attributes:
        name: of the tensor.
        shape: (rows so far, ...).
    """

    def __init__(self, name: str, file: BinaryIO) -> None:
        self.name, self._file = name, file
        self.shape: tuple[int, ...] = (0,)
        self.dtype = np.dtype(np.int32)
        self._hash = hashlib.sha256()

    def append(self, block: np.ndarray) -> None:
        """Write further rows (B, ...), of the type and width of those before."""
        if self.shape[0] and (block.shape[1:], block.dtype) != (self.shape[1:], self.dtype):
            raise ValueError(f"{self.name}: expected {self.dtype} (B, {self.shape[1:]}), got {block.dtype}")
        self.shape, self.dtype = (self.shape[0] + len(block), *block.shape[1:]), block.dtype
        content = np.ascontiguousarray(block).tobytes()
        self._hash.update(content)
        self._file.write(content)

    def digest(self) -> str:
        """Return the SHA-256 of the bytes so far."""
        return self._hash.hexdigest()


def write_rows(
    path: str | Path, names: tuple[str, ...], blocks: Iterable[Mapping[str, np.ndarray]], metadata: Mapping[str, str]
) -> Path:
    """Write tensors to `path` as their rows come, atomically, with a digest in the metadata.

    Args:
        path: the file.
        names: of the tensors, the widest type first, so that all lie at multiples of their size.
        blocks: further rows of some or all tensors, of types int32, int64, float32 or uint8.
        metadata: kept in the header.

    Raises:
        OutputError: the folder cannot be written or the disk is full; `path` is then as it was before.
    """

    def write(file: BinaryIO) -> None:
        with ExitStack() as opened:  # files without a name, which vanish with this process
            others = [opened.enter_context(tempfile.TemporaryFile(dir=Path(path).parent)) for _ in names[1:]]
            writers = {name: RowWriter(name, f) for name, f in zip(names, [file, *others], strict=True)}
            file.write(b" " * _HEADER)
            for block in blocks:
                for name, rows in block.items():
                    writers[name].append(rows)
            for other in others:
                other.seek(0)
                shutil.copyfileobj(other, file, _BLOCK)
        _write_header(file, list(writers.values()), metadata)

    return write_stream(path, write)


def _write_header(file: BinaryIO, writers: list[RowWriter], metadata: Mapping[str, str]) -> None:
    header: dict[str, Any] = {}
    start = 0
    for writer in writers:
        end = start + writer.dtype.itemsize * math.prod(writer.shape)
        kind = _NAMES[writer.dtype]
        header[writer.name] = {"dtype": kind, "shape": list(writer.shape), "data_offsets": [start, end]}
        start = end
    digest = _digest(header, [writer.digest() for writer in writers], metadata)
    header = {"__metadata__": {**metadata, _DIGEST: digest}, **header}
    text = json.dumps(header, separators=(",", ":")).encode("utf-8")
    if len(text) > _HEADER - 8:
        raise ValueError(f"metadata: expected at most {_HEADER - 8} bytes with the header, got {len(text)}")
    file.seek(0)
    file.write((_HEADER - 8).to_bytes(8, "little") + text.ljust(_HEADER - 8))


def _digest(header: Mapping[str, Any], hashes: list[str], metadata: Mapping[str, str]) -> str:
    """Return the SHA-256 of the tensors' names, types, shapes and contents, and of the metadata."""
    return sha256_json([list(header.items()), hashes, dict(metadata)])


class Rows:
    """A tensor (N, ...) in an open file, of which any rows are read.

    Args:
        path: the file, for messages.
        file: the file, open; it stays open as long as this.
        start: place of the first row in the file, in bytes.
        dtype: of the numbers.
        shape: (N, ...).
    """

    def __init__(self, path: Path, file: BinaryIO, start: int, dtype: np.dtype, shape: tuple[int, ...]) -> None:
        self._path, self._file, self._start = path, file, start
        self.dtype, self.shape = dtype, shape
        self._row_bytes = dtype.itemsize * math.prod(shape[1:])

    def __len__(self) -> int:
        return self.shape[0]

    def read(self, start: int, stop: int) -> np.ndarray:
        """Return rows `start` to `stop`, (stop - start, ...)."""
        rows = np.empty((stop - start, *self.shape[1:]), self.dtype)
        self.read_into(rows, start)
        return rows

    def read_into(self, rows: np.ndarray, start: int) -> None:
        """Fill `rows` (B, ...), contiguous, with those from `start` on.

        Raises:
            DataError: the file cannot be read, or was cut since it was opened.
        """
        place = self._start + start * self._row_bytes
        left = rows.reshape(-1).view(np.uint8).data
        try:
            while left:
                count = os.preadv(self._file.fileno(), [left], place)
                if count == 0:
                    raise DataError(f"{self._path} was cut while it was open: make it again")
                left, place = left[count:], place + count
        except OSError as error:
            raise DataError(f"cannot read {self._path}: {error.strerror or error}") from error

    def blocks(self, size: int = _BLOCK) -> Iterator[np.ndarray]:
        """Yield all rows in blocks (B, ...) of about `size` bytes."""
        count = max(size // self._row_bytes, 1)
        for start in range(0, len(self), count):
            yield self.read(start, min(start + count, len(self)))

    def digest(self) -> str:
        """Return the SHA-256 of all rows."""
        digest = hashlib.sha256()
        for block in self.blocks():
            digest.update(block.reshape(-1).view(np.uint8).data)
        return digest.hexdigest()


def open_rows(path: str | Path, check: bool = True) -> tuple[dict[str, Rows], dict[str, str]]:
    """Return the tensors of a file, and its metadata, in which `digest` is its content's.

    Args:
        path: a file that `write_rows` wrote.
        check: read it once, and compare it with its digest.

    Raises:
        DataError: it is missing, cannot be read, or is damaged.
    """
    try:
        with ExitStack() as opened:
            file = opened.enter_context(open_regular(path))
            header, start = _read_header(file)
            metadata = header.pop("__metadata__", {})
            size = start + max((entry["data_offsets"][1] for entry in header.values()), default=0)
            there = os.fstat(file.fileno()).st_size
            if there != size:
                raise ValueError(f"it has {there} bytes, its header says {size}")
            tensors = {name: _rows(Path(path), file, start, entry) for name, entry in header.items()}
            signed = {name: value for name, value in metadata.items() if name != _DIGEST}
            if check and metadata[_DIGEST] != _digest(header, [rows.digest() for rows in tensors.values()], signed):
                raise ValueError("its content does not match its checksum")
            opened.pop_all()  # it stays open for the rows
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error
    except DataError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise DataError(f"{path} is damaged ({error}); delete it and make it again") from error
    return tensors, metadata


def _read_header(file: BinaryIO) -> tuple[dict[str, Any], int]:
    length = int.from_bytes(file.read(8), "little")
    if length > _HEADER_LIMIT:
        raise ValueError(f"its header has {length} bytes, expected at most {_HEADER_LIMIT}")
    return parse_json(file.read(length)), 8 + length


def _rows(path: Path, file: BinaryIO, start: int, entry: Mapping[str, Any]) -> Rows:
    dtype, shape = np.dtype(_TYPES[entry["dtype"]]), tuple(entry["shape"])
    begin, end = entry["data_offsets"]
    numbers = all(type(number) is int and number >= 0 for number in (begin, end, *shape))
    if not numbers or not shape or 0 in shape[1:] or end - begin != dtype.itemsize * math.prod(shape):
        raise ValueError(f"a tensor of shape {shape} lies at bytes {begin} to {end}")
    return Rows(path, file, start + begin, dtype, shape)
