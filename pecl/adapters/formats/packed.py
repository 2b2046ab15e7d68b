"""Parameters in a few bits each, as in the adapter files that are shipped: `pack` writes them, `unpack` reads them.

A code is a number of equal steps from the mean of its parameter. Matrices of one role, such as all `lora_A`, share a
step, so layers with larger values use more codes. The head's matrices, and vectors, such as a LayerNorm's weight, have
half the step, since rounding hurts them most. The codes of a role are compressed together. Huffman's code makes
frequent ones shorter: with a step of .2 standard deviations a code takes about 4.4 bits. Codes of the mean at the end
of a role are not stored, so rows of tokens that were not chosen take no space. Whole numbers, such as token ids, are
stored as differences.

Changed word embeddings are a product, `vectors` times `up`, in which any rotation of the columns of both cancels. They
are stored along the singular vectors of the product, so that the last columns are small and take few bits. `vectors`
have four times the step, since a text averages its tokens, and `up` has one and a half. Steps are fitted to their codes
by least squares, except that of `vectors`: a fitted step is shorter, an error that no average over tokens removes.
"""

import json
import math
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from pecl.files import parse_json

CODES, LAYOUT = "codes", "layout"  # tensors of a packed file
ZERO = 128  # the code of the mean
WHOLE = np.dtype("<i4")  # type of the stored differences of integers
STEP = 0.2  # of the shipped files, in standard deviations
AVERAGED = "vectors"  # over the tokens of a text
SHARES = {AVERAGED: 4.0, "up": 1.5}  # of the step, in changed word embeddings
_LONGEST_LAYOUT = 2**26  # bytes
_MOST_NUMBERS = 2**27  # in a file; its values take four bytes each
_STEPS = np.arange(256, dtype=np.float32) - ZERO  # steps from the mean, by code


def pack(state: Mapping[str, torch.Tensor], step: float = STEP) -> dict[str, torch.Tensor]:
    """Return the tensors of a file with an adapter's parameters in steps.

    Args:
        state: the parameters by name; the last part of a name is its role.
        step: for a role with several matrices, in standard deviations of values about their means; larger if a
            value is more than 127 steps away.

    Returns:
        `codes` (bytes,) uint8 and `layout` (bytes,) uint8, see `unpack`.
    """
    state = _rotated(state)
    roles: dict[tuple[str, bool, bool], list[str]] = {}
    for name, tensor in sorted(state.items()):
        roles.setdefault((_role(name), tensor.dtype == torch.int32, tensor.ndim > 1), []).append(name)

    codes: list[bytes] = []
    layout: list[tuple[int, list[tuple[Any, ...]]]] = []
    for (role, is_whole, is_matrix), names in roles.items():
        shapes = [list(state[name].shape) for name in names]
        if is_whole:
            numbers = [_differences(state[name].cpu().numpy()) for name in names]
            parameters: list[tuple[Any, ...]] = list(zip(names, shapes, strict=True))
        else:
            values = [state[name].detach().float().cpu().numpy() for name in names]
            is_halved = not is_matrix or f"head.{role}" in names
            share = step * (0.5 if is_halved else SHARES.get(role, 1.0))
            numbers, means, steps = _in_steps(values, share, shared=is_matrix, fitted=role != AVERAGED)
            parameters = list(zip(names, shapes, means, steps, strict=True))

        content = b"".join(part.astype(np.uint8).tobytes() for part in numbers)
        coder = zlib.compressobj(9, strategy=zlib.Z_HUFFMAN_ONLY)
        codes.append(coder.compress(content.rstrip(bytes([ZERO]))) + coder.flush())
        layout.append((len(codes[-1]), parameters))

    return {
        CODES: _as_bytes(b"".join(codes)),
        LAYOUT: _as_bytes(zlib.compress(json.dumps(layout, separators=(",", ":")).encode("utf-8"), 9)),
    }


