"""Dropout per row: the mask is a function of the row's seed, the layer, the token's position and the feature.

torch draws one mask for a whole batch, so the mask of a row depends on the rows around it and on
their padding. Here an element is dropped if a hash of (seed of the row, position) and (layer,
feature) falls below p. In a batch of several runs, packed or padded, on any device, each run
therefore has the mask that it would have alone. On a CPU the hash takes a third of the time of
torch's random numbers. On every device it needs only elementwise operations.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn

from pecl.encoders.memory import to_device
from pecl.encoders.packing import Packing, RowBatch
from pecl.files import sha256_bytes

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MULTIPLIER = 0x85EBCA6B - (1 << 32)  # multiplier of MurmurHash3's finalizer, as int32
_CHUNK = 1 << 15  # elements hashed at once on a CPU, so that they stay in its cache


def splitmix(numbers: np.ndarray) -> np.ndarray:
    """Hash uint64 numbers, even consecutive ones: the finalizer of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014)."""
    z = numbers * _GOLDEN
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def row_seeds(seed: int, rows: int) -> np.ndarray:
    """Return the seeds (rows,) uint64 of the rows of one step, from the step's own seed."""
    return splitmix(np.uint64(seed % 2**64) + np.arange(rows, dtype=np.uint64))


def _keys(seeds: np.ndarray, count: int) -> torch.Tensor:
    """Return int32 keys (*seeds.shape, count)."""
    numbers = splitmix(seeds[..., None] + np.arange(count, dtype=np.uint64))
    return torch.from_numpy((numbers >> np.uint64(32)).astype(np.uint32).view(np.int32))


class DropoutSeeds:
    """Seeds of the rows in the current pass, shared by all dropouts of a tower. Without seeds, torch draws masks."""

    def __init__(self) -> None:
        self.seeds: np.ndarray | None = None  # (B,) uint64
        self.packing: Packing | None = None  # packing of the current pass, if its rows are packed
        self._tokens: dict[Any, torch.Tensor] = {}

    @contextmanager
    def use(self, seeds: np.ndarray) -> Iterator[None]:
        """Use `seeds` (B,) uint64 for the rows of each pass in the body."""
        self.seeds = seeds
        self._tokens = {}
        try:
            yield
        finally:
            self.seeds, self._tokens = None, {}

    @contextmanager
    def packed(self, packing: Packing) -> Iterator[None]:
        """Treat the rows of the pass in the body as packed."""
        self.packing = packing
        try:
            yield
        finally:
            self.packing = None

    def tokens(self, shape: torch.Size, device: torch.device) -> torch.Tensor:
        """Return the int32 keys of the tokens of a padded (B, L) or packed (1, T) `shape`, on `device`."""
        assert self.seeds is not None
        packing = self.packing
        if packing is not None and shape == (packing.rows, packing.length):
            packing = None

        length = shape[1] if packing is None else packing.length
        if (length, packing) not in self._tokens:
            keys = to_device(_keys(self.seeds, length), device)  # (B, L)
            self._tokens[length, packing] = keys if packing is None else packing.pack(keys)

        return self._tokens[length, packing]

    def tokens_of(self, some: RowBatch, device: torch.device) -> torch.Tensor:
        """Return the int32 keys (G, L) of the positions of some rows of a packed batch, on `device`."""
        if some not in self._tokens:
            assert self.seeds is not None
            self._tokens[some] = to_device(_keys(self.seeds[some.rows.numpy()], some.length), device)
        return self._tokens[some]


