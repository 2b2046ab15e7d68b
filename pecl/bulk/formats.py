"""One file of all rows for other programs: `embeddings.npy` or `.faiss`, next to `ids.jsonl`, or `.parquet` with ids.

Such a file is made from the shards once all are there. A file of that name that differs from them, whether it is
damaged or another program's, is refused and stays as it is.
"""

import hashlib
import io
from collections.abc import Iterator
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from pecl.bulk.folder import PLAN, iterate_ids
from pecl.encoders.embeddings import Embeddings
from pecl.errors import ConfigError, DataError, OutputError, unknown
from pecl.files import sha256_file, write_stream

FORMATS = ("npy", "parquet", "faiss")
_PACKAGES = {"parquet": ("pyarrow", "pyarrow"), "faiss": ("faiss", "faiss-cpu")}  # module, package
_ROWS = 4096  # rows that are written together


def format_path(folder: str | Path, name: str) -> Path:
    """Return the file of a format in a folder of embeddings."""
    return Path(folder, f"embeddings.{name}")


def check_format(folder: str | Path, name: str) -> None:
    """Raise PeclError where a format is unknown, lacks its package, or its file lies in a folder that is not pecl's."""
    if name not in FORMATS:
        raise ConfigError(unknown("format", name, FORMATS))
    if name in _PACKAGES:
        module, package = _PACKAGES[name]
        try:
            import_module(module)
        except ImportError as error:
            raise ConfigError(f"format {name} needs {package}: pip install {package}") from error
    if format_path(folder, name).exists() and not Path(folder, PLAN).exists():
        raise OutputError(_in_the_way(format_path(folder, name)))


def write_format(folder: str | Path, name: str, embeddings: Embeddings) -> Path:
    """Write all rows of a folder, its `embeddings`, to one file, unless it is there, and return its path.

    npy is an array (N, D) float32; parquet has the columns `id` and `embedding`; faiss is an `IndexFlatIP`.

    Raises:
        DataError: the folder's ids are damaged, or one is not UTF-8, which parquet asks for.
        OutputError: the file cannot be written, or another is there.
    """
    path = format_path(folder, name)

    def write(file: Any) -> None:
        if name == "parquet":
            _write_parquet(file, embeddings, iterate_ids(folder))
        else:
            (_write_npy if name == "npy" else _write_faiss)(file, embeddings)

    if not path.exists():
        return write_stream(path, write)
    made = _Digest()
    write(made)
    try:
        if sha256_file(path) != made.sha256.hexdigest():
            raise OutputError(_in_the_way(path))
    except OSError as error:
        raise OutputError(f"cannot read {path}: {error.strerror or error}") from error
    return path


def _in_the_way(path: Path) -> str:
    return f"{path} is there and differs from the embeddings: move it away, or delete it, and run the command again"


def _write_npy(file: Any, embeddings: Embeddings) -> None:
    np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": embeddings.shape})
    for rows in _blocks(embeddings):
        file.write(rows.astype("<f4", copy=False).tobytes())


def _write_faiss(file: Any, embeddings: Embeddings) -> None:
    import faiss

    index: Any = faiss.IndexFlatIP(embeddings.shape[1])
    for rows in _blocks(embeddings):
        index.add(rows)
    file.write(faiss.serialize_index(index).tobytes())


def _write_parquet(file: Any, embeddings: Embeddings, ids: Iterator[str]) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    schema = pa.schema([("id", pa.string()), ("embedding", pa.list_(pa.float32(), embeddings.shape[1]))])
    with parquet.ParquetWriter(file, schema, use_dictionary=False) as writer:
        for rows in _blocks(embeddings):
            vectors = pa.FixedSizeListArray.from_arrays(pa.array(rows.reshape(-1)), rows.shape[1])
            names = list(islice(ids, len(rows)))
            try:
                writer.write_batch(pa.record_batch([pa.array(names, pa.string()), vectors], schema=schema))
            except UnicodeEncodeError as error:
                raise DataError(
                    f"id {error.object!r}: expected UTF-8, as parquet has it; rename it, or write npy"
                ) from error
    list(ids)  # to their end, where their checksum is compared


def _blocks(embeddings: Embeddings) -> Iterator[np.ndarray]:
    """Yield all rows in blocks (B, D)."""
    return (embeddings[start : start + _ROWS].numpy() for start in range(0, len(embeddings), _ROWS))


class _Digest(io.RawIOBase):
    """A file that is hashed in place of being kept."""

    def __init__(self) -> None:
        self.sha256 = hashlib.sha256()

    def writable(self) -> bool:
        return True

    def write(self, content: Any) -> int:
        self.sha256.update(content)
        return len(content)
