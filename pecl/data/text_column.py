"""`TextColumn`: any number of texts as UTF-8, in memory or, beyond `IN_MEMORY`, in a nameless file.

A Python string takes some 50 bytes besides its text. Here a text takes its bytes and an offset. The file lies in the
cache folder and has no name, so it vanishes with the process.
"""

import mmap
import tempfile
from collections.abc import Iterator, Sequence
from typing import overload

import numpy as np

from pecl.errors import OutputError
from pecl.files import default_cache_dir

IN_MEMORY = 1 << 26  # bytes of a column in memory; a larger one lies in a file
_TOGETHER = 4096  # texts that are written together


class TextColumn(Sequence[str]):
    """N texts, each decoded on access. `TextWriter` makes one.

    Args:
        content: M >= N written texts, as UTF-8.
        offsets: (M + 1,) int64; text i is `content[offsets[i]:offsets[i + 1]]`.
        places: (N,) indices of the texts, in order; None for all.
    """

    def __init__(self, content: bytes | mmap.mmap, offsets: np.ndarray, places: np.ndarray | None = None) -> None:
        self._content, self._offsets, self._places = content, offsets, places

    def __len__(self) -> int:
        return len(self._offsets) - 1 if self._places is None else len(self._places)

    @overload
    def __getitem__(self, index: int) -> str: ...

    @overload
    def __getitem__(self, index: slice) -> list[str]: ...

    def __getitem__(self, index: int | slice) -> str | list[str]:
        if not isinstance(index, slice):
            return self._read(np.array([range(len(self))[index]]))[0]  # IndexError beyond the end, as lists raise it
        return self._read(np.arange(*index.indices(len(self))))

    def __iter__(self) -> Iterator[str]:
        for start in range(0, len(self), _TOGETHER):
            yield from self[start : start + _TOGETHER]

    def _read(self, chosen: np.ndarray) -> list[str]:
        places = chosen if self._places is None else self._places[chosen].astype(np.int64)
        begins, ends = self._offsets[places].tolist(), self._offsets[places + 1].tolist()
        return [self._content[begin:end].decode("utf-8") for begin, end in zip(begins, ends, strict=True)]

    def take(self, places: Sequence[int] | np.ndarray) -> "TextColumn":
        """Return the texts at `places`, in that order; texts are not copied."""
        chosen = np.asarray(places, np.uint32)
        return TextColumn(self._content, self._offsets, chosen if self._places is None else self._places[chosen])


class TextWriter:
    """Collects texts into a column; OutputError says that the cache cannot be written or the disk is full."""

    def __init__(self) -> None:
        self._content, self._offsets = _Bytes(), _Bytes()
        self._pending: list[bytes] = []
        self._end = 0
        self._offsets.append(np.zeros(1, np.int64).tobytes())

    def append(self, text: bytes) -> None:
        """Add a text as UTF-8."""
        self._pending.append(text)
        if len(self._pending) == _TOGETHER:
            self._flush()

    def _flush(self) -> None:
        ends = self._end + np.cumsum([len(text) for text in self._pending], dtype=np.int64)
        self._content.append(b"".join(self._pending))
        self._offsets.append(ends.tobytes())
        self._end = int(ends[-1])
        self._pending = []

    def column(self) -> TextColumn:
        """Finish and return the column."""
        if self._pending:
            self._flush()
        return TextColumn(self._content.value(), np.frombuffer(self._offsets.value(), np.int64))


class _Bytes:
    """Growing bytes: in memory, and beyond `IN_MEMORY` in a nameless file."""

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(IN_MEMORY, dir=str(default_cache_dir()))  # noqa: SIM115 (it is kept)
        self._size = 0

    def append(self, block: bytes) -> None:
        self._size += len(block)
        try:
            if self._size > IN_MEMORY:  # the file is made now
                default_cache_dir().mkdir(parents=True, exist_ok=True)
            self._file.write(block)
        except OSError as error:
            raise _cannot_write(error) from error

    def value(self) -> bytes | mmap.mmap:
        try:
            if self._size <= IN_MEMORY:
                self._file.seek(0)
                return self._file.read()
            self._file.flush()
            return mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ)
        except OSError as error:
            raise _cannot_write(error) from error


def _cannot_write(error: OSError) -> OutputError:
    return OutputError(
        f"cannot write the training text into {default_cache_dir()}: {error.strerror or error}; PECL_CACHE_DIR names "
        "another folder"
    )
