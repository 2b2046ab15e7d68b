"""glibc's allocator as it is by default, for a way of working that is not pecl's, where pecl has set it."""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Iterator

from pecl.encoders.memory import KEPT, LARGEST_BLOCK, keep_freed_memory

_MMAP_THRESHOLD, _TRIM_THRESHOLD = -3, -1
_DEFAULT = (32 * 2**20, 64 * 2**20)  # where glibc's moving thresholds end once blocks of 32 MiB have been freed


@contextlib.contextmanager
def default_allocator() -> Iterator[None]:
    """Hand memory back to the kernel in the body as glibc does by itself."""
    if not keep_freed_memory():  # it is as it was
        yield
        return
    _set(*_DEFAULT)
    try:
        yield
    finally:
        _set(LARGEST_BLOCK, KEPT)


def _set(largest: int, kept: int) -> None:
    libc = ctypes.CDLL(None)
    libc.mallopt(_MMAP_THRESHOLD, largest)
    libc.mallopt(_TRIM_THRESHOLD, kept)
