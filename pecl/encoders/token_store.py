"""`TokenStore`: token ids of any number of texts in one file, used wherever lists of them are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from pecl.errors import DataError
from pecl.files.columns import ArrowColumn, blocks_of, read_column, write_column


class TokenStore(ArrowColumn[list[int]]):
    """Token ids (list[int]) of N texts, on disk; each is read when it is asked for.

    A store is a sequence of lists as `MultilingualTextEncoder.tokenize` gives it, for training and encoding alike.

    Args:
        path: a file that `TokenStore.write` wrote: Arrow with one column of lists of int32.

    Raises:
        DataError: the file is missing, damaged, or something else.

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
