"""Parameters in a few bits each, for the adapter files that are shipped: `pack` and `unpack`.

A code counts equal steps from the mean of its parameter. Matrices of one role, such as all `lora_A`, share a step, so
layers with larger values have more codes. A matrix whose role is its own, such as `head.up`, and a vector, such as a
LayerNorm's weight, have half the step: their errors are not averaged over layers. A matrix with a row per token,
`vectors`, has three times the step: a text averages its tokens. Huffman's code makes frequent codes shorter: with a
step of .3 standard deviations a code takes about 3.8 bits. Whole numbers, such as token ids, are stored as differences.
"""

import json
import math
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

CODES, LAYOUT = "codes", "layout"
_ZERO = 128  # the code of the mean
_WHOLE = "<i4"  # the differences of whole numbers
_STEPS = np.arange(256, dtype=np.float32) - _ZERO  # of each code
_MOST_CODES = 8  # in a byte: the shortest code of Huffman has one bit
_LARGEST = 1e36  # mean and step: 128 steps are finite in float32
_LAYOUT_LIMIT = 1 << 20  # bytes of JSON


def pack(state: Mapping[str, torch.Tensor], step: float) -> dict[str, torch.Tensor]:
    """Return the tensors of a file with an adapter's parameters in steps.

    Args:
        state: the parameters by name; the last part of a name is its role.
        step: for a role with several matrices, in standard deviations of values about their means; larger where a
            value is more than 127 steps away.

    Returns:
        `codes` (bytes,) uint8, the codes of each parameter, compressed by zlib; and `layout` (bytes,) uint8, JSON that
        zlib compressed: name, shape, compressed bytes, mean and step of each parameter; of whole numbers, which are
        int32, the first three.
    """
    whole = {name: tensor.cpu().numpy() for name, tensor in sorted(state.items()) if tensor.dtype == torch.int32}
    values = {name: state[name].detach().float().cpu().numpy() for name in sorted(state.keys() - whole.keys())}
    means = {name: _rounded(own.mean()) for name, own in values.items()}
    roles: dict[str, list[str]] = {}
    for name, own in values.items():
        roles.setdefault(_role(name) if own.ndim > 1 else name, []).append(name)
    steps: dict[str, float] = {}
    codes: list[bytes] = []
    layout: list[list[object]] = []
    for names in roles.values():
        centred = np.concatenate([(values[name] - means[name]).ravel() for name in names])
        share = step * _factor(names, values[names[0]].ndim)
        own_step = _rounded(max(share * centred.std(), np.abs(centred).max() / (_ZERO - 1))) or 1.0
        steps |= dict.fromkeys(names, own_step)
    for name, own in values.items():
        numbers = np.rint((own - means[name]) / steps[name]).clip(-_ZERO, _ZERO - 1) + _ZERO
        codes.append(_compressed(numbers.astype(np.uint8).tobytes()))
        layout.append([name, list(own.shape), len(codes[-1]), means[name], steps[name]])
    for name, own in whole.items():
        codes.append(zlib.compress(np.diff(own.ravel(), prepend=0).astype(_WHOLE).tobytes(), 9))
        layout.append([name, list(own.shape), len(codes[-1])])
    return {
        CODES: _as_bytes(b"".join(codes)),
        LAYOUT: _as_bytes(zlib.compress(json.dumps(layout, separators=(",", ":")).encode("utf-8"), 9)),
    }


def is_packed(tensors: Mapping[str, torch.Tensor]) -> bool:
    """Return whether these are the tensors of `pack`."""
    return set(tensors) == {CODES, LAYOUT}


def unpack(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the parameters that `pack` stored, float32 or int32; raise ValueError if layout and codes do not fit.

    The parameters are finite numbers.
    """
    if any(tensors[name].dtype != torch.uint8 for name in (CODES, LAYOUT)):
        raise ValueError(f"expected {CODES} and {LAYOUT} in uint8")
    codes, at, state = tensors[CODES].numpy().tobytes(), 0, {}
    for name, shape, size, *scale in _layout(tensors[LAYOUT]):
        count, code = math.prod(shape), np.dtype(np.uint8 if scale else _WHOLE)
        own = codes[at : at + size]
        if count > _MOST_CODES * len(own):  # a small file never takes a large memory
            raise ValueError(
                f"{name}: expected at most {_MOST_CODES * len(own)} codes in {len(own)} bytes, got {count}"
            )
        content = _decompressed(own, count * code.itemsize, name)
        if len(content) != count * code.itemsize:
            raise ValueError(f"{name}: expected {count} codes, got {len(content) // code.itemsize}")
        numbers = np.frombuffer(content, code)
        if scale:
            mean, step = scale
            values = (np.float32(mean) + _STEPS * np.float32(step))[numbers]  # (256,) by code
        else:
            values = numbers.cumsum().astype(np.int32)
        state[name] = torch.from_numpy(values.reshape(shape))
        at += size
    if at != len(codes):
        raise ValueError(f"expected {at} bytes of codes, got {len(codes)}")
    return state


def _factor(names: Sequence[str], dimensions: int) -> float:
    """Return the factor on the step of parameters that share one."""
    if _role(names[0]) == "vectors":
        return 3.0
    return 1.0 if len(names) > 1 and dimensions > 1 else 0.5


def _role(name: str) -> str:
    return name.rpartition(".")[2]


def _rounded(number: float) -> float:
    return float(f"{number:.6g}")


def _compressed(codes: bytes) -> bytes:
    """Compress by zlib in the shorter one of two ways, unless that has more codes in a byte than `unpack` reads."""
    coders = [zlib.compressobj(9, strategy=strategy) for strategy in (zlib.Z_HUFFMAN_ONLY, zlib.Z_DEFAULT_STRATEGY)]
    made = [coder.compress(codes) + coder.flush() for coder in coders]
    return min((one for one in made if len(codes) <= _MOST_CODES * len(one)), key=len)


def _as_bytes(content: bytes) -> torch.Tensor:
    return torch.frombuffer(bytearray(content), dtype=torch.uint8)


def _decompressed(content: bytes, limit: int, where: str) -> bytes:
    """Decompress zlib's content, at most `limit` bytes of it."""
    try:
        return zlib.decompressobj().decompress(content, limit)
    except zlib.error as error:
        raise ValueError(f"{where}: {error}") from error


def _layout(compressed: torch.Tensor) -> list[tuple[Any, ...]]:
    """Return name, shape and compressed bytes of each parameter, and mean and step of those that are not whole."""
    content = _decompressed(compressed.numpy().tobytes(), _LAYOUT_LIMIT, LAYOUT)
    try:
        entries = json.loads(content)  # each entry is checked here
    except RecursionError as error:
        raise ValueError(f"{LAYOUT}: {error}") from error
    found: list[tuple[Any, ...]] = []
    for entry in entries if isinstance(entries, list) else [entries]:
        match entry:
            case [str(), [int(), *_] as shape, int(size), *scale] if (
                all(type(one) is int and one > 0 for one in (*shape, size))
                and len(scale) in (0, 2)
                and all(type(one) is float and abs(one) < _LARGEST for one in scale)
            ):
                found.append(tuple(entry))
            case _:
                expected = "lists of a name, a shape, bytes, mean and step"
                raise ValueError(f"{LAYOUT}: expected {expected}, got {entry!r}")
    return found
