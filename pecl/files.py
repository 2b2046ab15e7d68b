"""Files that are whole or absent: every write goes to a temporary name beside the target and is renamed over it.

A reader therefore never sees half a file, whatever kills the writer, and a full disk leaves the old file as it was.
A writer holds an advisory `flock` on its temporary file. A temporary file that nobody holds was left by a killed
writer, and the next write to the same target removes it; a stopped writer still holds its own. No host name or process
id decides: containers on one folder share the first, and each counts the second anew. Where hosts do not see each
other's locks, one may remove what another is writing; the other then writes it again.

What is read may be anything, so `read_bytes_limited`, `load_json` and `parse_yaml` bound size, depth and numbers.

`locked` lets one process at a time into its body. A lock is an advisory `flock` on a file that says who holds it,
for messages alone: it vanishes with a killed process, and the next to come takes the file over. (The package filelock
empties the file that it waits for, and with it the holder's name.) Across hosts a lock holds where the file system
carries `flock` over: NFS on Linux since 2.6.12, CephFS, GPFS, and Lustre mounted with `-o flock`.

`write_tensors` adds a digest to the metadata of a safetensors file, and `read_tensors` checks it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import logging
import os
import platform
import re
import secrets
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

from pecl.errors import OutputError

if TYPE_CHECKING:
    import torch

logger = logging.getLogger(__name__)

T = TypeVar("T")

# A list of numbers over several lines; no string of JSON holds a line break, so none is ever taken for one.
_NUMBERS = re.compile(r"\[\n[-+.\deE,\s]*\]")
_ATTEMPTS = 100
# The most bytes that are read of a file of captions, of JSON, and the most characters of a config in YAML
TEXT_LIMIT, JSON_LIMIT, YAML_LIMIT = 1 << 28, 1 << 26, 1 << 17
_DEPTH = 64  # lists and objects within each other
_TOO_DEEP = f"lists and objects are nested more than {_DEPTH} deep"
HALF_CHARACTER = "half a character (a lone surrogate), which UTF-8 cannot hold; write it anew"
_LOCK_ATTEMPTS = 10_000  # one is lost whenever a holder leaves; in folders such as /proc every one is
_TEMPORARY = re.compile(r"\.(?P<target>.+)\.[0-9a-f]{16}\.tmp")  # `_write_once` names it
_DIGEST = "sha256"  # key of the digest in the metadata of a safetensors file


def write_bytes(path: str | Path, content: bytes) -> Path:
    """Write `content` to `path` atomically (temporary file, fsync, rename); make missing folders.

    Raises:
        OutputError: the folder cannot be written or the disk is full; `path` is then as it was before.
    """
    return _write_atomically(Path(path), lambda file: file.write(content))


def write_stream(path: str | Path, write: Callable[[BinaryIO], object]) -> Path:
    """Write to `path` atomically, as `write_bytes` does, what does not fit in memory.

    Args:
        path: the file.
        write: called once, with the open temporary file, in which it may seek.

    Raises:
        OutputError: the folder cannot be written or the disk is full; `path` is then as it was before.
    """
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
        for _ in range(_ATTEMPTS):
            if _write_once(path, write):
                return path
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error
    raise OutputError(f"cannot write {path}: its temporary file was removed {_ATTEMPTS} times by another process")


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
            return _rename(temporary, path)  # the lock is held until the temporary name is gone
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
    return _is_at(temporary, descriptor)


def _rename(temporary: Path, path: Path) -> bool:
    try:
        os.replace(temporary, path)
    except FileNotFoundError:
        return False
    return True


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


def remove_abandoned_files(folder: str | Path, target: str = "") -> None:
    """Remove temporary files (for the file `target` alone, where given) that no writer holds."""
    for name in os.listdir(folder):
        found = _TEMPORARY.fullmatch(name)
        if found is not None and target in ("", found["target"]):
            _remove_unless_held(Path(folder, name))


def _remove_unless_held(path: Path) -> None:
    with contextlib.suppress(OSError):  # held, removed by another, not ours to open, or on a file system without locks
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW)  # over NFS a lock needs a descriptor that writes
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()
        finally:
            os.close(descriptor)


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
    """Write named tensors with string metadata to `path` as safetensors, atomically; equal content, equal bytes.

    A digest of tensors and metadata is added to the metadata; `read_tensors` checks it.
    """
    from safetensors.torch import save  # and with it torch: a second that whoever writes no tensors does without

    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    signed = {**metadata, _DIGEST: _digest(contiguous, metadata)}
    return write_bytes(path, _sort_metadata(save(contiguous, metadata=signed)))


class DamagedFileError(ValueError):
    """A file's content is proven wrong."""


