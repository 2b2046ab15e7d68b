"""safetensors files that are larger than memory: written as their rows come, and read where they lie on disk.

The header comes first in such a file and says how long its tensors are, which nobody knows while they are made. So
room is left for it, and it is written last; the format lets a header end in spaces. What is read is a memory map:
pages that were read can be dropped by the system at any time, so they take no memory that anything else needs.

Source of the format: https://github.com/huggingface/safetensors, "Format".
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import tempfile
from collections.abc import Iterable, Mapping
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
        """Return the SHA-256 of what was written."""
        return self._hash.hexdigest()


def write_mapped(
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
    header: dict[str, Any] = {"__metadata__": {**metadata, _DIGEST: _digest([w.digest() for w in writers], metadata)}}
    start = 0
    for writer in writers:
        end = start + writer.dtype.itemsize * math.prod(writer.shape)
        kind = _NAMES[writer.dtype]
        header[writer.name] = {"dtype": kind, "shape": list(writer.shape), "data_offsets": [start, end]}
        start = end
    text = json.dumps(header, separators=(",", ":")).encode("utf-8")
    if len(text) > _HEADER - 8:
        raise ValueError(f"metadata: expected at most {_HEADER - 8} bytes with the header, got {len(text)}")
    file.seek(0)
    file.write((_HEADER - 8).to_bytes(8, "little") + text.ljust(_HEADER - 8))


def _digest(hashes: list[str], metadata: Mapping[str, str]) -> str:
    return sha256_json([hashes, dict(metadata)])


def map_tensors(path: str | Path, check: bool = True) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Return the tensors of a file as read-only memory maps, and its metadata, in which `digest` is its content's.

    Args:
        path: a file that `write_mapped` wrote.
        check: read it once, and compare it with its digest.

    Raises:
        DataError: it is missing, cannot be read, or is damaged.
    """
    path = Path(path)
    try:
        with open_regular(path) as file:
            header, start = _read_header(file)
            metadata = header.pop("__metadata__", {})
            size = start + max((entry["data_offsets"][1] for entry in header.values()), default=0)
            if path.stat().st_size != size:
                raise ValueError(f"it has {path.stat().st_size} bytes, its header says {size}")
            tensors = {name: _map(path, start, entry) for name, entry in header.items()}
        signed = {name: value for name, value in metadata.items() if name != _DIGEST}
        if check and metadata[_DIGEST] != _digest([_hash(tensor) for tensor in tensors.values()], signed):
            raise ValueError("its content does not match its checksum")
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise DataError(f"{path} is damaged ({error}); delete it and make it anew") from error
    return tensors, metadata


def _read_header(file: BinaryIO) -> tuple[dict[str, Any], int]:
    length = int.from_bytes(file.read(8), "little")
    if length > _HEADER_LIMIT:
        raise ValueError(f"its header has {length} bytes, expected at most {_HEADER_LIMIT}")
    return parse_json(file.read(length)), 8 + length


def _map(path: Path, start: int, entry: Mapping[str, Any]) -> np.ndarray:
    dtype, shape = np.dtype(_TYPES[entry["dtype"]]), tuple(entry["shape"])
    begin, end = entry["data_offsets"]
    if end - begin != dtype.itemsize * math.prod(shape) or min(shape) < 0:
        raise ValueError(f"a tensor of shape {shape} has {end - begin} bytes")
    if begin == end:  # nothing to map
        return np.zeros(shape, dtype)
    return np.memmap(path, dtype, "r", start + begin, shape).view(np.ndarray)


def _hash(tensor: np.ndarray) -> str:
    digest = hashlib.sha256()
    flat = tensor.reshape(-1).view(np.uint8)
    for start in range(0, len(flat), _BLOCK):
        digest.update(flat[start : start + _BLOCK].data)
    return digest.hexdigest()
