"""Folders that are whole or absent: filled under another name next to the target, and renamed when complete.

Also the folder of caches, a check for writable folders, and names that stay inside a folder.
"""

import contextlib
import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from pecl.errors import OutputError
from pecl.files.atomic import remove_abandoned_files


@contextlib.contextmanager
def new_folder(target: str | Path) -> Iterator[Path]:
    """Yield an empty folder, which gets the name `target` when the body has filled it; after an error nothing is left.

    The next call for the same target removes the folder that a killed process left under the other name.

    Raises:
        OutputError: `target` exists already, or cannot be written.
    """
    target = Path(target)
    check_absent(target)
    with contextlib.ExitStack() as stack:
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            remove_abandoned_files(target.parent, target.name)
            folder = target.with_name(f".{target.name}.{secrets.token_hex(8)}.pecl-tmp")
            folder.mkdir()
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
            held = os.open(folder, os.O_RDONLY)
            stack.callback(os.close, held)
            with contextlib.suppress(OSError):  # no locks on this file system: then nobody removes it
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield folder
            os.rename(folder, target)
        except OSError as error:
            raise OutputError(f"cannot write {target}: {error.strerror or error}") from error


def check_absent(target: str | Path) -> None:
    """Raise OutputError if `target` exists, or cannot be made; makes nothing."""
    target = Path(target)
    if target.exists() or target.is_symlink():
        raise OutputError(f"{target} exists already: choose another folder, or delete it first")
    check_writable(target.parent)


def default_cache_dir() -> Path:
    """Return the folder of caches: $PECL_CACHE_DIR, or `~/.cache/pecl`."""
    return Path(os.environ.get("PECL_CACHE_DIR") or Path.home() / ".cache" / "pecl")


def check_writable(folder: str | Path) -> None:
    """Raise OutputError unless `folder`, or the nearest folder above it that exists, can be written; makes nothing."""
    nearest = Path(folder).absolute()
    while not nearest.exists():
        nearest = nearest.parent
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
