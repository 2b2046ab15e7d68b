"""What an index may name, and which files in its folder are its own.

A folder of photographs may come from anybody, with an index in it. So an index that lies in its folder is always the
index of that folder, and its head names no server. Everything else comes from this user's own record of the index, one
JSON file in the folder of caches, which `pecl index` writes: the folder of photographs of an index that lies elsewhere,
and the collections of Qdrant that were made for it.

The index's own files are known by their names: no other is ever removed or overwritten. A folder that holds anything
else, and no head of an index, is not taken for an index.
"""

import contextlib
import os
import re
import stat
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

from pecl.errors import ConfigError, DataError, unknown
from pecl.files import LOCK, default_cache_dir, load_json, remove_abandoned_files, sha256_bytes, write_json
from pecl.search.catalogue import HEAD, HIDDEN, Head, damaged
from pecl.search.engines import ENGINES, EngineKind, engine_kind

_GENERATION = re.compile(r"(?:photographs|embeddings)-(?P<generation>[0-9a-f]{16})\.(?:jsonl|safetensors)", re.ASCII)
_TEMPORARY = re.compile(r"\.(?P<target>.+)\.[0-9a-f]{16}\.tmp", re.ASCII)  # see `pecl.files.write_bytes`


class Collection(NamedTuple):
    """A collection of a Qdrant server."""

    url: str
    name: str

    def __str__(self) -> str:
        return f"collection {self.name} of qdrant at {self.url}"


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
    """Record an index, unless the record says all that already."""
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


def has_head(folder: Path) -> bool:
    """Say whether a folder holds the head of an index, sound or not."""
    return os.path.lexists(folder / HEAD)


def check_own(folder: Path) -> None:
    """Raise ConfigError where a folder that is to hold an index holds other files, and no index."""
    if not folder.is_dir() or has_head(folder):
        return
    with os.scandir(folder) as listing:
        other = sorted(one.name for one in listing if one.name != LOCK and not _is_own(target_of(one.name)))
    if other:
        raise ConfigError(
            f"{folder} holds {other[0]} and no index: move it away, or name an empty or new folder with --out"
        )


def remove_others(folder: Path, generation: str) -> None:
    """Remove the files of all generations of an index but one, and temporary files that a killed process left."""
    for name in regular_files(folder):
        target = target_of(name)
        found = _GENERATION.fullmatch(name)
        if found is not None and found["generation"] != generation:
            folder.joinpath(name).unlink(missing_ok=True)
        elif target != name and _is_own(target):
            remove_abandoned_files(folder, target)


def remove_generation(folder: Path, generation: str) -> None:
    """Remove the files of a generation that was not completed; its head was not written."""
    for name in regular_files(folder):
        found = _GENERATION.fullmatch(name)
        if found is not None and found["generation"] == generation:
            folder.joinpath(name).unlink(missing_ok=True)


def real_folder(path: Path) -> bool:
    """Say whether a folder within an index is there.

    Raises:
        DataError: there is a link, or something else, in its place.
    """
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISDIR(path.lstat().st_mode):
            raise DataError(f"{path} is a link or a file, expected a folder: move it away")
        return True
    return False


def regular_files(folder: Path) -> list[str]:
    """Return the sorted names of the regular files in a folder, without links."""
    with os.scandir(folder) as listing:
        return sorted(one.name for one in listing if one.is_file(follow_symlinks=False))


def target_of(name: str) -> str:
    """Return the target name of a temporary file, and the own name of any other file."""
    found = _TEMPORARY.fullmatch(name)
    return name if found is None else found["target"]


def _is_own(name: str) -> bool:
    return name == HEAD or _GENERATION.fullmatch(name) is not None