def read_tensors(path: str | Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Return the tensors and the metadata, without digest, of a safetensors file.

    A file without digest, which another program wrote, is read as it is.

    Raises:
        DamagedFileError: it is not a safetensors file, is cut short, or does not match its digest.
        OSError: it is missing, cannot be opened, or is a folder, a pipe or a device: that says nothing of its content.
    """
    from safetensors import SafetensorError, safe_open

    check_regular(path)  # an error of the system keeps its type; safetensors' own do not tell
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
        expected = metadata.pop(_DIGEST, None)
        if expected is not None and expected != _digest(tensors, metadata):
            raise DamagedFileError("its content does not match its checksum")
    except (SafetensorError, RuntimeError, TypeError, AttributeError) as error:  # of a type that torch lacks, ...
        raise DamagedFileError(str(error)) from error
    return tensors, metadata


def _digest(tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str]) -> str:
    """Return the SHA-256 of contiguous tensors and metadata, whatever order a file has them in."""
    import torch

    heads = [[name, str(tensors[name].dtype), list(tensors[name].shape)] for name in sorted(tensors)]
    digest = hashlib.sha256(sha256_json([heads, dict(metadata)]).encode("ascii"))
    for name in sorted(tensors):
        digest.update(tensors[name].reshape(-1).view(torch.uint8).numpy().data)  # the bytes themselves, not a copy
    return digest.hexdigest()


def _sort_metadata(content: bytes) -> bytes:
    """Return safetensors `content` with its metadata in the order of their names; the library writes any order."""
    start = 8 + int.from_bytes(content[:8], "little")  # the header is its length in 8 bytes, then JSON
    header = json.loads(content[8:start])
    header["__metadata__"] = dict(sorted(header.get("__metadata__", {}).items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode("utf-8")
    text += b" " * (-len(text) % 8)  # tensors begin at a multiple of 8 bytes
    return len(text).to_bytes(8, "little") + text + content[start:]


def read_bytes_limited(path: str | Path, limit: int = TEXT_LIMIT) -> bytes:
    """Return the content of a regular file of at most `limit` bytes.

    Raises:
        OSError: it is missing, cannot be read, is larger, or is a folder, a pipe or a device.
    """
    with open_regular(path) as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise OSError(f"it is larger than {limit:,} bytes, the most that is read of such a file")
    return content


def open_regular(path: str | Path) -> BinaryIO:
    """Open a regular file for reading; a pipe, for whose writer another `open` would wait for ever, is refused at once.

    Raises:
        OSError: it is missing, cannot be read, or is a folder, a pipe or a device.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))  # as `open` says it
    raise OSError("expected a regular file, got a pipe or a device")


def check_regular(path: str | Path) -> None:
    """Raise OSError unless `path` is a regular file, for libraries that open it by its name."""
    open_regular(path).close()


def load_json(path: str | Path, limit: int = JSON_LIMIT) -> Any:
    """Return what a JSON file of at most `limit` bytes holds.

    Raises:
        OSError: as `read_bytes_limited`.
        ValueError: as `parse_json`.
    """
    return parse_json(read_bytes_limited(path, limit))


def parse_json(text: str | bytes, halves: bool = False) -> Any:
    """Return what JSON (as bytes: UTF-8) holds; NaN and infinities are numbers, of a repeated key the last one counts.

    Args:
        text: the JSON.
        halves: let a text hold half a character, where the caller says which text it is.

    Raises:
        ValueError: it is not JSON, is nested too deeply, or holds a whole number beyond 64 bits or half a character.
    """
    text = text.decode("utf-8") if isinstance(text, bytes) else text
    try:
        document = json.loads(text)
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    _check_json(document, halves)
    return document


def parse_yaml(text: str, limit: int = YAML_LIMIT) -> Any:
    """Return what YAML of at most `limit` characters holds; a config checks its values itself, and names the field.

    Raises:
        yaml.YAMLError: it is not YAML, or has an alias (a few of them can stand for gigabytes) or a tag.
        ValueError: it is larger, nested too deeply, or holds a date or a number that Python cannot hold.
    """
    import yaml  # here, because most readers of files need none

    if len(text) > limit:
        raise ValueError(f"it is larger than {limit:,} characters, the most that is read of YAML")
    depth = 0
    for event in yaml.parse(text, yaml.SafeLoader):  # events, since an alias costs nothing before it is followed
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEPTH:
            raise ValueError(_TOO_DEEP)
        is_alias = isinstance(event, yaml.AliasEvent)
        if is_alias or getattr(event, "tag", None) is not None:
            problem = f"{'an alias' if is_alias else 'a tag'} is not allowed: write the value itself"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=event.start_mark)
    try:
        return yaml.safe_load(text)
    except ArithmeticError as error:  # of a date or a number out of range
        raise ValueError(str(error)) from error