class RowDropout(nn.Dropout):
    """A dropout of probability `p` that draws with `seeds` while they are set, and otherwise as torch does.

    `site` is a unique name of this dropout in the tower, such as its path.
    """

    def __init__(self, p: float, seeds: DropoutSeeds, site: str) -> None:
        super().__init__(p)
        self.row_seeds = seeds
        self.site = site
        self._features: dict[Any, torch.Tensor] = {}

    @property
    def draws_now(self) -> bool:
        """Whether elements are dropped now, with the rows' seeds."""
        return self.training and self.p > 0 and self.row_seeds.seeds is not None

    def forward(self, input: torch.Tensor, rows: RowBatch | None = None) -> torch.Tensor:
        """Drop elements of (B, f), of (B, L, f), padded or packed, or of attention weights (B, h, L, K).

        With `rows`, the weights belong to those rows of a packed batch.
        """
        if not self.draws_now:
            return super().forward(input)
        if self.p >= 1:
            return input * 0

        shape = input.shape
        device = input.device
        places = torch.Size((shape[0], 1 if input.dim() == 2 else shape[-2]))
        tokens = self.row_seeds.tokens(places, device) if rows is None else self.row_seeds.tokens_of(rows, device)

        if input.dim() < 4:
            tokens = tokens.view(*shape[:-1], 1)
            features = self._table(1, shape[-1], device)[0]
        else:  # (B, 1, L, 1); (h, 1, K): a head, and a position that is attended to
            tokens = tokens[:, None, :, None]
            features = self._table(shape[1], shape[3], device).unsqueeze(1)

        return _Drop.apply(input, tokens, features, self.p)

    def _table(self, groups: int, count: int, device: torch.device) -> torch.Tensor:
        """Return odd int32 keys (groups, count); a key depends only on its group and index."""
        if (groups, count, device) not in self._features:
            if len(self._features) > 64:  # one per sequence length
                self._features.clear()
            base = int(sha256_bytes(self.site.encode())[:16], 16)
            keys = _keys(row_seeds(base, groups), count)
            self._features[groups, count, device] = to_device(keys | 1, device)
        return self._features[groups, count, device]


class _Drop(torch.autograd.Function):
    """x * kept / (1 - p), as products: on a CPU several times as fast as filling by a mask."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, tokens: torch.Tensor, features: torch.Tensor, p: float) -> torch.Tensor:  # ty: ignore
        ctx.scale = 1 / (1 - p)
        mask = kept_mask(tokens, features, p)
        ctx.save_for_backward(mask)
        return (x * mask).mul_(ctx.scale)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, None, None, None]:
        (mask,) = ctx.saved_tensors
        return (grad * mask).mul_(ctx.scale), None, None, None


def kept_mask(tokens: torch.Tensor, features: torch.Tensor, p: float) -> torch.Tensor:
    """Return the mask of kept elements, uint8 0 or 1 of the shape of tokens * features, with p < 1.

    The first dimension of `tokens`, int32, is that of the result. `features` are odd, int32.
    """
    bound = min(round(p * 2**32) - 2**31, 2**31 - 1)
    if tokens.device.type != "cpu":
        return (_hashed(tokens, features) >= bound).view(torch.uint8)

    shape = torch.broadcast_shapes(tokens.shape, features.shape)
    mask = torch.empty(shape, dtype=torch.bool)
    flat = tokens
    out = mask
    if tokens.dim() == 3:  # (B, L, 1): rows of one feature vector each
        flat = tokens.flatten(0, 1)
        out = mask.view(-1, shape[-1])

    size = max(1, _CHUNK // max(1, out[:1].numel()))
    for start in range(0, len(flat), size):
        torch.ge(_hashed(flat[start : start + size], features), bound, out=out[start : start + size])
    return mask.view(torch.uint8)


def _hashed(tokens: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
    """Return int32 hashes. The product's high bits depend on all bits of both keys; the rest breaks its linearity."""
    hashed = tokens * features
    hashed ^= hashed >> 15
    hashed *= _MULTIPLIER
    return hashed


def use_row_dropout(tower: nn.Module, seeds: DropoutSeeds) -> None:
    """Replace every dropout of `tower`, a text tower with its adapter, by a `RowDropout` that uses `seeds`."""
    for path, module in list(tower.named_modules()):
        # also a `RowDropout`: the path may have changed, or a copy has other seeds
        if isinstance(module, nn.Dropout):
            tower.set_submodule(path, RowDropout(module.p, seeds, path).train(module.training))
