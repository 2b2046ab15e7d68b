"""Rows on disk: tensors in a safetensors file that is written as its rows come, and read by its rows.

The header comes first in a safetensors file and holds the length of its tensors, which is not known while they are
written. So room is left for it, and it is written last; the format lets a header end in spaces. A last tensor,
`checksums`, has the SHA-256 of each block of rows, and the metadata has a digest of header, checksums and metadata. So
a block can be compared without reading the file. Rows are read by their place in the file (`pread`), not through a
memory map: a file that is cut while it is open is an error, and no SIGBUS.

Source of the format: https://github.com/huggingface/safetensors, "Format".
"""

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
from pecl.files.atomic import write_stream
from pecl.files.digests import sha256_bytes, sha256_json
from pecl.files.reading import open_regular, parse_json

_HEADER = 4096  # bytes that are left for the header, its length included
_BLOCK = 1 << 20  # most bytes of a block of rows, unless one row has more
_TYPES = {"I32": np.int32, "I64": np.int64, "F32": np.float32, "U8": np.uint8}
_NAMES = {np.dtype(kind): name for name, kind in _TYPES.items()}
_DIGEST, _CHECKSUMS = "digest", "checksums"
_HASH_BYTES = 32


class DamagedRowsError(DataError):
    """A file of rows is proven wrong: cut short, changed since it was written, or another program's."""

    def __init__(self, path: Path, reason: object) -> None:
        super().__init__(f"{path} is damaged ({reason}); delete it and make it again")
        self.reason = reason


