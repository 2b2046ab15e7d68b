"""Write parameters in a few bits each, for the adapter files that are shipped; see `pecl.adapters.formats.files`.

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

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from pecl.adapters.formats.files import CODES, LAYOUT, WHOLE, ZERO

STEP = 0.2  # of the shipped files, in standard deviations
AVERAGED = "vectors"  # over the tokens of a text
SHARES = {AVERAGED: 4.0, "up": 1.5}  # of the step, in changed word embeddings


def pack(state: Mapping[str, torch.Tensor], step: float = STEP) -> dict[str, torch.Tensor]:
    """Return the tensors of a file with an adapter's parameters in steps.

    Args:
        state: the parameters by name; the last part of a name is its role.
        step: for a role with several matrices, in standard deviations of values about their means; larger if a
            value is more than 127 steps away.

    Returns:
        `codes` (bytes,) uint8 and `layout` (bytes,) uint8.
    """
    roles: dict[tuple[str, bool, bool], list[str]] = {}
    state = _rotated(state)
    for name, tensor in sorted(state.items()):
        roles.setdefault((name.rpartition(".")[2], tensor.dtype == torch.int32, tensor.ndim > 1), []).append(name)
    codes: list[bytes] = []
    layout: list[tuple[int, list[tuple[Any, ...]]]] = []
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
            share = step * (SHARES.get(role, 1.0) if matrices and f"head.{role}" not in names else 0.5)
            steps = [_step(own, share) for own in shared]
            counts = [np.rint(own / one).clip(-ZERO, ZERO - 1) for own, one in zip(centred, steps, strict=True)]
            numbers = [own + ZERO for own in counts]
            fitted = steps if role == AVERAGED else [_fitted(*own) for own in zip(centred, counts, steps, strict=True)]
            parameters = list(zip(names, shapes, means, fitted, strict=True))
        content = b"".join(own.astype(np.uint8).tobytes() for own in numbers)
        coder = zlib.compressobj(9, strategy=zlib.Z_HUFFMAN_ONLY)
        codes.append(coder.compress(content.rstrip(bytes([ZERO]))) + coder.flush())
        layout.append((len(codes[-1]), parameters))
    return {
        CODES: _as_bytes(b"".join(codes)),
        LAYOUT: _as_bytes(zlib.compress(json.dumps(layout, separators=(",", ":")).encode("utf-8"), 9)),
    }


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
