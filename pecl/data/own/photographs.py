"""A bare folder of photographs, of any depth: what lies in it, found without opening a file."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from pecl.data.captions import ImageFiles
from pecl.errors import DataError

# HEIC and JPEG XL are photographs that Pillow opens with a plug-in alone: without it they are found and unreadable.
SUFFIXES = (
    *(".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"),
    *(".avif", ".heic", ".heif", ".jxl"),
)


@dataclass(frozen=True)
class Photograph:
    """A file as its folder lists it.

    Attributes:
        name: path relative to the folder that was searched, with `/`.
        size: bytes.
        mtime_ns: when it was last written, in nanoseconds.
    """

    name: str
    size: int
    mtime_ns: int


@dataclass(frozen=True)
class PhotographFolder:
    """What a search of a folder found.

    Attributes:
        root: the folder.
        photographs: the files, sorted by name.
        unreadable: why a file or folder below could not be looked at, by its name.
    """

    root: Path
    photographs: tuple[Photograph, ...]
    unreadable: dict[str, str]

    def images(self) -> ImageFiles:
        """Return the files as images; their `ids` are the names without folders."""
        return ImageFiles(tuple(self.root / photograph.name for photograph in self.photographs))


def find_photographs(folder: str | Path, leave_out: Collection[str] = ()) -> PhotographFolder:
    """Return the photographs in a folder and all folders below.

    A photograph is a file whose name ends as one of `SUFFIXES` does. Hidden files and folders, whose names begin with a
    dot, are passed over, and links to folders are not followed.

    Args:
        folder: where to look.
        leave_out: folders below that hold a file of one of these names are passed over.

    Raises:
        DataError: there is no such folder, or it cannot be read.
    """
    root = Path(folder)
    if not root.is_dir():
        raise DataError(
            f"{folder}: expected a folder of photographs, {'got a file' if root.exists() else 'found none'}"
        )
    found: list[Photograph] = []
    unreadable: dict[str, str] = {}
    waiting = [""]
    while waiting:
        below = waiting.pop()
        try:
            with os.scandir(root / below) as listing:
                entries = [entry for entry in listing if not entry.name.startswith(".")]
        except OSError as error:
            if not below:
                raise DataError(f"cannot read the folder {folder}: {error.strerror or error}") from error
            unreadable[below.rstrip("/")] = error.strerror or str(error)
            continue
        if below and not {entry.name for entry in entries}.isdisjoint(leave_out):
            continue
        for entry in entries:
            name = below + entry.name
            try:
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(f"{name}/")
                elif entry.name.lower().endswith(SUFFIXES) and entry.is_file():
                    seen = entry.stat()
                    found.append(Photograph(name, seen.st_size, seen.st_mtime_ns))
                elif entry.name.lower().endswith(SUFFIXES) and entry.is_symlink():
                    unreadable[name] = "a link that leads to no file"
            except OSError as error:
                unreadable[name] = error.strerror or str(error)
    return PhotographFolder(root, tuple(sorted(found, key=lambda photograph: photograph.name)), unreadable)
