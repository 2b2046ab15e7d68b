"""Files that are whole or absent: every write goes to a temporary file next to the target, which then replaces it.

A reader therefore never sees a partial file, and a kill or a full disk leaves the old file unchanged.
A target other than a regular file, such as /dev/null, is refused: renaming over it would replace the device.
A writer holds an advisory `flock` on its temporary file. A temporary file that nobody holds was left by a killed
writer, and the next write to the same target removes it; a stopped writer still holds its own. No host name or process
id decides: containers on one folder share the first, and each counts the second again. If hosts do not see each
other's locks, one may remove a file that another is writing; the other then writes it again.
"""

import contextlib
import fcntl
import json
import os
import re
import secrets
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from pecl.errors import OutputError

T = TypeVar("T")

# A list of numbers over several lines; no string of JSON holds a line break, so none is ever taken for one.
_NUMBERS = re.compile(r"\[\n[-+.\deE,\s]*\]")
_ATTEMPTS = 100
_TEMPORARY = re.compile(r"\.(?P<target>.+)\.[0-9a-f]{16}\.tmp")  # `_write_once` names it


def write_bytes(path: str | Path, content: bytes) -> Path:
    """Write `content` to `path` atomically (temporary file, fsync, rename); make missing folders.

    Raises:
        OutputError: the folder cannot be written, the disk is full, or `path` is a folder, a pipe or a device. The file
            is then as it was before.
    """
    return _write_atomically(Path(path), lambda file: file.write(content))


def write_stream(path: str | Path, write: Callable[[BinaryIO], object]) -> Path:
    """Write content larger than memory to `path`, as `write_bytes`; `write` is called once, and may seek."""
    begun = False

    def once(file: BinaryIO) -> None:
        nonlocal begun
        if begun:
            raise OutputError(f"cannot write {path}: its temporary file was removed by another process; try again")
        begun = True
        write(file)

    return _write_atomically(Path(path), once)


def _write_atomically(path: Path, write: Callable[[BinaryIO], object]) -> Path:
    try:
        _check_target(path)
        for _ in range(_ATTEMPTS):
            if _write_once(path, write):
                return path
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error
    raise OutputError(f"cannot write {path}: its temporary file was removed {_ATTEMPTS} times by another process")


def _check_target(path: Path) -> None:
    """Raise OutputError if `path` exists and is not a regular file."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):  # the latter is reported when its folder is made
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            kind = "folder" if stat.S_ISDIR(mode) else "pipe or a device"
            raise OutputError(f"cannot write {path}: expected a regular file, got a {kind}")


def _write_once(path: Path, write: Callable[[BinaryIO], object]) -> bool:
    """Write and rename a temporary file that no other process knows; return False if one removed it meanwhile."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    descriptor = open_in_folder(path.parent, lambda: os.open(temporary, flags, 0o666))
    try:
        with open(descriptor, "wb") as file:
            if not _claim(temporary, descriptor):
                return False
            remove_abandoned_files(path.parent, path.name)
            write(file)
            file.flush()
            os.fsync(descriptor)
            with contextlib.suppress(FileNotFoundError):
                os.replace(temporary, path)  # the lock is held until the temporary name is gone
                return True
            return False
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _claim(temporary: Path, descriptor: int) -> bool:
    """Lock a temporary file just made, so that it is not taken for abandoned; return False if it was already."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # no locks on this file system: then nobody can tell that it is abandoned, and it stays
        return True
    return is_at(temporary, descriptor)


def open_in_folder(folder: Path, open_file: Callable[[], T]) -> T:
    """Make `folder` and call `open_file`; repeat if another process removes the empty folder in between."""
    for _ in range(_ATTEMPTS):
        with contextlib.suppress(FileNotFoundError, FileExistsError):
            folder.mkdir(parents=True, exist_ok=True)
            return open_file()
    folder.mkdir(parents=True, exist_ok=True)  # a file in the folder's place fails each time
    return open_file()


def remove_abandoned_files(folder: str | Path, target: str = "") -> None:
    """Remove temporary files (only of the file `target`, if given) that no writer holds."""
    for name in os.listdir(folder):
        found = _TEMPORARY.fullmatch(name)
        if found is not None and target in ("", found["target"]):
            remove_unless_held(Path(folder, name), os.O_RDWR, Path.unlink)  # over NFS a lock needs write access


def remove_unless_held(path: Path, flags: int, remove: Callable[[Path], object]) -> None:
    """Call `remove` for a file or folder, opened with `flags`, unless a process holds its lock."""
    with contextlib.suppress(OSError):  # held, removed by another, not ours to open, or on a file system without locks
        descriptor = os.open(path, flags | os.O_NOFOLLOW)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            remove(path)
        finally:
            os.close(descriptor)


def write_text(path: str | Path, text: str) -> Path:
    """Write `text` to `path` as UTF-8, atomically."""
    return write_bytes(path, text.encode("utf-8"))


def write_json(path: str | Path, document: Any, indent: int | None = 2) -> Path:
    """Write `document` to `path` as UTF-8 JSON with a final newline, atomically.

    Lists of numbers take one line without spaces; with `indent` None, so does the whole document.
    """
    separators = (",", ":") if indent is None else None
    text = json.dumps(document, indent=indent, separators=separators, ensure_ascii=False)
    return write_text(path, _NUMBERS.sub(lambda found: re.sub(r"\s+", "", found[0]), text) + "\n")


def is_at(path: Path, descriptor: int) -> bool:
    """Say whether an open file still is the one at `path`."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
