"""`Embeddings` and `TokenStore`: embeddings and token ids in files, used like those in memory.

The embeddings of a frozen tower are computed once, and serve as the anchors or images of a
training. They stay on disk; a batch reads its rows when it is made.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from pecl.errors import DataError
from pecl.files.columns import ArrowColumn, as_rows, blocks_of, read_column, write_column

if TYPE_CHECKING:
    import pyarrow as pa


class Embeddings:
    """N embeddings of width D, float32, in one file or several.

    `embeddings[rows]` is the tensor (B, D) of a list or a slice of rows, and `embeddings[3]` the
    tensor (D,) of one.

    Args:
        paths: the file, or the files in the order of their rows: Arrow with one column of lists of D float32.

    Attributes:
        shape: (N, D).

    Raises:
        DataError: a file is missing, damaged, of another format, of another width, or lacks a number.

    Example:
        >>> anchors = Embeddings.write("anchors.arrow", (tower.encode_text(batch) for batch in batches))
        >>> anchors[[3, 17]].shape
        torch.Size([2, 256])
    """

    def __init__(self, paths: str | Path | Sequence[str | Path]) -> None:
        self.paths = [Path(path) for path in ([paths] if isinstance(paths, str | Path) else paths)]
        self._parts = [part for path in self.paths for part in _parts(path)]
        if len({part.shape[1] for part in self._parts}) != 1:
            widths = ", ".join(str(part.shape[1]) for part in self._parts[:5])
            raise DataError(f"{self.paths}: expected embeddings of one width, got {widths or 'none'}")

        ends = np.cumsum([len(part) for part in self._parts])
        self._starts = np.array([0, *ends[:-1]])
        self.shape = (int(ends[-1]), self._parts[0].shape[1])

    @classmethod
    def write(cls, path: str | Path, batches: Iterable[torch.Tensor]) -> Embeddings:
        """Write batches (B, D) of embeddings to `path` as they come, atomically, and return all of them.

        Raises:
            DataError: there is no batch, one has another width, or a number is NaN or infinite; nothing is written.
            OutputError: the folder cannot be written or the disk is full.
        """
        import pyarrow as pa

        iterator = iter(batches)
        first = next(iterator, None)
        if first is None:
            raise DataError(f"{path}: expected at least one batch of embeddings, got none")
        width = first.shape[1]

        def arrays() -> Iterator[pa.Array]:
            row = 0
            for batch in chain([first], iterator):
                if batch.shape[1] != width:
                    raise DataError(f"{path}: expected embeddings of width {width}, got {batch.shape[1]} in row {row}")
                bad = unusable_rows(batch)
                if bad:
                    raise DataError(f"{path}: expected finite numbers, got NaN or infinity in row {row + bad[0]}")
                row += len(batch)
                yield as_arrow(batch)

        write_column(path, pa.list_(pa.float32(), width), arrays())
        return cls(path)

    def __len__(self) -> int:
        return self.shape[0]

    def __repr__(self) -> str:
        rows, width = self.shape
        return f"{type(self).__name__}(rows={rows:_}, width={width}, files={len(self.paths)})"

    def __getitem__(
        self,
        rows: int | slice | Sequence[int] | np.ndarray | torch.Tensor,
    ) -> torch.Tensor:
        if isinstance(rows, slice):
            rows = np.arange(*rows.indices(len(self)))

        row_numbers = np.asarray(rows)
        row_numbers = row_numbers if row_numbers.size else row_numbers.astype(np.int64)
        if row_numbers.ndim > 1 or row_numbers.dtype.kind not in "iu":
            raise IndexError(f"expected a row, a list of rows or a slice, got {rows!r}")

        indices = np.atleast_1d(np.where(row_numbers < 0, row_numbers + len(self), row_numbers)).astype(np.int64)
        if not ((indices >= 0) & (indices < len(self))).all():
            raise IndexError(f"expected rows from 0 to {len(self) - 1}, got {rows!r}")

        embeddings = np.empty((len(indices), self.shape[1]), np.float32)
        parts = np.searchsorted(self._starts, indices, "right") - 1
        for part in np.unique(parts):
            is_in_part = parts == part
            embeddings[is_in_part] = self._parts[part][indices[is_in_part] - self._starts[part]]

        return torch.from_numpy(embeddings if row_numbers.ndim else embeddings[0])


class TokenStore(ArrowColumn[list[int]]):
    """Token ids (list[int]) of N texts, on disk; `store[i]` reads those of one text.

    Training and encoding take a store in place of the lists that `MultilingualTextEncoder.tokenize` returns.

    Args:
        path: a file that `TokenStore.write` wrote: Arrow with one column of lists of int32.

    Raises:
        DataError: the file is missing, damaged, or of another format.

    Example:
        >>> store = TokenStore.write("de.tokens", (tower.tokenize([line])[0] for line in lines))
        >>> len(store), store[0]
        (3, [0, 331, 33289, 2])
    """

    def __init__(self, path: str | Path) -> None:
        import pyarrow as pa

        values = read_column(path, "token ids")
        if values.type != pa.list_(pa.int32()):
            raise DataError(f"{path}: expected token ids, got a column of {values.type}")
        super().__init__(values)
        self.path = Path(path)

    @classmethod
    def write(cls, path: str | Path, token_ids: Iterable[Sequence[int]]) -> TokenStore:
        """Write the token ids of texts to `path` as they come, atomically, and return the store.

        Raises:
            OutputError: the folder cannot be written or the disk is full.
        """
        import pyarrow as pa

        kind = pa.list_(pa.int32())
        write_column(path, kind, (pa.array(block, kind) for block in blocks_of(token_ids)))
        return cls(path)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.path)!r}, texts={len(self):_})"

    def lengths(self) -> np.ndarray:
        """Return the number of tokens of each text, (N,) int64."""
        lengths = [np.diff(chunk.offsets.to_numpy()) for chunk in self.values.chunks]
        return np.concatenate([np.empty(0, np.int64), *lengths])


def unusable_rows(batch: torch.Tensor) -> list[int]:
    """Return the rows of a batch (B, D) that hold NaN or infinity."""
    return (~torch.isfinite(batch).all(dim=1)).nonzero().flatten().tolist()


def as_arrow(batch: torch.Tensor) -> pa.FixedSizeListArray:
    """Return a batch (B, D) as an array of B lists of D float32."""
    import pyarrow as pa

    flat = pa.array(batch.detach().float().cpu().numpy().reshape(-1))
    return pa.FixedSizeListArray.from_arrays(flat, batch.shape[1])


def _parts(path: Path) -> list[np.ndarray]:
    import pyarrow as pa

    values = read_column(path, "embeddings")
    if not pa.types.is_fixed_size_list(values.type) or values.type.value_type != pa.float32():
        raise DataError(f"{path}: expected embeddings, lists of D float32, got a column of {values.type}")

    return as_rows(values, path)
