"""Where a file that was made here comes from: a JSON beside it, bound to its content by its SHA-256."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pecl.errors import DataError
from pecl.files import load_json, sha256_bytes, sha256_file, write_bytes, write_json


def provenance_file(path: Path) -> Path:
    """Return the JSON that belongs to `path`."""
    return path.with_name(path.name + ".provenance.json")


def write_with_provenance(path: Path, content: bytes, record: dict[str, Any]) -> None:
    """Write `content` to `path`, and `record` with its SHA-256 beside it.

    The record goes first: killed in between, the old file lies beside a record that does not fit, which is noticed;
    the other way round a new file would lie there without one, which is not.

    Raises:
        OutputError: the folder cannot be written.
    """
    write_json(provenance_file(path), record | {"sha256": sha256_bytes(content)})
    write_bytes(path, content)


def read_provenance(path: Path) -> dict[str, Any] | None:
    """Return the record of `path`; None if there is none, or if it is of other content than the file has.

    Raises:
        DataError: the record cannot be read.
    """
    record_file = provenance_file(path)
    if not record_file.exists():
        return None
    try:
        record = load_json(record_file)
        sha256 = record["sha256"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{record_file} is not a record of provenance ({error}): remove it") from error
    return record if path.exists() and sha256_file(path) == sha256 else None
