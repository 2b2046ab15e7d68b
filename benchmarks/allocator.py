"""glibc's default allocator, for a procedure other than pecl's after pecl has changed the allocator."""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Iterator

from pecl.encoders.memory import KEPT, LARGEST_BLOCK, keep_freed_memory

_MMAP_THRESHOLD, _TRIM_THRESHOLD = -3, -1
# glibc's dynamic thresholds after blocks of 32 MiB have been freed
_DEFAULT = (32 * 2**20, 64 * 2**20)


@contextlib.contextmanager
def default_allocator() -> Iterator[None]:
    """Return freed memory to the kernel inside the body, as glibc does by default."""
    if not keep_freed_memory():  # the allocator was not changed
        yield
        return

    _set(*_DEFAULT)
    try:
        yield
    finally:
        _set(LARGEST_BLOCK, KEPT)


def _set(largest: int, trim: int) -> None:
    libc = ctypes.CDLL(None)
    libc.mallopt(_MMAP_THRESHOLD, largest)
    libc.mallopt(_TRIM_THRESHOLD, trim)
