"""Find the photographs in a folder of any depth, without opening a file."""

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from pecl.errors import DataError
from pecl.files.images import ImageFiles

# HEIC needs pillow-heif (extra `search`), and JPEG XL pillow-jxl-plugin; without them such files
# are unreadable.
IMAGE_SUFFIXES = (
    *(".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"),
    *(".avif", ".heic", ".heif", ".jxl"),
)
SIDECAR_SUFFIX = ".xmp"


class Stamp(NamedTuple):
    """The state of a file, from the listing of its folder. A change of content or permissions changes the stamp."""

    size: int  # bytes
    mtime_ns: int  # last change of the content; any program can set it
    ctime_ns: int  # last change of content, name or permissions; only the system sets it
    inode: int


NO_STAMP = Stamp(0, 0, 0, 0)  # stamp of a file whose state cannot be read


class Sidecar(NamedTuple):
    """A file of XMP next to a photograph, with its path relative to the searched folder."""

    name: str
    stamp: Stamp


@dataclass(frozen=True)
class Photograph:
    """A file, with its path relative to the searched folder, with `/`; a link has the state of its target."""

    name: str
    stamp: Stamp
    sidecars: tuple[Sidecar, ...] = ()  # IMG_1.jpg.xmp, then IMG_1.xmp


@dataclass(frozen=True)
class PhotographFolder:
    """The photographs of a folder, sorted by name; and, by name, why files or folders in it could not be read."""

    root: Path
    photographs: tuple[Photograph, ...]
    unreadable: dict[str, str]

    def images(self) -> ImageFiles:
        """Return the files as images; their `ids` are the names without folders."""
        return ImageFiles(tuple(self.root / photograph.name for photograph in self.photographs))


def check_folder(folder: str | Path) -> Path:
    """Return the path of a folder; raise DataError if it is none."""
    root = Path(folder)
    if not root.is_dir():
        raise DataError(f"{folder}: expected a folder of photographs, found {'a file' if root.exists() else 'none'}")
    return root


def find_photographs(folder: str | Path) -> PhotographFolder:
    """Return the photographs in a folder and all folders below.

    A photograph is a file whose name ends with one of `IMAGE_SUFFIXES`. Hidden files and folders
    are skipped; links to folders are not followed. Raise DataError for a folder that cannot be read.
    """
    root = check_folder(folder)
    photographs: list[Photograph] = []
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

        sidecars = _find_sidecars(below, entries)
        for entry in entries:
            name = below + entry.name
            try:
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(f"{name}/")
                elif entry.name.lower().endswith(IMAGE_SUFFIXES):
                    stem = name.rpartition(".")[0]
                    photographs.append(
                        Photograph(name, _stamp(entry), (*sidecars.get(name, ()), *sidecars.get(stem, ())))
                    )
            except OSError as error:
                unreadable[name] = error.strerror or str(error)

    return PhotographFolder(root, tuple(sorted(photographs, key=lambda photograph: photograph.name)), unreadable)


def _find_sidecars(below: str, entries: list[os.DirEntry[str]]) -> dict[str, list[Sidecar]]:
    """Return the sidecars in the folder `below`, by their name without `.xmp`: that of a photograph, or its stem."""
    sidecars: dict[str, list[Sidecar]] = {}
    for entry in entries:
        if not entry.name.lower().endswith(SIDECAR_SUFFIX):
            continue

        name = below + entry.name
        with contextlib.suppress(OSError):  # it is gone again, or a link to itself
            if entry.is_file():
                sidecars.setdefault(name[: -len(SIDECAR_SUFFIX)], []).append(Sidecar(name, _stamp(entry)))
    return sidecars


def _stamp(entry: os.DirEntry[str]) -> Stamp:
    state = entry.stat()
    return Stamp(state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino)
