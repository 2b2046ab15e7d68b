"""SHA-256 of bytes, files, documents and lists of captions."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any

from pecl.files.reading import open_regular


def sha256_bytes(content: bytes) -> str:
    """Return the SHA-256 of `content` in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def sha256_file(path: str | Path) -> str:
    """Return the SHA-256 of a file's content in hexadecimal."""
    digest = hashlib.sha256()
    with open_regular(path) as file:
        while block := file.read(1 << 20):  # 1 MiB at a time: weights can be larger than memory
            digest.update(block)
    return digest.hexdigest()


def sha256_json(document: Any) -> str:
    """Return the SHA-256 of `document`'s canonical JSON (sorted keys, no spaces): equal documents, equal hash."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return sha256_bytes(text.encode("utf-8"))


def sha256_lines(lines: Iterable[str]) -> str:
    """Return the SHA-256 of lines joined by newlines: the identity of a list of captions."""
    digest, rest, before = hashlib.sha256(), iter(lines), ""
    while block := list(islice(rest, 4096)):
        digest.update((before + "\n".join(block)).encode("utf-8"))
        before = "\n"
    return digest.hexdigest()
