"""The index of a folder of photographs: its location, and the content of its one file.

An index is an SQLite file, `pecl-index.sqlite`, with a row per photograph: its file, embedding, hub
correction, words and thumbnail. It lies in the user's data folder, in one folder per folder of
photographs, or in the folder that `--out` names. An update is one transaction: a reader gets the
index either before it or after it. Only the user can read it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from platformdirs import user_data_path

from pecl.data.custom.photographs import Stamp
from pecl.errors import DataError, OutputError, command
from pecl.files import LOCK, make_private, parse_json, write_bytes

FILE = "pecl-index.sqlite"
VERSION = 4
# fingerprints of the photographs that an update embeds, a line each; it is left by a killed update
STARTED = ".pecl-index.started"
# all files of an index, besides its lock; `.new` is left by a process that was killed while it made the index
FILES = (FILE, f"{FILE}-journal", f".{FILE}.new", f".{FILE}.new-journal", STARTED)
_INDEXES = "indexes"  # folder of all indexes, within the user's data folder
_PATIENCE = 60.0  # seconds that a reader waits for a transaction's end
_TOLERANCE = 1e-2  # allowed difference of an embedding's length from 1
_SCHEMA = (
    "CREATE TABLE head (document TEXT NOT NULL)",
    "CREATE TABLE photographs (id INTEGER PRIMARY KEY, name BLOB NOT NULL UNIQUE, stamp TEXT NOT NULL, "
    "fingerprint TEXT NOT NULL, embedding BLOB, correction REAL, taken TEXT)",
    "CREATE TABLE unreadable (name BLOB PRIMARY KEY, stamp TEXT NOT NULL, reason TEXT NOT NULL)",
    "CREATE TABLE thumbnails (fingerprint TEXT PRIMARY KEY, jpeg BLOB NOT NULL)",
)


class UnavailableError(DataError):
    """An index cannot be read now: another program has locked it, or a disk failed. It may be whole."""


class Entry(NamedTuple):
    """A photograph of an index."""

    name: str  # path relative to the folder of photographs, with `/`
    stamp: Stamp  # state of the file when it was read
    fingerprint: str  # hash of its content, see `ImageFiles.fingerprint`


class Unreadable(NamedTuple):
    """A file with the suffix of an image that cannot be read; it is tried again when its stamp changes."""

    name: str
    stamp: Stamp
    reason: str


@dataclass(frozen=True)
class Head:
    """Metadata of an index with embeddings of width D."""

    root: str  # folder of the photographs
    profile: str  # name of the pair of towers
    # name and fingerprint of `image` and `text`
    towers: dict[str, dict[str, str]] = field(default_factory=dict)
    width: int = 0  # D
    url: str = ""  # Qdrant server with the embeddings; empty for the exact search
    collection: str = ""  # its collection there
    thumbnails: bool = False  # whether the index has thumbnails
    # image decoders with versions; after a change, unreadable files are tried again
    decoders: str = ""
    # fingerprint of the captions that correct hubs, see `pecl.retrieval.hubs`; or empty
    references: str = ""
    # codes of the languages of queries; empty for those of the system
    languages: tuple[str, ...] = ()
    # whether the index holds words and days of photographs, see `pecl.apps.search.words`
    words: bool = True
    generation: str = ""  # random digits, new with each update
    version: int = VERSION

    @property
    def engine(self) -> str:
        """Vector backend, `exact` or `qdrant`."""
        return "qdrant" if self.url else "exact"

    @property
    def fingerprints(self) -> dict[str, str]:
        """Fingerprint of the `image` and the `text` tower."""
        return {which: tower["fingerprint"] for which, tower in self.towers.items()}


class Catalogue(NamedTuple):
    """The content of an index of N photographs, in the order of their names."""

    head: Head
    entries: list[Entry]
    matrix: np.ndarray | None  # (N, D) float32, each row of length 1; None if a Qdrant server searches
    corrections: np.ndarray | None  # (N,) float32; None without reference captions
    unreadable: dict[str, Unreadable]


def index_folder(photographs: str | Path) -> Path:
    """Return the folder of the index of a folder of photographs: below $PECL_INDEX_DIR, or the user's data folder."""
    root = Path(photographs).resolve()
    base = os.environ.get("PECL_INDEX_DIR") or user_data_path("pecl") / _INDEXES
    digest = hashlib.sha256(os.fsencode(root)).hexdigest()[:16]
    return Path(base) / f"{root.name or 'root'}-{digest}"


