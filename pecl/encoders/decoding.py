"""`batches_ahead`: batches of an iterator, the next one made in a thread while the current one is used.

Pillow releases Python's lock while it decodes and resizes, so photographs are decoded next to the
work of the model.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

T = TypeVar("T")


def batches(items: Iterator[T], size: int) -> Iterator[list[T]]:
    """Yield lists of `size` items, the last one shorter; no item is read before its batch is asked for."""
    while batch := list(islice(items, size)):
        yield batch


def batches_ahead(items: Iterator[T], size: int) -> Iterator[list[T]]:
    """Yield the same lists as `batches`. The next one is read in a thread while the caller works on the current one.

    Only that thread reads `items`, at most one list ahead. An error of an item is raised where its
    list would follow.
    """
    lists = batches(items, size)
    with ThreadPoolExecutor(1, "pecl-decoding") as thread:
        batch = thread.submit(next, lists, None).result()
        while batch is not None:
            upcoming = thread.submit(next, lists, None)
            yield batch
            batch = upcoming.result()
