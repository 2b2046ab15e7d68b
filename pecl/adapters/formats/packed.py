"""Parameters in a few bits each, for the adapter files that are shipped: `pack` and `unpack`.

A code counts equal steps from the mean of its parameter. Matrices of one role, such as all `lora_A`, share a step, so
layers with larger values have more codes. The head's matrices, and vectors, such as a LayerNorm's weight, have half the
step: they lose most. The codes of a role are compressed together. Huffman's code makes frequent ones shorter: with a
step of .3 standard deviations a code takes about 3.8 bits. Codes of the mean at the end of a role are not stored: rows
of tokens that were not chosen take no room. Whole numbers, such as token ids, are stored as differences.

Changed word embeddings are a product, `vectors` times `up`, in which any rotation of the columns of both cancels. They
are stored along the singular vectors of the product, so that the last columns are small and take few bits. `vectors`
have four times the step, since a text averages its tokens, and `up` has one and a half. Steps are fitted to their codes
by least squares, except that of `vectors`: the fitted one is shorter, an error that no average over tokens removes.
"""

import json
import math
import reprlib
import zlib
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import torch

CODES, LAYOUT = "codes", "layout"
_ZERO = 128  # the code of the mean
_MEAN = bytes([_ZERO])
_WHOLE = np.dtype("<i4")  # the differences of whole numbers
_STEPS = np.arange(256, dtype=np.float32) - _ZERO  # of each code
_AVERAGED = "vectors"  # over the tokens of a text
_SHARES = {_AVERAGED: 4.0, "up": 1.5}  # of the step, in changed word embeddings
_MOST_CODES = 32  # to a byte: zlib reaches a thousand, the shipped files 13
_LARGEST = 1e36  # mean and step: 128 steps are finite in float32
_LAYOUT_LIMIT = 1 << 20  # bytes of JSON


class _Role(NamedTuple):
    """Parameters whose codes are compressed together."""

    size: int  # bytes
    parameters: Sequence[tuple[Any, ...]]  # name, shape, mean and step

    @property
    def counts(self) -> list[int]:
        """The number of codes of each parameter."""
        return [math.prod(shape) * (1 if scale else _WHOLE.itemsize) for _, shape, *scale in self.parameters]


def pack(state: Mapping[str, torch.Tensor], step: float) -> dict[str, torch.Tensor]:
    """Return the tensors of a file with an adapter's parameters in steps.

    Args:
        state: the parameters by name; the last part of a name is its role.
        step: for a role with several matrices, in standard deviations of values about their means; larger where a
            value is more than 127 steps away.

    Returns:
        `codes` (bytes,) uint8, the codes of each role, compressed by zlib; and `layout` (bytes,) uint8, JSON that zlib
        compressed: of each role, its compressed bytes and its parameters, each with name, shape, mean and step. Whole
        numbers, which are int32, have no mean and no step; their four bytes are four rows of codes.
    """
    roles: dict[tuple[str, bool, bool], list[str]] = {}
    state = _rotated(state)
    for name, tensor in sorted(state.items()):
        roles.setdefault((name.rpartition(".")[2], tensor.dtype == torch.int32, tensor.ndim > 1), []).append(name)
    codes: list[bytes] = []
    layout: list[_Role] = []
    for (role, whole, matrices), names in roles.items():
        shapes = [list(state[name].shape) for name in names]
        if whole:
            numbers = [_differences(state[name].cpu().numpy()) for name in names]
            parameters = list(zip(names, shapes, strict=True))
        else:
            values = [state[name].detach().float().cpu().numpy() for name in names]
            means = [_rounded(own.mean()) for own in values]
            centred = [own - mean for own, mean in zip(values, means, strict=True)]
            shared = [np.concatenate([own.ravel() for own in centred])] * len(names) if matrices else centred
            share = step * (_SHARES.get(role, 1.0) if matrices and f"head.{role}" not in names else 0.5)
            steps = [_step(own, share) for own in shared]
            counts = [np.rint(own / one).clip(-_ZERO, _ZERO - 1) for own, one in zip(centred, steps, strict=True)]
            numbers = [own + _ZERO for own in counts]
            fitted = steps if role == _AVERAGED else [_fitted(*own) for own in zip(centred, counts, steps, strict=True)]
            parameters = list(zip(names, shapes, means, fitted, strict=True))
        codes.append(_compressed(b"".join(own.astype(np.uint8).tobytes() for own in numbers)))
        layout.append(_Role(len(codes[-1]), parameters))
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
    for role in _layout(tensors[LAYOUT]):
        own, where, counts = codes[at : at + role.size], role.parameters[0][0], role.counts
        total = sum(counts)
        if total > (limit := _MOST_CODES * len(own)):  # a small file never takes a large memory
            raise ValueError(f"{where}: expected at most {limit} codes in {len(own)} bytes, got {total}")
        numbers, first = np.frombuffer(_decompressed(own, total, where).ljust(total, _MEAN), np.uint8), 0
        for (name, shape, *scale), count in zip(role.parameters, counts, strict=True):
            coded = numbers[first : first + count]
            if scale:
                mean, step = scale
                values = (np.float32(mean) + _STEPS * np.float32(step))[coded]  # (256,) by code
            else:
                values = _summed(coded)
            state[name] = torch.from_numpy(values.reshape(shape))
            first += count
        at += role.size
    if at != len(codes):
        raise ValueError(f"expected {at} bytes of codes, got {len(codes)}")
    return state


