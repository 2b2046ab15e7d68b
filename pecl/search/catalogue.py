"""What an index holds, without its embeddings: `pecl-index.json`, and a JSON line for each photograph.

An index is a folder. The head, `pecl-index.json`, names a generation; its files bear the generation in their names and
are never changed. A renewal writes the files of a new generation first, then the head, atomically, and removes the old
files last: a reader sees one generation or the other, whatever kills the writer.
"""

from __future__ import annotations

import json
import re
import secrets
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pecl.errors import DataError
from pecl.files import load_json, parse_json, read_bytes_limited, sha256_bytes, write_bytes, write_json

HEAD = "pecl-index.json"
HIDDEN = ".pecl-index"  # where the index of a folder lies unless another place is named
FORMAT, VERSION = "pecl-index", 1
LINES_LIMIT = 1 << 32  # bytes that are read of the list of photographs: some ten million lines
_GENERATION = re.compile(r"(?:photographs|embeddings)-(?P<generation>[0-9a-f]{16})\.\w+")
_ATTEMPTS = 5


@dataclass(frozen=True)
class Entry:
    """A photograph of an index.

    Attributes:
        name: path relative to the folder of photographs, with `/`.
        size: bytes of the file.
        mtime_ns: when it was last written.
        fingerprint: hash of its content, see `ImageFiles.fingerprint`.
    """

    name: str
    size: int
    mtime_ns: int
    fingerprint: str

    @property
    def id(self) -> str:
        """Name of the photograph within the index: 32 hexadecimal digits, which tell nothing of its path."""
        return sha256_bytes(self.name.encode("utf-8", "surrogateescape"))[:32]


@dataclass(frozen=True)
class Unreadable:
    """A file that cannot be read as a photograph, though it is named like one; looked at again when it has changed."""

    name: str
    size: int
    mtime_ns: int
    reason: str


@dataclass(frozen=True)
class Head:
    """The head of an index.

    Attributes:
        root: folder of the photographs; relative to the index where that lies within.
        profile: name of the pair of towers.
        tower: name and fingerprint of the image tower that made the embeddings.
        width: D, numbers of an embedding.
        count: N, photographs.
        engine: who holds the embeddings: `store` or `qdrant`.
        place: where the engine holds them, as the engine has it.
        thumbnails: whether small pictures are kept beside.
        generation: 16 hexadecimal digits.
        sha256: of the list of photographs, and of what else the engine keeps in the folder, by name.
        unreadable: files that are not in the index, though they are named like photographs.
    """

    root: str
    profile: str
    tower: dict[str, str]
    width: int
    count: int
    engine: str = "store"
    place: dict[str, str] = field(default_factory=dict)
    thumbnails: bool = False
    generation: str = ""
    sha256: dict[str, str] = field(default_factory=dict)
    unreadable: tuple[Unreadable, ...] = ()


def new_generation() -> str:
    """Return a name that no generation has."""
    return secrets.token_hex(8)


def photographs_file(folder: Path, generation: str) -> Path:
    """Return the path of the list of photographs."""
    return folder / f"photographs-{generation}.jsonl"


def write_entries(folder: Path, generation: str, entries: list[Entry]) -> str:
    """Write the list of photographs of a generation and return the SHA-256 of the file.

    Raises:
        OutputError: it cannot be written.
    """
    lines = (json.dumps([e.name, e.size, e.mtime_ns, e.fingerprint], separators=(",", ":")) for e in entries)
    content = "".join(f"{line}\n" for line in lines).encode("ascii")
    write_bytes(photographs_file(folder, generation), content)
    return sha256_bytes(content)


def write_head(folder: Path, head: Head) -> None:
    """Write the head, which makes its generation the one that is read, and remove the files of all others.

    Raises:
        OutputError: it cannot be written.
    """
    write_json(folder / HEAD, {"format": FORMAT, "version": VERSION, **asdict(head)})
    for path in folder.iterdir():
        found = _GENERATION.fullmatch(path.name)
        if found is not None and found["generation"] != head.generation:
            path.unlink(missing_ok=True)


def find_index(folder: str | Path) -> Path:
    """Return the folder of an index: `folder`, or `.pecl-index` in it where that is a folder of photographs.

    Raises:
        DataError: there is no index; the message says how to make one.
    """
    given = Path(folder)
    for place in (given, given / HIDDEN):
        if (place / HEAD).is_file():
            return place
    if not given.is_dir():
        raise DataError(f"{folder}: expected an index, or a folder of photographs with one, found no folder")
    raise DataError(f"{folder}: there is no index in it: make one with `pecl index {folder}`")


def read_head(folder: Path) -> Head:
    """Read the head of the index in `folder`.

    Raises:
        DataError: it is missing, damaged, or of another version.
    """
    path = folder / HEAD
    try:
        document = load_json(path)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error
    except ValueError as error:
        raise damaged(path, str(error)) from error
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise damaged(path, "it does not say that it is the head of an index")
    if document.get("version") != VERSION:
        raise DataError(f"{path}: expected version {VERSION}, got {document.get('version')!r}: make the index anew")
    fields = {key: value for key, value in document.items() if key not in ("format", "version")}
    try:
        unreadable = tuple(Unreadable(**one) for one in fields.pop("unreadable", ()))
        head = Head(**fields, unreadable=unreadable)
    except TypeError as error:
        raise damaged(path, str(error)) from error
    _check_head(path, head)
    return head


def _check_head(path: Path, head: Head) -> None:
    """Raise DataError unless the fields have the types and ranges that readers rely on."""
    texts = (head.root, head.profile, head.engine, head.generation)
    maps = (head.tower, head.place, head.sha256)
    numbers = (head.width, head.count)
    typed = (
        all(isinstance(text, str) for text in texts)
        and all(isinstance(one, dict) and all(isinstance(v, str) for v in one.values()) for one in maps)
        and all(type(number) is int and number > 0 for number in numbers)
        and all(isinstance(one.name, str) and isinstance(one.reason, str) for one in head.unreadable)
    )
    if not typed or not re.fullmatch(r"[0-9a-f]{16}", head.generation) or "\0" in head.root:
        raise damaged(path, "a field is not what it should be")


def read_entries(folder: Path, head: Head) -> list[Entry]:
    """Read the photographs of a generation, in the order of their embeddings.

    Raises:
        FileNotFoundError: the generation was removed by a renewal.
        DataError: the list is damaged.
    """
    path = photographs_file(folder, head.generation)
    try:
        content = read_bytes_limited(path, LINES_LIMIT)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error
    if sha256_bytes(content) != head.sha256.get("photographs"):
        raise damaged(path, "its content has changed since it was written")
    try:
        lines = parse_json(b"[" + b",".join(content.splitlines()) + b"]", halves=True)
        entries = [Entry(*line) for line in lines]
    except (ValueError, TypeError) as error:
        raise damaged(path, str(error)) from error
    if len(entries) != head.count:
        raise damaged(path, f"it has {len(entries)} photographs, expected {head.count}")
    return entries


def root_of(folder: Path, head: Head) -> Path:
    """Return the folder of the photographs."""
    return (folder / head.root).resolve()  # joined with an absolute path, the latter


def damaged(path: Path, reason: Any) -> DataError:
    """Return the error for a file of an index that is not as it was written."""
    return DataError(f"{path} is damaged ({reason}): make the index anew with `pecl index FOLDER --anew`")
