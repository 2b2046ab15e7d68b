"""The few-shot split of the method: k pairs to train on, k to validate on, all the rest to test on.

Source: the released code's seeded permutation; XTD10 at k = 50 gives 50 / 50 / 900. The test gallery therefore shrinks
with k, and galleries of different sizes are not comparable.
"""

from __future__ import annotations

from typing import NamedTuple

from pecl.data.captions import ParallelCaptions
from pecl.errors import DataError


class Split(NamedTuple):
    """Indices of the training, validation and test items, in the order of the permutation."""

    train: tuple[int, ...]
    val: tuple[int, ...]
    test: tuple[int, ...]


def few_shot_split(n: int, shots: int, seed: int = 42) -> Split:
    """Split `n` items by `torch.randperm(n)` seeded with `seed`: first `shots` train, next `shots` val, rest test.

    Raises:
        DataError: as `check_shots`.
    """
    import torch  # here, since whoever only checks needs none

    check_shots(n, shots)
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed)).tolist()
    return Split(tuple(order[:shots]), tuple(order[shots : 2 * shots]), tuple(order[2 * shots :]))


def check_shots(n: int, shots: int) -> None:
    """Refuse a split that `n` items are too few for.

    Raises:
        DataError: `shots` is less than 1, or the pool is too small to leave a single test item.
    """
    if shots < 1:
        raise DataError(f"shots is {shots}, expected at least 1")
    if 2 * shots >= n:
        raise DataError(
            f"shots={shots} is too large for a pool of {n}: {shots} to train and {shots} to validate must leave some "
            f"to test on, so shots can be at most {max((n - 1) // 2, 0)}"
        )


def count_items(captions: ParallelCaptions) -> int:
    """Return the number of items that `split_captions` splits: images that captions are of, or else captions."""
    return len(captions) if captions.image_index is None else len(set(captions.image_index))


def split_captions(captions: ParallelCaptions, shots: int, seed: int = 42) -> Split:
    """Return the indices of the training, validation and test captions of `few_shot_split`.

    Where captions share an image (Multi30K task 2), images are split instead of captions, and each takes all its
    captions along: no image is on two sides. Then `shots` counts images.
    """
    owner = captions.image_index or range(len(captions))
    of_item: dict[int, list[int]] = {}  # image -> its captions; for one caption an image, item i -> [i]
    for caption, item in enumerate(owner):
        of_item.setdefault(item, []).append(caption)
    items = list(of_item.values())
    return Split(
        *(tuple(caption for i in part for caption in items[i]) for part in few_shot_split(len(items), shots, seed))
    )
