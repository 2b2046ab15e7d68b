"""Files that are whole or absent: every write goes to a temporary name beside the target and is renamed over it.

A reader therefore never sees half a file, whatever kills the writer, and a full disk leaves the old file as it was.
A temporary name holds the writer's host and process, so that what a killed writer left is known and removed by the
next write to the same target.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import re
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pecl.errors import OutputError

if TYPE_CHECKING:
    import torch

T = TypeVar("T")

# A list of numbers over several lines; no string of JSON holds a line break, so none is ever taken for one.
_NUMBERS = re.compile(r"\[\n[-+.\deE,\s]*\]")
_ATTEMPTS = 100
# `write_bytes` names it
_TEMPORARY = re.compile(r"\.(?P<target>.+)\.(?P<host>[^/]*)-(?P<process>\d+)-\d+\.tmp")


def write_bytes(path: str | Path, content: bytes) -> Path:
    """Write `content` to `path` atomically (temporary file, fsync, rename); make missing folders.

    Raises:
        OutputError: the folder cannot be written or the disk is full; `path` is then as it was before.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{platform.node()}-{os.getpid()}-{threading.get_ident()}.tmp")
    try:
        with open_in_folder(path.parent, lambda: open(temporary, "wb")) as file:
            remove_abandoned(path.parent, path.name)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error
    return path


def open_in_folder(folder: Path, open_file: Callable[[], T]) -> T:
    """Make `folder` and return what `open_file` returns; again, if another process removes the empty folder between.

    Raises:
        OSError: the folder cannot be made, or the file not opened.
    """
    for _ in range(_ATTEMPTS):
        with contextlib.suppress(FileNotFoundError, FileExistsError):
            folder.mkdir(parents=True, exist_ok=True)
            return open_file()
    folder.mkdir(parents=True, exist_ok=True)  # a file in the folder's place fails each time
    return open_file()


def remove_abandoned(folder: str | Path, target: str = "") -> None:
    """Remove temporary files (for the file `target` alone, where given) whose writer, of this host, has gone."""
    for name in os.listdir(folder):
        writer = _TEMPORARY.fullmatch(name)
        known = writer and writer["host"] == platform.node() and target in ("", writer["target"])
        if known and not _is_running(int(writer["process"])):
            Path(folder, name).unlink(missing_ok=True)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)  # signal 0 sends nothing; it asks whether the process is there
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's process
        return True
    return True


def write_text(path: str | Path, text: str) -> Path:
    """Write `text` to `path` as UTF-8, atomically."""
    return write_bytes(path, text.encode("utf-8"))


def write_json(path: str | Path, document: Any, indent: int | None = 2) -> Path:
    """Write `document` to `path` as UTF-8 JSON with a final newline, atomically.

    Lists of numbers take one line without spaces, and so does everything where `indent` is None.
    """
    separators = (",", ":") if indent is None else None
    text = json.dumps(document, indent=indent, separators=separators, ensure_ascii=False)
    return write_text(path, _NUMBERS.sub(lambda found: re.sub(r"\s+", "", found[0]), text) + "\n")


def write_tensors(path: str | Path, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str]) -> Path:
    """Write named tensors with string metadata to `path` as safetensors, atomically; equal content, equal bytes."""
    from safetensors.torch import save  # and with it torch: a second that whoever writes no tensors does without

    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    return write_bytes(path, _sort_metadata(save(contiguous, metadata=dict(metadata))))


def _sort_metadata(content: bytes) -> bytes:
    """Return safetensors `content` with its metadata in the order of their names; the library writes any order."""
    start = 8 + int.from_bytes(content[:8], "little")  # the header is its length in 8 bytes, then JSON
    header = json.loads(content[8:start])
    header["__metadata__"] = dict(sorted(header.get("__metadata__", {}).items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode("utf-8")
    text += b" " * (-len(text) % 8)  # tensors begin at a multiple of 8 bytes
    return len(text).to_bytes(8, "little") + text + content[start:]


def sha256_bytes(content: bytes) -> str:
    """Return the SHA-256 of `content` in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def sha256_file(path: str | Path) -> str:
    """Return the SHA-256 of a file's content in hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):  # 1 MiB at a time: weights can be larger than memory
            digest.update(block)
    return digest.hexdigest()


def sha256_json(document: Any) -> str:
    """Return the SHA-256 of `document`'s canonical JSON (sorted keys, no spaces): equal documents, equal hash."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return sha256_bytes(text.encode("utf-8"))


def sha256_lines(lines: list[str] | tuple[str, ...]) -> str:
    """Return the SHA-256 of lines joined by newlines: the identity of a list of captions."""
    return sha256_bytes("\n".join(lines).encode("utf-8"))


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
    return len(Path(name).parts) > 1 or Path(name).suffix != "" or Path(name).exists()
