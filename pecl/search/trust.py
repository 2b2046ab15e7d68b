"""The folder and the server that an index may name: only those that this user has named for it.

A folder of photographs may come from anybody, with an index in it. So an index that lies in its folder is always the
index of that folder, and its head names no server. Everything else comes from this user's own record of the index, one
JSON file in the folder of caches, which `pecl index` writes: the folder of photographs of an index that lies elsewhere,
and the collections of Qdrant that were made for it.
"""

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

from pecl.errors import DataError, unknown
from pecl.files import default_cache_dir, load_json, sha256_bytes, write_json
from pecl.search.catalogue import HEAD, HIDDEN, Head, damaged
from pecl.search.engines import ENGINES, EngineKind, engine_kind


class Collection(NamedTuple):
    """A collection of a Qdrant server."""

    url: str
    name: str


@dataclass(frozen=True)
class Record:
    """This user's record of an index."""

    root: str  # digest of the path of the folder of photographs
    collections: tuple[Collection, ...] = ()  # those that were made for the index, the last one last

    def url_of(self, collection: str) -> str | None:
        """Return the server of a collection; None where this user has made no such collection."""
        return next((one.url for one in self.collections if one.name == collection), None)


def read_record(folder: Path) -> Record | None:
    """Return this user's record of the index in `folder`; None where there is none that can be read."""
    try:
        document = load_json(_record_file(folder))
        collections = tuple(Collection(str(url), str(name)) for url, name in document["collections"])
        return Record(str(document["root"]), collections)
    except (OSError, ValueError, TypeError, KeyError):
        return None  # the index then counts as somebody else's, which is reported if it matters


def write_record(folder: Path, root: Path, collections: tuple[Collection, ...] = ()) -> None:
    """Record an index, unless the record says all that already.

    Raises:
        OutputError: the folder of caches cannot be written.
    """
    record = Record(_digest(root), collections)
    if record != read_record(folder):
        write_json(_record_file(folder), asdict(record))


def is_own_folder(folder: Path, head: Head) -> bool:
    """Say whether an index is the hidden one of the folder that it lies in, which needs no record."""
    return folder.resolve().name == HIDDEN and head.root == ".."


def named_root(folder: Path, head: Head) -> Path:
    """Return the folder of photographs that a head names, trusted or not; joined with an absolute path, the latter."""
    return (folder / head.root).resolve()


def root_of(folder: Path, head: Head) -> Path:
    """Return the folder of the photographs.

    Raises:
        DataError: the index names another folder than the one that it lies in, and this user has not made it so.
    """
    root = named_root(folder, head)
    if is_own_folder(folder, head):
        return root
    record = read_record(folder)
    if record is None or record.root != _digest(root):
        if folder.resolve().name == HIDDEN:
            raise damaged(folder / HEAD, f"it names {root}, expected the folder that it lies in")
        raise DataError(
            f"{folder} says that it is an index of {root}, and you have not made it here: run `pecl index "
            f"PHOTOGRAPHS --out {folder}` with your folder of photographs"
        )
    return root


def check_hidden(folder: Path) -> None:
    """Raise DataError where the index in a folder of photographs is a link: it leads wherever its maker wanted."""
    if folder.name == HIDDEN and folder.is_symlink():
        raise DataError(f"{folder} is a link, expected a folder: name the index itself, or another with --out")


def _record_file(folder: Path) -> Path:
    return default_cache_dir() / "indexes" / f"{_digest(folder)[:32]}.json"


def _digest(path: Path) -> str:
    return sha256_bytes(os.fsencode(path.resolve()))


def kind_of(place: Path, head: Head, url: str | None) -> EngineKind:
    """Return the vector backend of an index.

    Raises:
        DataError: it is a server that this user has neither named nor made a collection on.
    """
    if head.engine not in ENGINES:
        raise damaged(place / HEAD, unknown("engine", head.engine, ENGINES))
    if head.engine != "store":
        record = read_record(place)
        url = url or (record and record.url_of(head.collection))
        if url is None:
            raise DataError(
                f"{place / HEAD} names a collection of Qdrant that you have not made for it here: name its server with "
                f"--url, or run `pecl index FOLDER --rebuild`"
            )
    return engine_kind(head.engine, url)
