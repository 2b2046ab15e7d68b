"""Provenance of generated files: a JSON next to each file, bound to its content by SHA-256."""

from pathlib import Path
from typing import Any

from pecl.errors import DataError
from pecl.files import load_json, sha256_bytes, sha256_file, write_bytes, write_json


def provenance_file(path: Path) -> Path:
    """Return the JSON that belongs to `path`."""
    return path.with_name(path.name + ".provenance.json")


def write_with_provenance(path: Path, content: bytes, record: dict[str, Any]) -> None:
    """Write `content` to `path`, and `record` with its SHA-256 next to it.

    The record is written first: after a kill in between, it does not match the old file, which is detected.
    """
    write_json(provenance_file(path), record | {"sha256": sha256_bytes(content)})
    write_bytes(path, content)


def read_provenance(path: Path) -> dict[str, Any] | None:
    """Return the record of `path`, None if it is missing or does not match; raise DataError if it cannot be read."""
    record_file = provenance_file(path)
    if not record_file.exists():
        return None
    try:
        record = load_json(record_file)
        sha256 = record["sha256"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{record_file} is not a record of provenance ({error}): remove it") from error
    return record if path.exists() and sha256_file(path) == sha256 else None
