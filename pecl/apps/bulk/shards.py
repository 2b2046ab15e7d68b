"""Embeddings in files: a folder of parquet files with the columns `id` and `embedding`.

A file is whole or absent, and its metadata names tower, adapter, language, precision and source.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch

from pecl.encoders.embeddings import as_arrow
from pecl.errors import DataError, one_line
from pecl.files import check_regular, write_stream
from pecl.files.columns import as_rows, read_parquet

_ROWS = "rows"  # number of rows in all shards
_HERE = "here"  # number of rows in a shard
# metadata that are only names; the rest must be equal in all shards of a folder
_NAMES = ("source", "tower", "adapter")


def shards_of(folder: str | Path) -> list[Path]:
    """Return the parquet files of a folder, in the order of their rows."""
    return sorted(Path(folder).glob("embeddings-*.parquet"))


def shard_path(folder: str | Path, shard: int) -> Path:
    """Return the file of a shard."""
    return Path(folder, f"embeddings-{shard:05}.parquet")


def write_shard(
    path: Path,
    ids: Sequence[str],
    embeddings: torch.Tensor,
    metadata: Mapping[str, str],
) -> None:
    """Write n names and their embeddings (n, D) float32 to a parquet file, atomically; raise as `write_stream`.

    In `metadata`, `rows` is the number of rows in all shards of the folder.
    """
    import pyarrow as pa
    from pyarrow import parquet

    table = pa.table({"id": pa.array(ids, pa.string()), "embedding": as_arrow(embeddings)}, metadata=dict(metadata))

    def write(file: BinaryIO) -> None:
        parquet.write_table(table, file, use_dictionary=False, write_page_checksum=True)

    write_stream(path, write)


def shard_metadata(path: Path) -> dict[str, str]:
    """Return the metadata of a shard, with its own number of rows as `here`; raise DataError for another file."""
    from pyarrow import ArrowException, parquet

    try:
        check_regular(path)
        file_metadata = parquet.read_metadata(path)
        metadata = {name.decode(): value.decode() for name, value in (file_metadata.metadata or {}).items()}
        int(metadata[_ROWS])  # another program's file has none
        return {**metadata, _HERE: str(file_metadata.num_rows)}
    except (OSError, ValueError, KeyError, ArrowException) as error:
        raise DataError(f"{path}: expected embeddings that pecl embed wrote ({one_line(error)})") from error


def describe_difference(actual: Mapping[str, str], expected: Mapping[str, str]) -> str:
    """Return the first field in which the metadata of two shards differ, with both values; empty if none differs."""
    for name in sorted(expected.keys() | actual.keys()):
        if name not in _NAMES and not name.startswith("ARROW") and actual.get(name) != expected.get(name):
            return f"{name.replace('_', ' ')}: {actual.get(name)}, not {expected.get(name)}"
    return ""


def open_embeddings(path: str | Path) -> torch.Tensor:
    """Return the embeddings (N, D) float32 of a folder that `pecl embed` wrote.

    Raises:
        DataError: there are none, or they are incomplete or damaged, or of several commands.
    """
    parts = [rows for file, values in _columns(path, "embedding") for rows in as_rows(values, file)]
    return torch.from_numpy(np.concatenate(parts))


def read_ids(path: str | Path) -> list[str]:
    """Return the names of the rows of a folder; raise as `open_embeddings`."""
    return [name for _, values in _columns(path, "id") for name in values.to_pylist()]


def _columns(folder: str | Path, name: str) -> list[tuple[Path, Any]]:
    paths = shards_of(folder)
    if not paths:
        raise DataError(f"{folder} holds no embeddings: expected embeddings-00000.parquet and so on")

    metadata = [{**shard_metadata(path), _HERE: ""} for path in paths]
    for path, shard in zip(paths, metadata, strict=True):
        difference = describe_difference(shard, metadata[0])
        if difference:  # two commands wrote into the folder at the same time
            raise DataError(
                f"{path} holds other embeddings than {paths[0].name} ({difference}): run pecl embed with a new folder"
            )

    rows = int(metadata[0][_ROWS])
    columns = [(path, read_parquet(path, name)[0]) for path in paths]
    written_rows = sum(len(values) for _, values in columns)
    if written_rows != rows:
        raise DataError(f"{folder} is not finished: {written_rows:,} of {rows:,} rows are there; run pecl embed again")
    return columns