def unpack(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Unpack the parameters of a shipped file to float32 or int32. Raise ValueError if layout and codes do not fit.

    `codes` (bytes,) uint8 has the codes of each role, compressed with zlib.
    `layout` (bytes,) uint8 is JSON, compressed with zlib: per role, the length of its compressed codes and its
    parameters, each with name, shape, mean and step. A value is mean + (code - 128) * step. Codes 128 at the end of a
    role are not stored. Integers, such as token ids, have no mean and step: they are stored as int32 differences, whose
    four bytes are four rows of codes.
    """
    try:
        codes, layout = (tensors[name].numpy().tobytes() for name in (CODES, LAYOUT))
        all_numbers = 0
        state: dict[str, torch.Tensor] = {}
        role_start = 0
        for size, parameters in parse_json(_decompressed(layout, _LONGEST_LAYOUT)):
            counts = [math.prod(shape) * (1 if scale else WHOLE.itemsize) for _, shape, *scale in parameters]
            all_numbers += sum(counts)
            if min(counts, default=0) < 0 or all_numbers > _MOST_NUMBERS:
                raise ValueError(f"expected at most {_MOST_NUMBERS:,} parameters, got {all_numbers:,}")
            numbers = np.frombuffer(_decompressed(codes[role_start : role_start + size], sum(counts)), np.uint8)
            numbers = np.pad(numbers, (0, sum(counts) - len(numbers)), constant_values=ZERO)

            start = 0
            for (name, shape, *scale), count in zip(parameters, counts, strict=True):
                parameter_codes = numbers[start : start + count]
                if scale:
                    mean, step = map(np.float32, scale)
                    values = (mean + _STEPS * step)[parameter_codes]  # (256,) by code
                else:
                    rows = parameter_codes.reshape(WHOLE.itemsize, -1)  # four rows of bytes
                    values = np.ascontiguousarray(rows.T).view(WHOLE).ravel().cumsum().astype(np.int32)
                state[name] = torch.from_numpy(values.reshape(shape))
                start += count
            role_start += size
    except (zlib.error, TypeError, LookupError, ValueError) as error:
        raise ValueError(f"codes and layout of the parameters do not fit together: {error}") from error
    return state


def _decompressed(content: bytes, limit: int) -> bytes:
    """Decompress with zlib; raise ValueError if the result is longer than `limit` bytes."""
    decoder = zlib.decompressobj()
    decompressed = decoder.decompress(content, max(limit, 1))
    if decoder.unconsumed_tail or not decoder.eof:
        raise ValueError(f"expected at most {limit:,} bytes, or the end of them is missing")
    return decompressed


def _role(name: str) -> str:
    return name.rpartition(".")[2]


def _rotated(state: Mapping[str, torch.Tensor]) -> Mapping[str, torch.Tensor]:
    """Return a state in which changed word embeddings are along the singular vectors of their product.

    Both factors have the root of a singular value in its column. Their product stays.
    """
    rotated = dict(state)
    for rows in (name for name in state if _role(name) == AVERAGED):
        columns = rows.removesuffix(AVERAGED) + "up"
        left, left_factor = torch.linalg.qr(state[rows].double())
        right, right_factor = torch.linalg.qr(state[columns].double())
        turned, values, back = torch.linalg.svd(left_factor @ right_factor.T, full_matrices=False)  # of the product

        for name, vectors in ((rows, left @ turned), (columns, right @ back.T)):
            rotated[name] = torch.zeros_like(state[name])
            rotated[name][:, : len(values)] = (vectors * values.sqrt())[:, : state[name].shape[1]]
    return rotated


def _in_steps(
    values: Sequence[np.ndarray], share: float, shared: bool, fitted: bool
) -> tuple[list[np.ndarray], list[float], list[float]]:
    """Return the codes, the mean and the step of each parameter of a role; the first step is `shared` by all or not."""
    means = [_rounded(array.mean()) for array in values]
    centred = [array - mean for array, mean in zip(values, means, strict=True)]
    if shared:
        steps = [_step(np.concatenate([array.ravel() for array in centred]), share)] * len(values)
    else:
        steps = [_step(array, share) for array in centred]

    counts = [np.rint(array / step).clip(-ZERO, ZERO - 1) for array, step in zip(centred, steps, strict=True)]
    if fitted:
        steps = [_fitted(array, count, step) for array, count, step in zip(centred, counts, steps, strict=True)]
    return [count + ZERO for count in counts], means, steps


def _fitted(values: np.ndarray, counts: np.ndarray, step: float) -> float:
    """Return the step with which counts of steps are nearest to values, by least squares; `step` if all are 0."""
    squares = float((counts * counts).sum())
    return _rounded(float((counts * values).sum()) / squares) if squares else step


def _differences(numbers: np.ndarray) -> np.ndarray:
    """Return the differences of whole numbers as bytes (4, N): the high bytes are mostly zeros, in long runs."""
    return np.diff(numbers.ravel(), prepend=0).astype(WHOLE).view(np.uint8).reshape(-1, WHOLE.itemsize).T


def _step(values: np.ndarray, share: float) -> float:
    """Return a share of the values' deviation; more if 127 steps do not reach the farthest value; 1 if all are 0."""
    return _rounded(max(share * values.std(), np.abs(values).max() / (ZERO - 1))) or 1.0


def _rounded(number: float) -> float:
    return float(f"{number:.6g}")


def _as_bytes(content: bytes) -> torch.Tensor:
    return torch.frombuffer(bytearray(content), dtype=torch.uint8)