def _check_json(document: Any, halves: bool) -> None:
    """Raise ValueError where a document is nested too deeply, or holds what the rest cannot work with.

    That is a whole number beyond 64 bits or, without `halves`, half a character.
    """
    level = [[document]]  # the values of all lists and objects at one depth
    for _ in range(_DEPTH + 1):
        deeper: list[list[Any]] = []
        for values in level:
            kinds = set(map(type, values))  # long lists are of numbers: they take one step in C
            if int in kinds:
                numbers = [value for value in values if type(value) is int] if len(kinds) > 1 else values
                if max(-min(numbers), max(numbers)) >= 1 << 64:
                    raise ValueError("a whole number has more than 64 bits")
            if str in kinds and not halves:
                _check_whole("".join(value for value in values if type(value) is str))
            if dict in kinds:
                deeper += [[*value.keys(), *value.values()] for value in values if type(value) is dict]
            if list in kinds:
                deeper += [value for value in values if type(value) is list]
        level = deeper
        if not level:
            return
    raise ValueError(_TOO_DEEP)


def _check_whole(text: str) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError(HALF_CHARACTER) from None


class BusyError(RuntimeError):
    """Another process holds a lock."""


@contextlib.contextmanager
def locked(path: str | Path, busy: str, wait: bool = False) -> Iterator[None]:
    """Hold the lock file `path` while the body is carried out, and remove it then; its folder is made where missing.

    Args:
        path: the lock file.
        busy: what the error says, followed by the holder's host, process and time.
        wait: wait for another process to leave, instead of an error.

    Raises:
        BusyError: another process, or another `with` of this one, holds it.
        OutputError: the folder cannot be written, or its file system has no locks.
    """
    path = Path(path)
    descriptor = _acquire(path, busy, wait)
    try:
        yield
    finally:
        # While it is held nobody else can make it theirs. If it was removed by hand, the one there is another's.
        if _is_at(path, descriptor):
            path.unlink(missing_ok=True)
        os.close(descriptor)


def lock_holder(path: Path) -> str | None:
    """Return who holds the lock file `path`, as in "host, process 12, since 12:30:00"; None if nobody does."""
    with contextlib.suppress(FileNotFoundError):
        descriptor = os.open(path, os.O_RDWR)
        try:
            return None if _lock(path, descriptor) else _owner(descriptor)
        finally:
            os.close(descriptor)
    return None


def _acquire(path: Path, busy: str, wait: bool) -> int:
    """Return an open descriptor of `path` that holds its lock."""
    for _ in range(_LOCK_ATTEMPTS):
        try:
            descriptor = open_in_folder(path.parent, lambda: os.open(path, os.O_RDWR | os.O_CREAT, 0o644))
        except OSError as error:
            raise OutputError(f"cannot write {path}: {error.strerror or error}") from error
        try:
            if not _lock(path, descriptor):
                sentence = f"{busy} ({_owner(descriptor)})"
                if not wait:
                    raise BusyError(sentence)
                logger.info("%s; waiting for it", sentence)
                _lock(path, descriptor, wait=True)
            if _is_at(path, descriptor):
                _sign(path, descriptor)
                return descriptor
        except OSError as error:
            os.close(descriptor)
            raise OutputError(f"cannot write {path}: {error.strerror or error}") from error
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # its holder removed it when leaving; the next attempt makes a new one
    raise OutputError(f"cannot write {path}: no such folder can be made")


def _sign(path: Path, descriptor: int) -> None:
    """Write whose the lock is; on a full disk, remove the file."""
    try:
        os.truncate(descriptor, 0)
        os.write(descriptor, json.dumps(_myself()).encode())
    except OSError:
        path.unlink(missing_ok=True)
        raise


def _lock(path: Path, descriptor: int, wait: bool = False) -> bool:
    """Lock an open file and say whether that went well; False only without `wait`."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except OSError as error:
        raise OutputError(
            f"cannot lock {path} ({error.strerror or error}): choose a folder on a file system with locks"
        ) from error
    return True


def _is_at(path: Path, descriptor: int) -> bool:
    """Say whether an open file still is the one at `path`."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _myself() -> dict[str, str | int]:
    return {"host": platform.node(), "process": os.getpid(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}


def _owner(descriptor: int) -> str:
    """Return whom a lock file names; one that was killed while it wrote names nobody."""
    try:
        owner = parse_json(os.pread(descriptor, 4096, 0))
        return f"{owner['host']}, process {owner['process']}, since {owner['since']}"
    except (ValueError, KeyError, TypeError):
        return "whose name is not written yet"


def sha256_bytes(content: bytes) -> str:
    """Return the SHA-256 of `content` in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def sha256_file(path: str | Path) -> str:
    """Return the SHA-256 of a file's content in hexadecimal."""
    digest = hashlib.sha256()
    with open_regular(path) as file:
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
    return len(Path(name).parts) > 1 or Path(name).suffix != "" or os.path.exists(name)  # False where it is too long
