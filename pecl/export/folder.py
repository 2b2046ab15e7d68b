"""Folders that are whole or absent: filled under another name beside the target, and renamed when complete."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from pecl.errors import OutputError
from pecl.files import check_writable


@contextlib.contextmanager
def new_folder(target: str | Path) -> Iterator[Path]:
    """Yield an empty folder, which gets the name `target` when the body has filled it; after an error nothing is left.

    What a killed process left under the other name is removed by the next export to the same target.

    Raises:
        OutputError: `target` exists already, or cannot be written.
    """
    target = Path(target)
    check_absent(target)
    with contextlib.ExitStack() as stack:
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            prefix = f".{target.name}."
            _remove_abandoned(target.parent, prefix)
            folder = Path(tempfile.mkdtemp(prefix=prefix, suffix=".tmp", dir=target.parent))
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
            stack.callback(os.close, _hold(folder))
            yield folder
            folder.chmod(0o755)  # a temporary folder is its owner's alone
            os.rename(folder, target)
        except OSError as error:
            raise OutputError(f"cannot write {target}: {error.strerror or error}") from error


def check_absent(target: str | Path) -> None:
    """Raise OutputError if `target` exists, or cannot be made; makes nothing."""
    target = Path(target)
    try:
        exists = target.exists() or target.is_symlink()
    except OSError as error:  # its name is too long
        raise OutputError(f"cannot write {target}: {error.strerror}") from error
    if exists:
        raise OutputError(f"{target} exists already: choose another folder, or delete it first")
    check_writable(target.parent)


def _hold(folder: Path) -> int:
    """Return an open descriptor of `folder` that holds its lock for as long as this process lives."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    with contextlib.suppress(OSError):  # no locks on this file system: then nobody removes it
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return descriptor


def _remove_abandoned(parent: Path, prefix: str) -> None:
    """Remove the folders of killed exports: those whose lock nobody holds."""
    for name in os.listdir(parent):
        folder = parent / name
        if name.startswith(prefix) and name.endswith(".tmp") and folder.is_dir():
            with contextlib.suppress(OSError):  # held by another export, or not ours
                descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(folder)
                finally:
                    os.close(descriptor)
