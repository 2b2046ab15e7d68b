"""The files in an index's folder that are its own, by their names: no other is ever removed or overwritten.

A folder that holds anything else, and no head of an index, is not taken for an index.
"""

import contextlib
import os
import re
import stat
from pathlib import Path

from pecl.errors import ConfigError, DataError
from pecl.files import LOCK, remove_abandoned_files
from pecl.search.catalogue import HEAD

_GENERATION = re.compile(r"(?:photographs|embeddings)-(?P<generation>[0-9a-f]{16})\.(?:jsonl|safetensors)", re.ASCII)
_TEMPORARY = re.compile(r"\.(?P<target>.+)\.[0-9a-f]{16}\.tmp", re.ASCII)  # see `pecl.files.write_bytes`


def has_head(folder: Path) -> bool:
    """Say whether a folder holds the head of an index, sound or not."""
    return os.path.lexists(folder / HEAD)


def check_own(folder: Path) -> None:
    """Raise ConfigError where a folder that is to hold an index holds other files, and no index."""
    if not folder.is_dir() or has_head(folder):
        return
    with os.scandir(folder) as listing:
        other = sorted(one.name for one in listing if one.name != LOCK and not _is_own(_target(one.name)))
    if other:
        raise ConfigError(
            f"{folder} holds {other[0]} and no index: move it away, or name an empty or new folder with --out"
        )


def remove_others(folder: Path, generation: str) -> None:
    """Remove the files of all generations of an index but one, and temporary files that a killed process left."""
    for name in regular_files(folder):
        target = _target(name)
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


def _target(name: str) -> str:
    """Return the target name of a temporary file, and the own name of any other file."""
    found = _TEMPORARY.fullmatch(name)
    return name if found is None else found["target"]


def _is_own(name: str) -> bool:
    return name == HEAD or _GENERATION.fullmatch(name) is not None
