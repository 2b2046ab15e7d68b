"""Tensors in safetensors files with a digest: `write_tensors` adds it to the metadata, and `read_tensors` checks it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pecl.files.digests import sha256_json
from pecl.files.reading import check_regular
from pecl.files.writing import write_bytes

if TYPE_CHECKING:
    import torch

_DIGEST = "sha256"  # key of the digest in the metadata of a safetensors file


def write_tensors(path: str | Path, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str]) -> Path:
    """Write named tensors with string metadata to `path` as safetensors, atomically; equal content, equal bytes.

    A digest of tensors and metadata is added to the metadata; `read_tensors` checks it.
    """
    from safetensors.torch import save  # imports torch: a second

    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    signed = {**metadata, _DIGEST: _digest(contiguous, metadata)}
    return write_bytes(path, _sort_metadata(save(contiguous, metadata=signed)))


class DamagedFileError(ValueError):
    """A file's content is proven wrong."""


def read_tensors(path: str | Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Return the tensors and the metadata, without digest, of a safetensors file; other programs' files have none.

    Raises:
        DamagedFileError: it is not a safetensors file, is cut short, or does not match its digest.
        OSError: it is missing, cannot be opened, or is a folder, a pipe or a device: its content may be sound.
    """
    from safetensors import SafetensorError, safe_open

    check_regular(path)  # a system error keeps its type, which safetensors' own errors hide
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
        expected = metadata.pop(_DIGEST, None)
        if expected is not None and expected != _digest(tensors, metadata):
            raise DamagedFileError("its content does not match its checksum")
    except (SafetensorError, RuntimeError, TypeError, AttributeError) as error:  # a type that torch lacks, ...
        raise DamagedFileError(str(error)) from error
    return tensors, metadata


def read_metadata(path: str | Path) -> dict[str, str]:
    """Return the metadata of a safetensors file, without reading its tensors: the digest is not checked.

    Raises:
        DamagedFileError: it is not a safetensors file.
        OSError: as in `read_tensors`.
    """
    from safetensors import SafetensorError, safe_open

    check_regular(path)
    try:
        with safe_open(path, "np") as file:
            return file.metadata() or {}
    except SafetensorError as error:
        raise DamagedFileError(str(error)) from error


def _digest(tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str]) -> str:
    """Return the SHA-256 of contiguous tensors and metadata, independent of their order."""
    import torch

    heads = [[name, str(tensors[name].dtype), list(tensors[name].shape)] for name in sorted(tensors)]
    digest = hashlib.sha256(sha256_json([heads, dict(metadata)]).encode("ascii"))
    for name in sorted(tensors):
        digest.update(tensors[name].reshape(-1).view(torch.uint8).numpy().data)  # the bytes themselves, not a copy
    return digest.hexdigest()


def _sort_metadata(content: bytes) -> bytes:
    """Return safetensors `content` with its metadata sorted by name; the library writes them in any order."""
    start = 8 + int.from_bytes(content[:8], "little")  # the header is its length in 8 bytes, then JSON
    header = json.loads(content[8:start])
    header["__metadata__"] = dict(sorted(header.get("__metadata__", {}).items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode("utf-8")
    text += b" " * (-len(text) % 8)  # tensors begin at a multiple of 8 bytes
    return len(text).to_bytes(8, "little") + text + content[start:]
