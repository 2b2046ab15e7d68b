"""`Embeddings`: the embeddings of any number of texts or images in files, used wherever a tensor of them is.

What a frozen tower gives is computed once (`pecl embed`) and read by its rows: as frozen anchors or images of a
training, or to be searched. The rows lie on disk; those of a batch are read when it is made.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from pecl.encoders.mapped import map_tensors, write_mapped
from pecl.errors import DataError

FORMAT = "pecl-embeddings-1"


class Embeddings:
    """N embeddings of width D, float32, in one or several files, in their order.

    `embeddings[rows]` is the tensor (B, D) of B rows, as it is of a tensor (N, D). A file is safetensors with
    `embeddings` (n, D).

    Args:
        paths: the file, or all of them.
        check: read the files once, and compare them with their digests.

    Attributes:
        shape: (N, D).
        metadata: what the first file says of itself.

    Raises:
        DataError: a file is missing, damaged, something else, or of another width.

    Example:
        >>> anchors = Embeddings.write("anchors.safetensors", (tower.encode_text(batch) for batch in batches))
        >>> anchors[[3, 17]].shape
        torch.Size([2, 256])
    """

    def __init__(self, paths: str | Path | Sequence[str | Path], check: bool = True) -> None:
        self.paths = [Path(path) for path in ([paths] if isinstance(paths, str | Path) else paths)]
        self._blocks: list[np.ndarray] = []
        self._starts: list[int] = []
        rows = 0
        for path in self.paths:
            tensors, metadata = map_tensors(path, check)
            if metadata.get("format") != FORMAT or tensors.keys() != {"embeddings"} or tensors["embeddings"].ndim != 2:
                raise DataError(f"{path}: expected embeddings as pecl embed writes them, got another safetensors file")
            block = tensors["embeddings"]
            if self._blocks and block.shape[1] != self._blocks[0].shape[1]:
                widths = f"{self._blocks[0].shape[1]} as those of {self.paths[0]}, got {block.shape[1]}"
                raise DataError(f"{path}: expected embeddings of width {widths}")
            if not self._blocks:
                self.metadata = metadata
            self._starts.append(rows)
            self._blocks.append(block)
            rows += len(block)
        if not self._blocks:
            raise DataError("embeddings: expected at least one file, got none")
        self.shape = (rows, self._blocks[0].shape[1])

    @classmethod
    def write(cls, path: str | Path, batches: Iterable[torch.Tensor], metadata: Mapping[str, str] = {}) -> Embeddings:
        """Write batches (B, D) of embeddings to `path` as they come, atomically, and return all of them.

        Raises:
            OutputError: the folder cannot be written or the disk is full.
        """
        blocks = ({"embeddings": batch.detach().float().cpu().numpy()} for batch in batches)
        write_mapped(path, ("embeddings",), blocks, {**metadata, "format": FORMAT})
        return cls(path, check=False)

    def __repr__(self) -> str:
        rows, width = self.shape
        return f"{type(self).__name__}(rows={rows:_}, width={width}, files={len(self.paths)})"

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Sequence[int] | slice) -> torch.Tensor:
        rows = range(*rows.indices(len(self))) if isinstance(rows, slice) else rows
        found = np.empty((len(rows), self.shape[1]), np.float32)
        for place, row in enumerate(rows):
            row = range(len(self))[row]  # IndexError beyond the end, as tensors raise it
            block = bisect_right(self._starts, row) - 1
            found[place] = self._blocks[block][row - self._starts[block]]
        return torch.from_numpy(found)  # (B, D)
