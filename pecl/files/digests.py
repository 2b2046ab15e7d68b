"""SHA-256 of bytes, files, documents and lists of captions; and JSON files that hold their own.

Such a file has the SHA-256 of its canonical JSON under `DIGEST`, compared whenever it is read, so that formatting it
again changes nothing.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from pecl.errors import WeightsError
from pecl.files.reading import open_regular

DIGEST = "sha256"  # key of a document's own digest


def is_sha256(text: object) -> bool:
    """Say whether `text` is a SHA-256 in hexadecimal, 64 lower-case digits."""
    return isinstance(text, str) and re.fullmatch(r"[0-9a-f]{64}", text) is not None


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


def with_digest(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return a JSON object as it is read again, with its digest as the last key."""
    read = json.loads(json.dumps(document))
    return {**read, DIGEST: sha256_json(read)}


def check_digest(document: Mapping[str, Any], needed: bool = False) -> None:
    """Raise ValueError unless a JSON object matches its digest; only with `needed` it must have one."""
    if DIGEST not in document:
        if needed:
            raise ValueError("it has no checksum (sha256)")
    elif document[DIGEST] != sha256_json({key: document[key] for key in document if key != DIGEST}):
        raise ValueError("its content does not match its checksum (sha256)")


def sha256_lines(lines: Iterable[str]) -> str:
    """Return the SHA-256 of a list of texts: different lists, different hash.

    The texts are joined by newlines. If one holds a newline itself, the places of these follow, behind a byte that
    no UTF-8 holds; an empty list is that byte.
    """
    digest, rest, count, broken = hashlib.sha256(), iter(lines), 0, {}
    while block := list(islice(rest, 4096)):
        content = ("\n" * (count > 0) + "\n".join(block)).encode("utf-8")
        if content.count(b"\n") != len(block) - (count == 0):
            broken |= {count + i: breaks for i, line in enumerate(block) if (breaks := line.count("\n"))}
        digest.update(content)
        count += len(block)
    if broken or not count:
        digest.update(b"\xff" + json.dumps(broken).encode("ascii") * bool(broken))
    return digest.hexdigest()


def check_sha256(path: Path, sha256: str, problem: str, remedy: str) -> None:
    """Raise WeightsError if a file cannot be read, or has another SHA-256, which means `problem` ("has changed")."""
    try:
        found = sha256_file(path)
    except OSError as error:
        raise WeightsError(f"cannot read {path}: {error.strerror or error}") from error
    if found != sha256:
        raise WeightsError(f"{path} {problem}: its SHA-256 begins with {found[:12]}, expected {sha256[:12]}; {remedy}")
