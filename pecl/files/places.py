"""Places of files: the folder of caches, a check for writable folders, and names that stay inside a folder."""

import os
from pathlib import Path

from pecl.errors import OutputError


def default_cache_dir() -> Path:
    """Return the folder of caches: $PECL_CACHE_DIR, or `~/.cache/pecl`."""
    return Path(os.environ.get("PECL_CACHE_DIR") or Path.home() / ".cache" / "pecl")


def check_writable(folder: str | Path) -> None:
    """Raise OutputError unless `folder`, or the nearest folder above it that exists, can be written; makes nothing."""
    nearest = Path(folder).absolute()
    try:
        while not nearest.exists():
            nearest = nearest.parent
    except OSError as error:  # a name is too long, or a link leads in a circle
        raise OutputError(f"cannot write into {folder}: {error.strerror}") from error
    if not nearest.is_dir():
        raise OutputError(f"cannot write into {folder}: {nearest} is a file, expected a folder")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise OutputError(f"cannot write into {folder}: no permission to write in {nearest}")


def is_path(name: str) -> bool:
    """Say whether `name` is meant as a path: it has a folder or a suffix in it, or is there."""
    return len(Path(name).parts) > 1 or Path(name).suffix != "" or os.path.exists(name)  # False for a too long name


def inside(root: str | Path, name: str) -> Path:
    """Return the path of `name` in the folder `root`; looks at the name only, not at links on the way.

    Raises:
        ValueError: the name is empty or absolute, leads out of the folder, or holds a NUL.
    """
    parts = name.split("/")
    if any(part in ("", ".", "..") for part in parts) or "\0" in name:
        raise ValueError(f"expected the relative path of a file in a folder, got {name!r}")
    return Path(root, *parts)


def is_inside(root: str | Path, path: str | Path) -> bool:
    """Say whether `path`, its links followed, lies in the folder `root`."""
    return Path(path).resolve().is_relative_to(Path(root).resolve())
