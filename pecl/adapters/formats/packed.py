"""Read parameters of a few bits each, as the shipped adapter files hold them; `scripts/pack_adapters.py` writes them.

A file has two tensors. `codes` (bytes,) uint8 are the codes of each role, compressed by zlib. `layout` (bytes,) uint8
is JSON that zlib compressed: of each role, its compressed bytes and its parameters, each with name, shape, mean and
step. A code counts equal steps from the mean; codes of the mean at the end of a role are not stored. Whole numbers,
such as token ids, are int32 without mean and step: differences, whose four bytes are four rows of codes.
"""

import json
import math
import zlib
from collections.abc import Mapping

import numpy as np
import torch

CODES, LAYOUT = "codes", "layout"
ZERO = 128  # the code of the mean
WHOLE = np.dtype("<i4")  # the differences of whole numbers
_STEPS = np.arange(256, dtype=np.float32) - ZERO  # of each code


def is_packed(tensors: Mapping[str, torch.Tensor]) -> bool:
    """Return whether these are the tensors of packed parameters."""
    return set(tensors) == {CODES, LAYOUT}


def unpack(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return packed parameters, float32 or int32; raise ValueError if layout and codes do not fit."""
    try:
        codes, layout = (tensors[name].numpy().tobytes() for name in (CODES, LAYOUT))
        at, state = 0, dict[str, torch.Tensor]()
        for size, parameters in json.loads(zlib.decompress(layout)):
            numbers = np.frombuffer(zlib.decompress(codes[at : at + size]), np.uint8)
            counts = [math.prod(shape) * (1 if scale else WHOLE.itemsize) for _, shape, *scale in parameters]
            numbers, first = np.pad(numbers, (0, sum(counts) - len(numbers)), constant_values=ZERO), 0
            for (name, shape, *scale), count in zip(parameters, counts, strict=True):
                state[name] = torch.from_numpy(_values(numbers[first : first + count], *scale).reshape(shape))
                first += count
            at += size
    except (zlib.error, TypeError, LookupError, ValueError) as error:
        raise ValueError(f"codes and layout of the parameters do not fit together: {error}") from error
    return state


def _values(codes: np.ndarray, mean: float | None = None, step: float | None = None) -> np.ndarray:
    """Return the values of codes (N,) of one parameter; whole numbers have no mean and no step."""
    if mean is None or step is None:
        rows = codes.reshape(WHOLE.itemsize, -1)  # four rows of bytes
        return np.ascontiguousarray(rows.T).view(WHOLE).ravel().cumsum().astype(np.int32)
    return (np.float32(mean) + _STEPS * np.float32(step))[codes]  # (256,) by code
