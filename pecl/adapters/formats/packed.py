"""Parameters in few levels, for the adapter files that are shipped: `pack` and `unpack`.

Each group of values has its own range, from its least to its largest value, and a code is one of so many equal steps in
it. A group lies along the longest axis of a tensor, so that there are few groups. A vector, such as a LayerNorm's
weight, is one group and has twice the levels of a matrix. Codes in the middle of a range are the most frequent, so
Huffman's code makes them shorter: 64 levels take about 5 bits in place of 6.
"""

import json
import math
import zlib
from collections.abc import Mapping, Sequence

import numpy as np
import torch

from pecl.files import parse_json

CODES, RANGES, LAYOUT = "codes", "ranges", "layout"
MOST_LEVELS = 256
_LAYOUT_LIMIT = 1 << 20  # bytes of JSON


def pack(state: Mapping[str, torch.Tensor], levels: int) -> dict[str, torch.Tensor]:
    """Return the tensors of a file with an adapter's parameters in `levels` levels each, 2 to 256.

    Returns:
        `codes` (bytes,) uint8: the codes of each parameter, compressed by zlib; `ranges` (groups, 2) float16; and
        `layout` (bytes,) uint8: name, shape, levels and compressed bytes of each parameter as JSON, compressed by zlib.
    """
    codes, ranges, layout = [], [], []
    for name, tensor in sorted(state.items()):
        own = levels if tensor.ndim > 1 else min(2 * levels, MOST_LEVELS)
        longest = int(np.argmax(tensor.shape))
        rows = tensor.detach().float().cpu().movedim(longest, -1).reshape(-1, tensor.shape[longest]).numpy()
        span = np.stack([rows.min(1), rows.max(1)], 1).astype(np.float16)
        low, step = _steps(span, own)
        numbers = np.rint((rows - low) / np.where(step > 0, step, 1)).clip(0, own - 1).astype(np.uint8)
        coder = zlib.compressobj(9, strategy=zlib.Z_HUFFMAN_ONLY)
        codes.append(coder.compress(numbers.tobytes()) + coder.flush())
        ranges.append(span)
        layout.append([name, list(tensor.shape), own, len(codes[-1])])
    return {
        CODES: _as_bytes(b"".join(codes)),
        RANGES: torch.from_numpy(np.concatenate(ranges)),
        LAYOUT: _as_bytes(zlib.compress(json.dumps(layout, separators=(",", ":")).encode("utf-8"), 9)),
    }


def is_packed(tensors: Mapping[str, torch.Tensor]) -> bool:
    """Return whether these are the tensors of `pack`."""
    return set(tensors) == {CODES, RANGES, LAYOUT}


def unpack(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the float32 parameters that `pack` stored.

    Raises:
        ValueError: layout, codes and ranges do not fit each other.
    """
    codes, ranges = tensors[CODES].numpy(), tensors[RANGES].numpy()
    if codes.dtype != np.uint8 or codes.ndim != 1 or ranges.dtype != np.float16 or ranges.shape[1:] != (2,):
        raise ValueError(f"expected {CODES} (bytes,) uint8 and {RANGES} (groups, 2) float16")
    state = {}
    for name, shape, levels, size in _layout(tensors[LAYOUT]):
        count, longest = math.prod(shape), int(np.argmax(shape))
        groups = count // shape[longest]
        if len(codes) < size or len(ranges) < groups:
            raise ValueError(f"{name}: expected {size} bytes of codes and {groups} ranges, got fewer")
        numbers = np.frombuffer(_decompressed(codes[:size].tobytes(), count, name), np.uint8)
        if len(numbers) != count:
            raise ValueError(f"{name}: expected {count} codes, got {len(numbers)}")
        low, step = _steps(ranges[:groups], levels)
        rows = torch.from_numpy((low + numbers.reshape(groups, -1) * step).astype(np.float32))
        others = [one for axis, one in enumerate(shape) if axis != longest]
        state[name] = rows.reshape(*others, shape[longest]).movedim(-1, longest).contiguous()
        codes, ranges = codes[size:], ranges[groups:]
    if len(codes) or len(ranges):
        raise ValueError(f"{len(codes)} bytes of codes and {len(ranges)} ranges belong to no parameter")
    return state


def _steps(span: np.ndarray, levels: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the least value (groups, 1) and the step (groups, 1) of each group, given its range."""
    low, high = np.split(span.astype(np.float32), 2, axis=1)
    return low, (high - low) / (levels - 1)


def _as_bytes(content: bytes) -> torch.Tensor:
    return torch.frombuffer(bytearray(content), dtype=torch.uint8)


def _decompressed(content: bytes, limit: int, where: str) -> bytes:
    """Return what zlib compressed, at most `limit` bytes of it."""
    try:
        return zlib.decompressobj().decompress(content, limit)
    except zlib.error as error:
        raise ValueError(f"{where}: {error}") from error


def _layout(compressed: torch.Tensor) -> list[tuple[str, Sequence[int], int, int]]:
    """Return name, shape, levels and compressed bytes of each parameter."""
    content = _decompressed(compressed.numpy().tobytes(), _LAYOUT_LIMIT, LAYOUT)
    found: list[tuple[str, Sequence[int], int, int]] = []
    entries: list[object] = parse_json(content)
    for entry in entries:
        match entry:
            case [str(name), [int(), *_] as shape, int(levels), int(size)] if 1 < levels <= MOST_LEVELS and all(
                type(one) is int and one > 0 for one in (*shape, size)
            ):
                found.append((name, shape, levels, size))
            case _:
                expected = "lists of a name, a shape, levels and bytes"
                raise ValueError(f"{LAYOUT}: expected {expected}, got {entry!r}")
    return found
