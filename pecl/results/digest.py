"""The digest of a result's file: SHA-256 of its content, written with it and compared when it is read.

It is taken of the canonical JSON, so that a file that was only formatted again is the same. Whoever edits a result on
purpose removes the line; such a result is read, and never published.
"""

import json
from collections.abc import Mapping
from typing import Any

from pecl.files import sha256_json
from pecl.files.typed_json import FieldError

KEY = "sha256"


def with_digest(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return a JSON object as it is read again, with its digest as the last key."""
    read = json.loads(json.dumps(document))
    return {**read, KEY: sha256_json(read)}


def check_digest(document: Mapping[str, Any]) -> None:
    """Raise FieldError unless a JSON object matches its digest, where it has one."""
    if KEY in document and document[KEY] != sha256_json({key: document[key] for key in document if key != KEY}):
        raise FieldError("its content does not match its checksum (sha256)")
