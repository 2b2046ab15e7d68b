"""Files and folders that are whole or absent: each is written under a temporary name, and then renamed.

A reader therefore never gets a partial file, and a kill or a full disk leaves the old file unchanged.
A target other than a regular file, such as /dev/null, is refused: renaming over it would replace the device.
A writer holds an advisory `flock` on its temporary file or folder. A temporary file without a lock was left by a killed
writer, and the next write to the same target removes it; a suspended writer still holds its lock.
"""

import contextlib
import fcntl
import json
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from pecl.errors import OutputError
from pecl.files.paths import check_absent

# A list of numbers over several lines; strings in JSON hold no line breaks, so they never match.
_NUMBERS = re.compile(r"\[\n[-+.\deE,\s]*\]")
# An operating-system error in the words of the Rust libraries that write weights and tokenizers, with their own types
_RUST_OS_ERROR = re.compile(r"([^:]*) \(os error \d+\)")
_TEMPORARY = re.compile(r"\.(?P<target>.+)\.[0-9a-f]{16}\.(pecl-)?tmp")  # `_write` and `new_folder` name it


def write_bytes(path: str | Path, content: bytes, *, private: bool = False) -> Path:
    """Write `content` to `path` atomically (temporary file, fsync, rename); make missing folders.

    Only the user can read a `private` file, also while it has its temporary name.

    Raises:
        OutputError: the folder cannot be written, the disk is full, or `path` is a folder, a pipe or a device. The file
            is then as it was before.
    """
    return write_stream(path, lambda file: file.write(content), private=private)


def write_stream(path: str | Path, write: Callable[[BinaryIO], object], *, private: bool = False) -> Path:
    """Write content larger than memory to `path`, as `write_bytes`; `write` is called once, and may seek."""
    path = Path(path)
    try:
        if path.exists() and not path.is_file():
            kind = "folder" if path.is_dir() else "pipe or a device"
            raise OutputError(f"cannot write {path}: expected a regular file, got a {kind}")

        path.parent.mkdir(parents=True, exist_ok=True)
        while not _write(path, write, 0o600 if private else 0o666):
            pass
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error
    return path


def _write(path: Path, write: Callable[[BinaryIO], object], rights: int) -> bool:
    """Write a new temporary file and rename it; return False if another process took it before it was locked."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    with open(temporary, "xb", opener=lambda name, flags: os.open(name, flags, rights)) as file:
        try:
            with contextlib.suppress(OSError):  # taken for abandoned, or no locks on this file system
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not temporary.exists():
                return False

            remove_abandoned_files(path.parent, path.name)
            write(file)
            file.flush()
            os.fsync(file.fileno())
            os.replace(temporary, path)  # the lock is held until the temporary name is gone
            return True
        finally:
            temporary.unlink(missing_ok=True)


def remove_abandoned_files(folder: str | Path, target: str = "") -> None:
    """Remove temporary files and folders (only of `target`, if given) that no writer holds."""
    for name in os.listdir(folder):
        match = _TEMPORARY.fullmatch(name)
        if match is None or target not in ("", match["target"]):
            continue
        # The file is locked by its writer, removed by another process, not ours to open, or there are no locks.
        with contextlib.suppress(OSError):
            _remove_unlocked(Path(folder, name))


def _remove_unlocked(path: Path) -> None:
    """Remove a file or folder; raise OSError if a writer holds its lock."""
    is_folder = path.is_dir()
    descriptor = os.open(path, os.O_RDONLY if is_folder else os.O_RDWR)  # over NFS, a file's lock needs O_RDWR
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if is_folder:
            shutil.rmtree(path)
        else:
            path.unlink()
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
    return write_text(path, _NUMBERS.sub(lambda match: re.sub(r"\s+", "", match[0]), text) + "\n")


@contextlib.contextmanager
def new_folder(target: str | Path) -> Iterator[Path]:
    """Yield an empty folder, which is renamed to `target` after the body; an error leaves nothing behind.

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

            descriptor = os.open(folder, os.O_RDONLY)
            stack.callback(os.close, descriptor)
            with contextlib.suppress(OSError):  # no locks on this file system: then nobody removes it
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

            yield folder
            os.rename(folder, target)
        except OSError as error:
            raise OutputError(f"cannot write {target}: {error.strerror or error}") from error


@contextlib.contextmanager
def checked_folder(target: str | Path, check: Callable[[Path], None] | None) -> Iterator[Path]:
    """Yield a new folder, see `new_folder`, whose content is checked before it gets its name.

    `check` opens the complete folder. If it raises, nothing is left. None checks nothing.
    Raise OutputError if the folder cannot be written.
    """
    with new_folder(target) as folder:
        try:
            yield folder
        except OutputError as error:  # its sentence has the folder's temporary name
            raise OutputError(str(error).replace(str(folder), str(target))) from error
        except Exception as error:
            reason = _RUST_OS_ERROR.search(str(error))
            if reason is not None:
                raise OutputError(f"cannot write {target}: {reason[1]}") from error
            raise
        if check is not None:
            check(folder)
