"""SHA-256 of bytes, files, documents and lists of captions; and JSON documents that hold their own SHA-256.

Such a document has the SHA-256 of its canonical JSON under `DIGEST`, so formatting its file again does not invalidate
it. The digest is checked at each read.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from pecl.errors import WeightsError
from pecl.files.reading import open_regular

DIGEST = "sha256"  # key of a document's own digest


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
    return sha256_bytes(text.encode("utf-8", "surrogatepass"))  # a damaged file may hold half a character


def with_digest(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return a JSON object as JSON reads it back, with its digest as the last key."""
    copy = json.loads(json.dumps(document))
    return {**copy, DIGEST: sha256_json(copy)}


def check_digest(document: Mapping[str, Any], needed: bool = False) -> None:
    """Raise ValueError if a JSON object does not match its digest, or with `needed` if it has none."""
    if DIGEST not in document:
        if needed:
            raise ValueError("it has no checksum (sha256)")
    elif document[DIGEST] != sha256_json({key: document[key] for key in document if key != DIGEST}):
        raise ValueError("its content does not match its checksum (sha256)")


def sha256_lines(lines: Iterable[str]) -> str:
    """Return the SHA-256 of a list of texts: different lists, different hash.

    The texts are joined by newlines. If texts hold newlines themselves, the positions of these texts follow, after a
    byte that UTF-8 never contains; an empty list is that byte.
    """
    digest = hashlib.sha256()
    iterator = iter(lines)
    count = 0
    broken: dict[int, int] = {}  # number of newlines in a text, by its index
    while block := list(islice(iterator, 4096)):
        content = "\n".join(block)
        if content.count("\n") != len(block) - 1:
            broken |= {count + i: line.count("\n") for i, line in enumerate(block) if "\n" in line}
        if count > 0:
            digest.update(b"\n")
        digest.update(content.encode("utf-8"))
        count += len(block)

    if broken or not count:
        digest.update(b"\xff")
    if broken:
        digest.update(json.dumps(broken).encode("ascii"))
    return digest.hexdigest()


def check_sha256(path: Path, sha256: str, problem: str, remedy: str) -> None:
    """Raise WeightsError if a file cannot be read or has another SHA-256; `problem` is then such as "has changed"."""
    try:
        actual = sha256_file(path)
    except OSError as error:
        raise WeightsError(f"cannot read {path}: {error.strerror or error}") from error
    if actual != sha256:
        raise WeightsError(f"{path} {problem}: its SHA-256 begins with {actual[:12]}, expected {sha256[:12]}; {remedy}")
