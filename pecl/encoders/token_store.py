"""`TokenStore`: token ids of any number of texts in one file, used wherever lists of them are."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import overload

import numpy as np

from pecl.errors import DataError
from pecl.files.rows import open_rows, write_rows

FORMAT = "pecl-tokens-2"
_ROWS = 4096  # texts that are written together


class TokenStore(Sequence[list[int]]):
    """Token ids (list[int]) of N texts, on disk; each is read when it is asked for.

    A store is a sequence of lists as `MultilingualTextEncoder.tokenize` gives it, for training and encoding alike. The
    file is safetensors: `offsets` (N + 1,) int64 and `ids` (T,) int32, text i is `ids[offsets[i]:offsets[i + 1]]`.

    Args:
        path: a file that `TokenStore.write` wrote.
        check: read the file once, and compare it with its digest.

    Attributes:
        metadata: texts that the file names itself by.

    Raises:
        DataError: the file is missing, damaged, or something else.

    Example:
        >>> store = TokenStore.write("de.tokens", (tower.tokenize([line])[0] for line in lines))
        >>> len(store), store[0]
        (3, [0, 331, 33289, 2])
    """

    def __init__(self, path: str | Path, check: bool = True) -> None:
        tensors, metadata = open_rows(path, check)
        if metadata.get("format") != FORMAT or tensors.keys() != {"offsets", "ids"}:
            raise DataError(f"{path}: expected token ids as TokenStore.write writes them, got another safetensors file")
        self.path, self.metadata = Path(path), metadata
        self._offsets, self._ids = tensors["offsets"], tensors["ids"]
        rows = len(self._offsets)
        ends = [self._offsets.read(row, row + 1).tolist() for row in (0, rows - 1)] if rows else []
        if ends != [[0], [len(self._ids)]]:
            raise DataError(f"{path} is damaged (its parts are of different length); delete it and make it again")

    @classmethod
    def write(
        cls, path: str | Path, token_ids: Iterable[Sequence[int]], metadata: Mapping[str, str] = {}
    ) -> "TokenStore":
        """Write the token ids of texts to `path` as they come, atomically, and return the store.

        Args:
            path: the file.
            token_ids: token ids of each text.
            metadata: kept with them, and part of their digest.

        Raises:
            OutputError: the folder cannot be written or the disk is full.
        """
        write_rows(path, ("offsets", "ids"), _blocks(token_ids), {**metadata, "format": FORMAT})
        return cls(path, check=False)

    @property
    def digest(self) -> str:
        """SHA-256 of the token ids, of where each text begins, and of the metadata: equal texts, equal digest."""
        return self.metadata["digest"]

    @property
    def tokens(self) -> int:
        """Number of tokens of all texts."""
        return len(self._ids)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.path)!r}, texts={len(self):_}, tokens={self.tokens:_})"

    def __len__(self) -> int:
        return len(self._offsets) - 1

    @overload
    def __getitem__(self, index: int) -> list[int]: ...

    @overload
    def __getitem__(self, index: slice) -> list[list[int]]: ...

    def __getitem__(self, index: int | slice) -> list[int] | list[list[int]]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        place = range(len(self))[index]  # IndexError beyond the end, as lists raise it
        start, end = self._offsets.read(place, place + 2).tolist()
        return self._ids.read(start, end).tolist()

    def lengths(self) -> np.ndarray:
        """Return the number of tokens of each text, (N,) int64."""
        return np.diff(self._offsets.read(0, len(self._offsets)))


def _blocks(token_ids: Iterable[Sequence[int]]) -> Iterator[dict[str, np.ndarray]]:
    """Yield both tensors block by block."""
    rows, end = iter(token_ids), 0
    yield {"offsets": np.zeros(1, np.int64)}
    while block := list(islice(rows, _ROWS)):
        offsets = end + np.cumsum([len(row) for row in block], dtype=np.int64)
        end = int(offsets[-1])
        ids = np.fromiter((token for row in block for token in row), np.int32, end - int(offsets[0]) + len(block[0]))
        yield {"offsets": offsets, "ids": ids}
