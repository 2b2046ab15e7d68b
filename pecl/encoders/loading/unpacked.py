"""The unpacked weights of mini in the cache, which all processes map into memory, and the check of their content.

Next to the file of weights is a record, `<name>.json`, with its size, its time and two SHA-256: one
of the word embeddings, which are four fifths of the file, and one of all other bytes. Wherever
numbers are recorded, both are compared. Where a start must be quick, the word embeddings are
compared only if the time of the file is another one.
"""

import hashlib
import json
import logging
import os
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

import torch

from pecl.encoders.loading.e5 import EMBEDDING_NAMES, E5File
from pecl.errors import OutputError
from pecl.files import default_cache_dir, expanded, load_json, locked, open_regular, write_json, write_stream

logger = logging.getLogger(__name__)

_WORDS = EMBEDDING_NAMES["emb.word"]
_BLOCK = 1 << 20  # bytes that are read at a time


def weights_folder() -> Path:
    """Return the folder of unpacked weights: $PECL_WEIGHTS_DIR, or `weights` in the cache folder."""
    return expanded(os.environ.get("PECL_WEIGHTS_DIR") or default_cache_dir() / "weights")


def unpacked_path(sha256: str) -> Path:
    """Return the path of the unpacked weights of the file with a SHA-256."""
    return weights_folder() / f"{sha256[:16]}.safetensors"


def unpacked(file: E5File, sha256: str, quick: bool = False) -> dict[str, torch.Tensor]:
    """Return the tensors of `file`, which has the given SHA-256, memory-mapped from a file in the cache.

    The first call writes that file, 470 MB for the real tower; all processes share its memory, and
    those that start meanwhile wait for it. A damaged file is written again. If it cannot be written,
    a warning is logged and the tensors are in this process's memory.

    Args:
        file: the packed weights.
        sha256: SHA-256 of the packed weights.
        quick: whether the word embeddings are compared only if the time of the file has changed.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = unpacked_path(sha256)
    try:
        if not is_sound(path, quick):
            with locked(path.with_suffix(".lock"), f"another process writes {path}", wait=True):
                if not is_sound(path):
                    _unpack(file, path)
        return load_file(path)
    except OutputError as error:
        logger.warning("%s; the text tower of mini is unpacked at every start", error)
    except (OSError, SafetensorError) as error:
        logger.warning("cannot read %s, so the text tower of mini is unpacked in memory: %s", path, error)

    return file.read_tensors()


def _unpack(file: E5File, path: Path) -> None:
    """Write the tensors of `file`, and then their record."""
    from safetensors.torch import save

    if path.exists():
        logger.warning("dropping damaged weights %s: they are unpacked again", path)
    else:
        logger.info("unpacking the text tower of mini into %s (470 MB, first start only)", path)

    tensors = file.read_tensors()
    write_stream(path, lambda stream: stream.write(save(tensors)))
    write_json(_record_path(path), _describe(path))


def is_sound(path: Path, quick: bool = False) -> bool:
    """Return whether unpacked weights are those that were written; not without their record. For `quick` see above."""
    try:
        record = load_json(_record_path(path))
        state = path.stat()
        same_time = (state.st_size, state.st_mtime_ns) == (record["size"], record["mtime_ns"])
        parts = ("others",) if quick and same_time else ("others", "words")
        if state.st_size != record["size"]:
            return False

        return all(
            _digest(path, part, tuple(record["words_at"]), state.st_ino, state.st_mtime_ns, state.st_ctime_ns)
            == record[part]
            for part in parts
        )
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _record_path(path: Path) -> Path:
    return path.with_suffix(".json")


def _describe(path: Path) -> Mapping[str, Any]:
    """Return the record of weights that were just written."""
    with open_regular(path) as file:
        size = int.from_bytes(file.read(8), "little")
        start, end = json.loads(file.read(size))[_WORDS]["data_offsets"]

    words_at = (8 + size + start, 8 + size + end)
    state = path.stat()
    identity = state.st_ino, state.st_mtime_ns, state.st_ctime_ns
    return {
        "size": state.st_size,
        "mtime_ns": state.st_mtime_ns,
        "words_at": words_at,
        **{part: _digest(path, part, words_at, *identity) for part in ("words", "others")},
    }


@lru_cache(maxsize=16)
def _digest(path: Path, part: str, words_at: tuple[int, int], *state: int) -> str:
    """Return the SHA-256 of the word embeddings (`words`) or of all other bytes, cached while the file's state stays.

    `words_at` is the range of bytes of the word embeddings.
    """
    size = path.stat().st_size
    ranges = [words_at] if part == "words" else [(0, words_at[0]), (words_at[1], size)]
    with open_regular(path) as file:
        return _sha256_of(file, ranges)


def _sha256_of(file: BinaryIO, ranges: Sequence[tuple[int, int]]) -> str:
    digest = hashlib.sha256()
    for start, end in ranges:
        file.seek(start)
        remaining = end - start
        while remaining > 0 and (block := file.read(min(_BLOCK, remaining))):
            digest.update(block)
            remaining -= len(block)

    return digest.hexdigest()
