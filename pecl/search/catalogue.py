"""The content of an index without its embeddings: `pecl-index.json`, and a JSON line for each photograph.

An index is a folder. The head, `pecl-index.json`, names a generation; its files bear the generation in their names and
are never changed. A renewal writes the files of a new generation first, then the head, atomically, and removes the old
files last: a reader sees one generation or the other, whatever kills the writer.

An index may come with a folder that somebody else made, so it is data: all of it is checked when it is read, links are
refused, and `trust` decides which folder and which server it may name.
"""

import hmac
import json
import re
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pecl.data.custom.photographs import Stamp
from pecl.errors import DataError
from pecl.files import inside, is_sha256, parse_json, read_bytes_limited, sha256_bytes, write_bytes

HEAD = "pecl-index.json"
HIDDEN = ".pecl-index"  # the index of a folder, unless another place is named
FORMAT, VERSION = "pecl-index", 3
TOWERS = ("image", "text")
_FORMS = {
    "generation": re.compile(r"[0-9a-f]{16}", re.ASCII),
    "salt": re.compile(r"[0-9a-f]{32}", re.ASCII),
    "collection": re.compile(r"(pecl-[0-9a-f]{16})?", re.ASCII),
    "references": re.compile(r"([0-9a-f]{64})?", re.ASCII),
}


@dataclass(frozen=True)
class Entry:
    """A photograph of an index."""

    name: str  # path relative to the folder of photographs, with `/`
    stamp: Stamp  # state of the file when it was read
    fingerprint: str  # hash of its content, see `ImageFiles.fingerprint`


@dataclass(frozen=True)
class Unreadable:
    """A file that is named like a photograph and cannot be read as one; it is tried again when its stamp changes."""

    name: str
    stamp: Stamp
    reason: str


@dataclass(frozen=True)
class Head:
    """The head of an index of N photographs with embeddings of width D."""

    root: str  # folder of the photographs; relative to the index where that lies within
    profile: str  # name of the pair of towers
    towers: dict[str, dict[str, str]]  # name and fingerprint of the `image` tower, and of the `text` tower of its pair
    width: int  # D
    count: int  # N
    engine: str = "store"  # vector backend, `store` or `qdrant`
    collection: str = ""  # name of the collection of Qdrant; empty with `store`
    thumbnails: bool = False  # whether the index keeps small pictures
    salt: str = ""  # 32 random hexadecimal digits, which make the ids of photographs unpredictable
    decoders: str = ""  # packages that decode images, with their versions: others may read what these could not
    generation: str = ""  # 16 hexadecimal digits
    # By name, the SHA-256 of the list of photographs, and of the embeddings if the engine keeps them in the folder.
    files: dict[str, str] = field(default_factory=dict)
    unreadable: tuple[Unreadable, ...] = ()  # files that are named like photographs and are not in the index
    references: str = ""  # fingerprint of the captions that correct hubs, see `pecl.retrieval.hubs`; empty without
    languages: tuple[str, ...] = ()  # codes of the languages of queries, which detection chooses from; empty for all

    @property
    def fingerprints(self) -> dict[str, str]:
        """Fingerprint of the `image` and the `text` tower."""
        return {which: tower["fingerprint"] for which, tower in self.towers.items()}


def photograph_id(salt: str, name: str) -> str:
    """Return the id of a photograph within an index: 32 hexadecimal digits.

    Nobody without the index's salt can tell an id from a path, or a path from an id.
    """
    return hmac.digest(salt.encode("ascii"), name.encode("utf-8", "surrogateescape"), "sha256").hex()[:32]


def photographs_file(folder: Path, generation: str) -> Path:
    """Return the path of the list of photographs."""
    return folder / f"photographs-{generation}.jsonl"


def write_entries(folder: Path, generation: str, entries: list[Entry]) -> str:
    """Write the list of photographs of a generation and return the SHA-256 of the file."""
    lines = (json.dumps([e.name, *e.stamp, e.fingerprint], separators=(",", ":")) for e in entries)
    content = "".join(f"{line}\n" for line in lines).encode("ascii")
    write_bytes(photographs_file(folder, generation), content)
    return sha256_bytes(content)


def write_head(folder: Path, head: Head) -> None:
    """Write the head, which makes its generation the one that is read."""
    unreadable = [[one.name, *one.stamp, one.reason] for one in head.unreadable]
    document = {"format": FORMAT, "version": VERSION, **asdict(head), "unreadable": unreadable}
    signed = {**document, "sha256": _digest(document)}
    write_bytes(folder / HEAD, json.dumps(signed, indent=1).encode("ascii") + b"\n")


