"""Parameters in 2 to 8 bits, for the adapter files that are shipped: `pack` and `unpack`.

Each group of values has its own range, from its least to its largest value, and a code is one of 2^bits equal steps in
it. A group lies along the longest axis of a tensor, so that there are few groups. A vector, such as a LayerNorm's
weight, is one group and has a bit more than a matrix.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Mapping, Sequence

import numpy as np
import torch

from pecl.files import parse_json

CODES, RANGES, LAYOUT = "codes", "ranges", "layout"
_MOST_BITS = 8
_LAYOUT_LIMIT = 1 << 20  # bytes of JSON


def pack(state: Mapping[str, torch.Tensor], bits: int) -> dict[str, torch.Tensor]:
    """Return the tensors of a file with an adapter's parameters in `bits` bits each, 2 to 8.

    Returns:
        `codes` (bytes,) uint8 without gaps, `ranges` (groups, 2) float16, and `layout` (bytes,) uint8: name, shape and
        bits of each parameter as JSON, compressed by zlib.
    """
    codes, ranges, layout = [], [], []
    for name, tensor in sorted(state.items()):
        own = bits if tensor.ndim > 1 else min(bits + 1, _MOST_BITS)
        longest = int(np.argmax(tensor.shape))
        rows = tensor.detach().float().cpu().movedim(longest, -1).reshape(-1, tensor.shape[longest]).numpy()
        span = np.stack([rows.min(1), rows.max(1)], 1).astype(np.float16)
        low, step = _steps(span, own)
        numbers = np.rint((rows - low) / np.where(step > 0, step, 1)).clip(0, 2**own - 1).astype(np.uint8)
        codes.append(np.packbits((numbers.reshape(-1, 1) >> np.arange(own, dtype=np.uint8)) & 1))
        ranges.append(span)
        layout.append([name, list(tensor.shape), own])
    compressed = zlib.compress(json.dumps(layout, separators=(",", ":")).encode("utf-8"), 9)
    return {
        CODES: torch.from_numpy(np.concatenate(codes)),
        RANGES: torch.from_numpy(np.concatenate(ranges)),
        LAYOUT: torch.frombuffer(bytearray(compressed), dtype=torch.uint8),
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
    for name, shape, bits in _layout(tensors[LAYOUT]):
        count, longest = math.prod(shape), int(np.argmax(shape))
        size, groups = -(-count * bits // 8), count // shape[longest]
        if len(codes) < size or len(ranges) < groups:
            raise ValueError(f"{name}: expected {size} bytes of codes and {groups} ranges, got fewer")
        low, step = _steps(ranges[:groups], bits)
        numbers = np.unpackbits(codes[:size], count=count * bits).reshape(-1, bits) @ (1 << np.arange(bits))
        rows = torch.from_numpy((low + numbers.reshape(groups, -1) * step).astype(np.float32))
        others = [one for axis, one in enumerate(shape) if axis != longest]
        state[name] = rows.reshape(*others, shape[longest]).movedim(-1, longest).contiguous()
        codes, ranges = codes[size:], ranges[groups:]
    if len(codes) or len(ranges):
        raise ValueError(f"{len(codes)} bytes of codes and {len(ranges)} ranges belong to no parameter")
    return state


def _steps(span: np.ndarray, bits: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the least value (groups, 1) and the step (groups, 1) of each group, given its range."""
    low, high = np.split(span.astype(np.float32), 2, axis=1)
    return low, (high - low) / (2**bits - 1)


def _layout(compressed: torch.Tensor) -> list[tuple[str, Sequence[int], int]]:
    """Return name, shape and bits of each parameter."""
    try:
        content = zlib.decompressobj().decompress(compressed.numpy().tobytes(), _LAYOUT_LIMIT)
    except zlib.error as error:
        raise ValueError(f"{LAYOUT}: {error}") from error
    found: list[tuple[str, Sequence[int], int]] = []
    entries: list[object] = parse_json(content)
    for entry in entries:
        match entry:
            case [str(name), [int(), *_] as shape, int(bits)] if 1 < bits <= _MOST_BITS and all(
                type(one) is int and one > 0 for one in shape
            ):
                found.append((name, shape, bits))
            case _:
                raise ValueError(f"{LAYOUT}: expected lists of a name, a shape and a number of bits, got {entry!r}")
    return found