def _rows_per_block(row_bytes: int) -> int:
    """Return the number of rows that one checksum covers."""
    return max(_BLOCK // row_bytes, 1)


class RowWriter:
    """One tensor of a file, which grows; the first grows in the file, others in a temporary one."""

    def __init__(self, name: str, file: BinaryIO) -> None:
        self.name, self._file = name, file
        self.shape: tuple[int, ...] = (0,)  # (rows so far, ...)
        self.dtype = np.dtype(np.int32)
        self._hash, self._left = hashlib.sha256(), 0  # of the current block, and the bytes that it still takes
        self._finished: list[bytes] = []

    def append(self, rows: np.ndarray) -> None:
        """Write further rows (B, ...) with the type and width of those before."""
        if self.shape[0] and (rows.shape[1:], rows.dtype) != (self.shape[1:], self.dtype):
            raise ValueError(f"{self.name}: expected {self.dtype} (B, {self.shape[1:]}), got {rows.dtype}")
        self.shape, self.dtype = (self.shape[0] + len(rows), *rows.shape[1:]), rows.dtype
        content = memoryview(np.ascontiguousarray(rows).tobytes())
        self._file.write(content)
        row_bytes = rows.dtype.itemsize * math.prod(rows.shape[1:])
        while content:
            self._left = self._left or _rows_per_block(row_bytes) * row_bytes
            part, content = content[: self._left], content[self._left :]
            self._hash.update(part)
            self._left -= len(part)
            if not self._left:
                self._finish_block()

    def _finish_block(self) -> None:
        self._finished.append(self._hash.digest())
        self._hash = hashlib.sha256()

    def checksums(self) -> list[bytes]:
        """Return the SHA-256 of each block; no row may be appended afterwards."""
        if self._left:
            self._finish_block()
            self._left = 0
        return self._finished


def write_rows(
    path: str | Path, names: tuple[str, ...], blocks: Iterable[Mapping[str, np.ndarray]], metadata: Mapping[str, str]
) -> str:
    """Write tensors to `path` as their rows come, as `write_stream`; return the digest of names, rows and metadata.

    Args:
        path: the file.
        names: names of the tensors, the widest type first, so that all lie at multiples of their size.
        blocks: further rows of some or all tensors, of types int32, int64, float32 or uint8.
        metadata: kept in the header.
    """
    digest = ""

    def write(file: BinaryIO) -> None:
        nonlocal digest
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
        digest = _finish(file, list(writers.values()), metadata)

    write_stream(path, write)
    return digest


def _finish(file: BinaryIO, writers: list[RowWriter], metadata: Mapping[str, str]) -> str:
    checksums = b"".join(checksum for writer in writers for checksum in writer.checksums())
    file.write(checksums)
    header: dict[str, Any] = {}
    start = 0
    shapes = [(writer.name, writer.dtype, writer.shape) for writer in writers]
    for name, dtype, shape in [*shapes, (_CHECKSUMS, np.dtype(np.uint8), (len(checksums) // _HASH_BYTES, _HASH_BYTES))]:
        end = start + dtype.itemsize * math.prod(shape)
        header[name] = {"dtype": _NAMES[dtype], "shape": list(shape), "data_offsets": [start, end]}
        start = end
    digest = _digest(header, checksums, metadata)
    header = {"__metadata__": {**metadata, _DIGEST: digest}, **header}
    text = json.dumps(header, separators=(",", ":")).encode("utf-8")
    if len(text) > _HEADER - 8:
        raise ValueError(f"metadata: expected at most {_HEADER - 8} bytes with the header, got {len(text)}")
    file.seek(0)
    file.write((_HEADER - 8).to_bytes(8, "little") + text.ljust(_HEADER - 8))
    return digest


def _digest(header: Mapping[str, Any], checksums: bytes, metadata: Mapping[str, str]) -> str:
    """Return the SHA-256 of the tensors' names, types, shapes and checksums, and of the metadata."""
    return sha256_json([list(header.items()), sha256_bytes(checksums), dict(metadata)])


class Rows:
    """A tensor (N, ...) in a file that stays open, from the byte `start` on; any of its rows can be read.

    All methods raise DataError if the file cannot be read or was cut since it was opened, and those that compare rows
    with their checksums raise it for a block that has changed since it was written.
    """

    def __init__(self, path: Path, file: BinaryIO, start: int, dtype: np.dtype, shape: tuple[int, ...]) -> None:
        self._path, self._file, self._start = path, file, start
        self.dtype, self.shape = dtype, shape
        self._row_bytes = dtype.itemsize * math.prod(shape[1:])
        self._per_block = _rows_per_block(self._row_bytes)
        self.block_count = -(-len(self) // self._per_block)
        self.checksums = b""  # the SHA-256 of each block

    def __len__(self) -> int:
        return self.shape[0]

    def read(self, start: int, stop: int) -> np.ndarray:
        """Return rows `start` to `stop`, (stop - start, ...), without comparing them."""
        rows = np.empty((stop - start, *self.shape[1:]), self.dtype)
        self.read_into(rows, start)
        return rows

    def read_into(self, rows: np.ndarray, start: int) -> None:
        """Fill `rows` (B, ...), contiguous, with those from `start` on, without comparing them."""
        place = self._start + start * self._row_bytes
        left = rows.reshape(-1).view(np.uint8).data
        try:
            while left:
                count = os.preadv(self._file.fileno(), [left], place)
                if count == 0:
                    raise DamagedRowsError(self._path, "it was cut while it was open")
                left, place = left[count:], place + count
        except OSError as error:
            raise DataError(f"cannot read {self._path}: {error.strerror or error}") from error

    def blocks(self) -> Iterator[np.ndarray]:
        """Yield all rows in blocks (B, ...), each compared with its checksum."""
        for block in range(self.block_count):
            yield self._block(block)

    def _block(self, block: int) -> np.ndarray:
        start = block * self._per_block
        rows = self.read(start, min(start + self._per_block, len(self)))
        expected = self.checksums[block * _HASH_BYTES : (block + 1) * _HASH_BYTES]
        if hashlib.sha256(rows.reshape(-1).view(np.uint8).data).digest() != expected:
            raise DamagedRowsError(self._path, f"rows from {start} on do not match their checksum")
        return rows

    def load(self) -> np.ndarray:
        """Return all rows (N, ...), read-only; the bytes that are returned were compared."""
        found = np.empty(self.shape, self.dtype)
        for block, rows in enumerate(self.blocks()):
            found[block * self._per_block :][: len(rows)] = rows
        found.flags.writeable = False
        return found

    def take(self, rows: np.ndarray) -> np.ndarray:
        """Return B rows (B, ...) in the order of their numbers `rows` (B,); each block that holds one is compared."""
        found = np.empty((len(rows), *self.shape[1:]), self.dtype)
        blocks = rows // self._per_block
        for block in np.unique(blocks):
            wanted = blocks == block
            found[wanted] = self._block(int(block))[rows[wanted] - int(block) * self._per_block]
        return found


def open_rows(path: str | Path, check: bool = True, *, follow: bool = True) -> tuple[dict[str, Rows], dict[str, str]]:
    """Return the tensors of a file, and its metadata, whose `digest` names its content.

    Header, checksums and metadata are always compared with the digest, and with `check` all rows with their checksums.

    Raises:
        DamagedRowsError: it is damaged, or another program's.
        DataError: it is missing or cannot be read; the cause is the system's error.
    """
    try:
        with ExitStack() as opened:
            file = opened.enter_context(open_regular(path, follow=follow))
            tensors, metadata = _open(Path(path), file)
            if check:
                for rows in tensors.values():
                    for _ in rows.blocks():
                        pass
            opened.pop_all()  # it stays open for the rows
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error
    except DataError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise DamagedRowsError(Path(path), error) from error
    return tensors, metadata


def _open(path: Path, file: BinaryIO) -> tuple[dict[str, Rows], dict[str, str]]:
    length = int.from_bytes(file.read(8), "little")
    if length != _HEADER - 8:
        raise ValueError(f"its header has {length} bytes, expected {_HEADER - 8}")
    header = parse_json(file.read(length))
    metadata = header.pop("__metadata__")
    digest = metadata[_DIGEST]
    size = _HEADER + max(entry["data_offsets"][1] for entry in header.values())
    there = os.fstat(file.fileno()).st_size
    if there != size:
        raise ValueError(f"it has {there} bytes, its header says {size}")
    tensors = {name: _rows(path, file, entry) for name, entry in header.items()}
    checksums = tensors.pop(_CHECKSUMS)
    content = checksums.read(0, len(checksums)).tobytes()
    blocks = sum(rows.block_count for rows in tensors.values())
    signed = {name: value for name, value in metadata.items() if name != _DIGEST}
    if digest != _digest(header, content, signed) or len(content) != blocks * _HASH_BYTES:
        raise ValueError("its checksums do not match")
    for rows in tensors.values():
        end = rows.block_count * _HASH_BYTES
        rows.checksums, content = content[:end], content[end:]
    return tensors, metadata


def _rows(path: Path, file: BinaryIO, entry: Mapping[str, Any]) -> Rows:
    dtype, shape = np.dtype(_TYPES[entry["dtype"]]), tuple(entry["shape"])
    begin, end = entry["data_offsets"]
    numbers = all(type(number) is int and number >= 0 for number in (begin, end, *shape))
    if not numbers or not shape or 0 in shape[1:] or end - begin != dtype.itemsize * math.prod(shape):
        raise ValueError(f"a tensor of shape {shape} lies at bytes {begin} to {end}")
    return Rows(path, file, _HEADER + begin, dtype, shape)
