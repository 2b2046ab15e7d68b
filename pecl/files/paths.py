"""Paths: checks before anything is written, and the folder of caches."""

import contextlib
import os
from pathlib import Path

from pecl.errors import OutputError


def check_absent(target: str | Path) -> None:
    """Raise OutputError if `target` exists, or cannot be created; create nothing."""
    target = Path(target)
    if target.exists() or target.is_symlink():
        raise OutputError(f"{target} exists already: choose another folder, or delete it first")
    check_writable(target.parent)


def default_cache_dir() -> Path:
    """Return the folder of caches: $PECL_CACHE_DIR, or `~/.cache/pecl`."""
    return expanded(os.environ.get("PECL_CACHE_DIR") or Path.home() / ".cache" / "pecl")


def check_writable(folder: str | Path) -> None:
    """Raise OutputError unless `folder`, or the nearest folder above it that exists, can be written; create nothing."""
    nearest = Path(folder).absolute()
    while not nearest.exists():
        nearest = nearest.parent
    if not nearest.is_dir():
        raise OutputError(f"cannot write into {folder}: {nearest} is a file, expected a folder")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise OutputError(f"cannot write into {folder}: no permission to write in {nearest}")


def make_private(folder: Path) -> None:
    """Let only the user enter a folder, which is made if missing, and read its files, if others could until now."""
    with contextlib.suppress(OSError):  # another user's, or a file system without rights
        folder.mkdir(parents=True, exist_ok=True)
        if folder.stat().st_mode & 0o077:
            folder.chmod(0o700)
            for path in folder.iterdir():
                if path.is_file() and not path.is_symlink():
                    path.chmod(0o600)


def expanded(name: str | Path) -> Path:
    """Return a path with the home folder for `~` or `~user`; unchanged if nobody has that home, so it is missing."""
    return Path(os.path.expanduser(name))


def is_path(name: str) -> bool:
    """Return whether `name` is meant as a path: it has a folder or a suffix in it, or exists."""
    return len(Path(name).parts) > 1 or Path(name).suffix != "" or os.path.exists(name)  # False for a too long name