def photograph_id(name: str) -> str:
    """Return the id of a photograph within an index: 32 hexadecimal digits."""
    return hashlib.sha256(os.fsencode(name)).hexdigest()[:32]


def shown_name(name: str) -> str:
    """Return the name of a photograph or folder as text that JSON can hold; names need not be UTF-8."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def narrow(folder: Path) -> None:
    """Let only the user read the index in `folder`, and the folder itself if it has no other files.

    The same holds for the folder above it, which names the folders of photographs, if it has all indexes.
    """
    with contextlib.suppress(OSError):  # another user's, or a file system without rights
        for name in FILES:
            if (folder / name).exists():
                (folder / name).chmod(0o600)
        if set(os.listdir(folder)) <= {*FILES, LOCK}:
            make_private(folder)
    if folder.parent == user_data_path("pecl") / _INDEXES:
        make_private(folder.parent)


def write_started(folder: Path, fingerprints: Iterable[str]) -> None:
    """Write the fingerprints of the photographs whose embeddings an update is about to cache."""
    content = "".join(f"{fingerprint}\n" for fingerprint in sorted(fingerprints))
    write_bytes(folder / STARTED, content.encode(), private=True)


def read_started(folder: Path) -> set[str]:
    """Return the fingerprints that a killed update of the index in `folder` left; none if it was not killed."""
    path = folder / STARTED
    return set(path.read_text("utf-8").split()) if path.is_file() else set()


@contextlib.contextmanager
def connected(folder: Path) -> Iterator[sqlite3.Connection]:
    """Connect to the index in `folder`, to read it in one transaction.

    Raises:
        DataError: there is no index, or it is damaged.
        UnavailableError: it cannot be read now.
    """
    path = folder / FILE
    if not path.is_file() or not path.stat().st_size:
        raise DataError(f"{folder}: there is no index in it")

    try:
        # SQLite only reads if the file is not writable
        with _transaction(path, "rw", "BEGIN") as database:
            yield database
    except sqlite3.Error as error:
        # A lost table is damage; a lock, or a disk that fails, may pass
        if isinstance(error, sqlite3.OperationalError) and not str(error).startswith("no such"):
            raise UnavailableError(f"cannot read {path}: {error}; try again") from error
        raise damaged(path, error) from error


@contextlib.contextmanager
def writing(folder: Path, *, new: bool) -> Iterator[sqlite3.Connection]:
    """Connect to the index in `folder`, to change it in one transaction; an error in the body rolls back.

    With `new` the body fills an empty index, which then replaces the existing one. No reader gets a
    half-written index: a new one appears only by `os.replace`, and a change only by the commit.

    Raises:
        DataError: the index is damaged.
        OutputError: it cannot be written.
    """
    path = folder / (f".{FILE}.new" if new else FILE)
    try:
        if new:
            path.unlink(missing_ok=True)  # left by a killed process
            # SQLite gives its journal the same rights
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))

        with _transaction(path, "rwc" if new else "rw", "BEGIN IMMEDIATE") as database:
            if new:
                for statement in _SCHEMA:
                    database.execute(statement)
            yield database

        if new:
            # SQLite would apply the journal of the replaced file, left by a killed process, to the new one
            (folder / f"{FILE}-journal").unlink(missing_ok=True)
            os.replace(path, folder / FILE)
    except sqlite3.OperationalError as error:  # a full disk
        raise OutputError(f"cannot write {path}: {error}") from error
    except sqlite3.Error as error:
        raise damaged(path, error) from error
    finally:
        if new:
            path.unlink(missing_ok=True)


@contextlib.contextmanager
def _transaction(path: Path, mode: str, begin: str) -> Iterator[sqlite3.Connection]:
    address = f"{path.absolute().as_uri()}?mode={mode}"
    connection = sqlite3.connect(address, timeout=_PATIENCE, uri=True, isolation_level=None)
    with contextlib.closing(connection), connection:  # commits or rolls back, then closes
        connection.execute("PRAGMA secure_delete = ON")  # what is deleted is written over
        connection.execute(begin)
        yield connection


def read_head(folder: Path) -> Head:
    """Read the head of the index in `folder`; raise DataError if it is missing, damaged or of another version."""
    with connected(folder) as database:
        return _head(folder, database)


def _head(folder: Path, database: sqlite3.Connection) -> Head:
    path = folder / FILE
    try:
        (text,) = database.execute("SELECT document FROM head").fetchone()
        document: dict[str, Any] = parse_json(text)
        version = document.get("version")
        if version == VERSION:
            document.pop("pair", None)  # written by earlier versions of pecl
            return Head(**{**document, "languages": tuple(document["languages"])})
    except (TypeError, ValueError, KeyError) as error:
        raise damaged(path, error) from error

    raise DataError(
        f"{path}: expected version {VERSION}, got {version!r}: run {command('index', 'FOLDER', rebuild=True)}"
    )


def read_catalogue(folder: Path, to_search: bool = False) -> Catalogue:
    """Read an index; `to_search` omits the embeddings if a Qdrant server searches in them.

    Raises:
        DataError: it is missing or damaged, or its matrix has the wrong size or holds NaN or infinity.
    """
    with connected(folder) as database:
        head = _head(folder, database)
        (count,) = database.execute("SELECT count(*) FROM photographs").fetchone()
        matrix = None if head.url and to_search else np.empty((count, head.width), np.float32)
        corrections = np.empty(count, np.float32) if head.references else None

        entries: list[Entry] = []
        fields = "name, stamp, fingerprint, embedding, correction"
        try:
            rows = database.execute(f"SELECT {fields} FROM photographs ORDER BY name")
            for row, (name, stamp, fingerprint, embedding, correction) in enumerate(rows):
                entries.append(Entry(os.fsdecode(name), _stamp(stamp), fingerprint))
                if matrix is not None:
                    matrix[row] = np.frombuffer(embedding, np.float32)
                if corrections is not None:
                    corrections[row] = correction
            rows = database.execute("SELECT name, stamp, reason FROM unreadable ORDER BY name")
            failed = [Unreadable(os.fsdecode(name), _stamp(stamp), reason) for name, stamp, reason in rows]
        except (TypeError, ValueError) as error:  # an embedding of another size
            raise damaged(folder / FILE, error) from error

    if matrix is not None:
        lengths = np.sqrt(np.einsum("nd,nd->n", matrix, matrix))
        if not (np.abs(lengths - 1) < _TOLERANCE).all():  # NaN fails, too
            raise damaged(folder / FILE, "its embeddings contain NaN, or are not of length 1")
        matrix.flags.writeable = False

    if corrections is not None and not np.isfinite(corrections).all():
        raise damaged(folder / FILE, "its corrections contain NaN or infinity")
    return Catalogue(head, entries, matrix, corrections, {photograph.name: photograph for photograph in failed})


def write_head(
    database: sqlite3.Connection,
    head: Head,
    unreadable: Iterable[Unreadable] | None = None,
) -> None:
    """Replace the head and, if given, the list of unreadable files."""
    database.execute("DELETE FROM head")
    database.execute("INSERT INTO head VALUES (?)", [json.dumps(asdict(head))])
    if unreadable is not None:
        database.execute("DELETE FROM unreadable")
        rows = [
            (os.fsencode(photograph.name), _written(photograph.stamp), photograph.reason) for photograph in unreadable
        ]
        database.executemany("INSERT INTO unreadable VALUES (?, ?, ?)", rows)


def write_entry(
    database: sqlite3.Connection,
    entry: Entry,
    embedding: np.ndarray,
    correction: float | None,
) -> None:
    """Insert or replace a photograph with its embedding (D,) float32 and its hub correction."""
    content = np.ascontiguousarray(embedding, np.float32).tobytes()
    database.execute(
        "INSERT INTO photographs (name, stamp, fingerprint, embedding, correction) VALUES (?, ?, ?, ?, ?) "
        "ON CONFLICT (name) DO UPDATE SET stamp = excluded.stamp, fingerprint = excluded.fingerprint, "
        "embedding = excluded.embedding, correction = excluded.correction",
        [os.fsencode(entry.name), _written(entry.stamp), entry.fingerprint, content, correction],
    )


def _stamp(text: str) -> Stamp:
    return Stamp(*map(int, text.split()))


def _written(stamp: Stamp) -> str:
    return " ".join(map(str, stamp))


def damaged(path: Path, reason: object) -> DataError:
    """Return the error for a damaged index."""
    return DataError(
        f"{path} is damaged ({reason}): make the index again with {command('index', 'FOLDER', rebuild=True)}"
    )