def _digest(document: dict[str, Any]) -> str:
    """Return the SHA-256 of a head; names of files may hold bytes that are not UTF-8, which ASCII escapes."""
    return sha256_bytes(json.dumps(document, sort_keys=True).encode("ascii"))


def read_head(folder: Path) -> Head:
    """Read the head of the index in `folder`.

    Raises:
        DataError: it is missing, damaged, a link, or of another version.
    """
    path = folder / HEAD
    try:
        document = parse_json(read_bytes_limited(path, follow=False), halves=True)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error
    except ValueError as error:
        raise damaged(path, str(error)) from error
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise damaged(path, "it does not say that it is the head of an index")
    if document.get("version") != VERSION:
        found = document.get("version")
        raise DataError(f"{path}: expected version {VERSION}, got {found!r}: run `pecl index FOLDER --rebuild`")
    if document.pop("sha256", None) != _digest(document):
        raise damaged(path, "its content has changed since it was written")
    fields = {key: value for key, value in document.items() if key not in ("format", "version")}
    try:
        unreadable = tuple(_unreadable(one) for one in fields.pop("unreadable"))
        languages = tuple(_text(code) for code in fields.pop("languages", ()))
        head = Head(**fields, unreadable=unreadable, languages=languages)
        _check_head(head)
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        raise damaged(path, str(error)) from error
    return head


def _unreadable(line: Any) -> Unreadable:
    name, *stamp, reason = line
    return Unreadable(_checked_name(name), _stamp(stamp), _text(reason))


def _check_head(head: Head) -> None:
    """Raise ValueError or TypeError unless the fields have the types and ranges that readers rely on."""
    for text in (head.root, head.profile, head.engine, head.decoders, *head.files, *head.files.values()):
        _text(text)
    for name in TOWERS:
        _text(head.towers[name]["name"])
        if not is_sha256(head.towers[name]["fingerprint"]):
            raise ValueError(f"the fingerprint of the {name} tower is not one")
    if "\0" in head.root or not head.root:
        raise ValueError("its folder of photographs has no name")
    if not all(type(number) is int and number > 0 for number in (head.width, head.count)):
        raise ValueError("width and count are not whole numbers above 0")
    if type(head.thumbnails) is not bool:
        raise TypeError("thumbnails is neither true nor false")
    for name, form in _FORMS.items():
        if not form.fullmatch(getattr(head, name)):
            raise ValueError(f"{name} is {getattr(head, name)!r}, which pecl would not write")


def read_entries(folder: Path, head: Head) -> list[Entry]:
    """Read the photographs of a generation, in the order of their embeddings.

    Raises:
        FileNotFoundError: the generation was removed by a renewal.
        DataError: the list is damaged, or names a file outside the folder of photographs.
    """
    path = photographs_file(folder, head.generation)
    try:
        content = read_bytes_limited(path, 1 << 32, follow=False)  # bytes: some ten million lines
    except FileNotFoundError:
        raise
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error
    if sha256_bytes(content) != head.files.get("photographs"):
        raise damaged(path, "its content has changed since it was written")
    try:
        lines = parse_json(b"[" + b",".join(content.splitlines()) + b"]", halves=True)
        entries = [_entry(line) for line in lines]
    except (ValueError, TypeError) as error:
        raise damaged(path, str(error)) from error
    if len(entries) != head.count or len({entry.name for entry in entries}) != head.count:
        raise damaged(path, f"it has {len(entries)} photographs, expected {head.count} of different names")
    return entries


def _entry(line: Any) -> Entry:
    name, *stamp, fingerprint = line
    if not is_sha256(fingerprint):
        raise ValueError(f"expected a fingerprint of 64 hexadecimal digits, got {fingerprint!r}")
    return Entry(_checked_name(name), _stamp(stamp), fingerprint)


def _checked_name(name: Any) -> str:
    """Return the name of a file; raise ValueError where it leads out of the folder of photographs."""
    inside(".", _text(name))
    return name


def _stamp(numbers: list[Any]) -> Stamp:
    if any(type(number) is not int for number in numbers):
        raise ValueError("size, times and number of a file are not whole numbers")
    return Stamp(*numbers)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"expected a text, got {type(value).__name__}")
    return value


def damaged(path: Path, reason: Any) -> DataError:
    """Return the error for a file of an index that is not as it was written."""
    return DataError(f"{path} is damaged ({reason}): run `pecl index FOLDER --rebuild` to make the index again")
