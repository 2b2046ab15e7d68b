"""`Embeddings`: the embeddings of any number of texts or images in files, used wherever a tensor of them is.

A frozen tower's embeddings are computed once (`pecl embed`) and read by their rows: as frozen anchors or images of a
training, or to be searched. The rows lie on disk; those of a batch are read when it is made.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pecl.errors import DataError
from pecl.files.rows import Rows, open_rows, write_rows

FORMAT = "pecl-embeddings-2"


class Embeddings:
    """N embeddings of width D, float32, in one or several files, in their order.

    `embeddings[rows]` is the tensor (B, D) of B rows and `embeddings[3]` the tensor (D,) of one, as of a tensor (N, D).
    `for row in embeddings` and `numpy.asarray(embeddings)` work, too. A file is safetensors with `embeddings` (n, D).

    Args:
        paths: the file, or all of them.
        check: read the files once, and compare them with their digests.

    Attributes:
        paths: the files.
        shape: (N, D).
        parts: the metadata of each file.

    Raises:
        DataError: a file is missing, damaged, something else, or of another width.

    Example:
        >>> anchors = Embeddings.write("anchors.safetensors", (tower.encode_text(batch) for batch in batches))
        >>> anchors[[3, 17]].shape
        torch.Size([2, 256])
    """

    def __init__(self, paths: str | Path | Sequence[str | Path], check: bool = True) -> None:
        self.paths = [Path(path) for path in ([paths] if isinstance(paths, str | Path) else paths)]
        if not self.paths:
            raise DataError("embeddings: expected at least one file, got none")
        opened = [_open(path, check) for path in self.paths]
        self._blocks = [rows for rows, _ in opened]
        self.parts = [metadata for _, metadata in opened]
        width = self._blocks[0].shape[1]
        for path, block in zip(self.paths, self._blocks, strict=True):
            if block.shape[1] != width:
                widths = f"{width} as those of {self.paths[0]}, got {block.shape[1]}"
                raise DataError(f"{path}: expected embeddings of width {widths}")
        ends = np.cumsum([len(block) for block in self._blocks])
        self._starts = np.array([0, *ends[:-1]])
        self.shape = (int(ends[-1]), width)

    @classmethod
    def write(cls, path: str | Path, batches: Iterable[torch.Tensor], metadata: Mapping[str, str] = {}) -> "Embeddings":
        """Write batches (B, D) of embeddings to `path` as they come, atomically, and return all of them.

        Raises:
            DataError: a number is NaN or infinite; nothing is written.
            OutputError: the folder cannot be written or the disk is full.
        """

        def blocks() -> Iterator[dict[str, np.ndarray]]:
            row = 0
            for batch in batches:
                bad = unusable_rows(batch)
                if bad:
                    raise DataError(f"{path}: expected finite numbers, got NaN or infinity in row {row + bad[0]}")
                row += len(batch)
                yield {"embeddings": batch.detach().float().cpu().numpy()}

        write_rows(path, ("embeddings",), blocks(), {**metadata, "format": FORMAT})
        return cls(path, check=False)

    @property
    def metadata(self) -> dict[str, str]:
        """Metadata of the first file."""
        return self.parts[0]

    def rows_of(self, part: int) -> int:
        """Return the number of rows of a file."""
        return len(self._blocks[part])

    def __repr__(self) -> str:
        rows, width = self.shape
        return f"{type(self).__name__}(rows={rows:_}, width={width}, files={len(self.paths)})"

    def __reduce__(self) -> tuple[Any, ...]:  # an open file cannot be sent to another process
        return type(self), (self.paths, False)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: int | Sequence[int] | slice | np.ndarray | torch.Tensor) -> torch.Tensor:
        if isinstance(rows, slice):
            return self._read(np.arange(*rows.indices(len(self))))
        chosen = np.asarray(rows)
        if chosen.dtype == bool and chosen.shape == (len(self),):
            return self._read(np.flatnonzero(chosen))
        if chosen.size == 0:
            chosen = chosen.astype(np.int64)
        if chosen.ndim > 1 or not np.issubdtype(chosen.dtype, np.integer):
            raise IndexError(f"expected a row, a list of rows, a slice or a mask of {len(self)}, got {rows!r}")
        if chosen.size and not -len(self) <= chosen.min() <= chosen.max() < len(self):
            raise IndexError(f"expected rows from 0 to {len(self) - 1}, got {rows!r}")
        found = self._read(np.atleast_1d(chosen).astype(np.int64) % max(len(self), 1))
        return found[0] if chosen.ndim == 0 else found

    def __iter__(self) -> Iterator[torch.Tensor]:
        """Yield each row (D,)."""
        for part in self._blocks:
            for block in part.blocks():
                yield from torch.from_numpy(block)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """Return all rows (N, D), read into memory: NumPy's protocol.

        Raises:
            ValueError: `copy` is False, which is impossible for rows on disk.
        """
        if copy is False:
            raise ValueError("embeddings lie on disk: an array of them is a copy, so leave copy=False out")
        return self[:].numpy().astype(dtype or np.float32, copy=False)

    def _read(self, rows: np.ndarray) -> torch.Tensor:
        """Return `rows` (B,), each from 0 to N - 1, as (B, D); neighbours in a file are read at once."""
        found = np.empty((len(rows), self.shape[1]), np.float32)
        if not len(rows):
            return torch.from_numpy(found)
        block = np.searchsorted(self._starts, rows, "right") - 1  # of files without rows, the one behind them
        ends = np.flatnonzero((np.diff(rows) != 1) | (np.diff(block) != 0)) + 1
        for start, stop in zip([0, *ends], [*ends, len(rows)], strict=True):
            part = block[start]
            self._blocks[part].read_into(found[start:stop], int(rows[start] - self._starts[part]))
        return torch.from_numpy(found)


def unusable_rows(batch: torch.Tensor) -> list[int]:
    """Return the rows of a batch (B, D) that hold NaN or infinity."""
    return (~torch.isfinite(batch).all(dim=1)).nonzero().flatten().tolist()


def _open(path: Path, check: bool) -> tuple[Rows, dict[str, str]]:
    tensors, metadata = open_rows(path, check)
    rows = tensors.get("embeddings")
    if metadata.get("format") != FORMAT or rows is None or len(tensors) > 1:
        raise DataError(f"{path}: expected embeddings as pecl embed writes them, got another safetensors file")
    if len(rows.shape) != 2 or rows.dtype != np.float32:
        raise DataError(f"{path}: expected embeddings (n, D) float32, got {rows.dtype} of shape {rows.shape}")
    return rows, metadata