def _rotated(state: Mapping[str, torch.Tensor]) -> Mapping[str, torch.Tensor]:
    """Return a state in which changed word embeddings are along the singular vectors of their product.

    Both factors have the root of a singular value in its column. Their product stays.
    """
    rotated = dict(state)
    for rows in (name for name in state if name.rpartition(".")[2] == "vectors"):
        columns = rows.removesuffix("vectors") + "up"
        (left, small), (right, other) = (torch.linalg.qr(state[name].double()) for name in (rows, columns))
        turned, values, back = torch.linalg.svd(small @ other.T, full_matrices=False)  # of the product, by its factors
        for name, vectors in ((rows, left @ turned), (columns, right @ back.T)):
            rotated[name] = torch.zeros_like(state[name])
            rotated[name][:, : len(values)] = (vectors * values.sqrt())[:, : state[name].shape[1]]
    return rotated


def _fitted(values: np.ndarray, counts: np.ndarray, step: float) -> float:
    """Return the step with which counts of steps are nearest to values, by least squares; `step` where all are 0."""
    squares = float((counts * counts).sum())
    return _rounded(float((counts * values).sum()) / squares) if squares else step


def _differences(numbers: np.ndarray) -> np.ndarray:
    """Return the differences of whole numbers as bytes (4, N): the high ones are mostly zeros, one after another."""
    return np.diff(numbers.ravel(), prepend=0).astype(_WHOLE).view(np.uint8).reshape(-1, _WHOLE.itemsize).T


def _summed(codes: np.ndarray) -> np.ndarray:
    """Return the whole numbers (N,) int32 of `_differences`."""
    return np.ascontiguousarray(codes.reshape(_WHOLE.itemsize, -1).T).view(_WHOLE).ravel().cumsum().astype(np.int32)


def _step(values: np.ndarray, share: float) -> float:
    """Return a share of the values' deviation; more where 127 steps do not reach the farthest; 1 where all are 0."""
    return _rounded(max(share * values.std(), np.abs(values).max() / (_ZERO - 1))) or 1.0


def _rounded(number: float) -> float:
    return float(f"{number:.6g}")


def _compressed(codes: bytes) -> bytes:
    """Compress by zlib in the shortest way that has no more codes to a byte than `unpack` reads.

    Huffman's code of all codes, without repeats, always is such a way: a code has a bit or more.
    """
    made: list[bytes] = []
    for content, strategy in product((codes, codes.rstrip(_MEAN)), (zlib.Z_HUFFMAN_ONLY, zlib.Z_DEFAULT_STRATEGY)):
        coder = zlib.compressobj(9, strategy=strategy)
        made.append(coder.compress(content) + coder.flush())
    return min((one for one in made if len(codes) <= _MOST_CODES * len(one)), key=len)


def _as_bytes(content: bytes) -> torch.Tensor:
    return torch.frombuffer(bytearray(content), dtype=torch.uint8)


def _decompressed(content: bytes, limit: int, where: str) -> bytes:
    """Decompress zlib's content; raise ValueError if it is damaged, ends early, or has more than `limit` bytes."""
    coder = zlib.decompressobj()
    try:
        found = coder.decompress(content, limit + 1)
    except zlib.error as error:
        raise ValueError(f"{where}: {error}") from error
    if len(found) > limit or not coder.eof:
        got = "more" if len(found) > limit else "only the beginning of a compressed content"
        raise ValueError(f"{where}: expected at most {limit} bytes, got {got}")
    return found


def _layout(compressed: torch.Tensor) -> list[_Role]:
    """Return the roles of a layout; raise ValueError where its entries are of another form."""
    content = _decompressed(compressed.numpy().tobytes(), _LAYOUT_LIMIT, LAYOUT)
    try:
        roles = json.loads(content)  # each entry is checked here
    except RecursionError as error:
        raise ValueError(f"{LAYOUT}: {error}") from error
    found: list[_Role] = []
    for role in roles if isinstance(roles, list) else [roles]:
        match role:
            case [int(size), [_, *_] as parameters] if _is_count(size) and all(map(_is_parameter, parameters)):
                found.append(_Role(size, parameters))
            case _:
                expected = "lists of bytes and parameters, each with name, shape, mean and step"
                raise ValueError(f"{LAYOUT}: expected {expected}, got {reprlib.repr(role)}")
    return found


def _is_parameter(entry: Any) -> bool:
    match entry:
        case [str(), [_, *_] as shape, *scale]:
            numbers = all(type(one) is float and abs(one) < _LARGEST for one in scale)
            return all(map(_is_count, shape)) and len(scale) in (0, 2) and numbers
        case _:
            return False


def _is_count(number: Any) -> bool:
    return type(number) is int and number > 0
