"""The few-shot split of the method: k pairs to train on, k to validate on, all the rest to test on.

Source: the released code's seeded permutation; XTD10 at k = 50 gives 50 / 50 / 900. The test
gallery therefore shrinks with k, and galleries of different sizes are not comparable. Data that
were published in three parts keep them: k pairs are drawn from the training part, or all of it is used.
"""

from typing import NamedTuple

from pecl.data.captions import PARTS, ParallelCaptions
from pecl.errors import DataError, not_none


class Split(NamedTuple):
    """Indices of the training, validation and test items, in the order of the permutation."""

    train: tuple[int, ...]
    val: tuple[int, ...]
    test: tuple[int, ...]

    def __repr__(self) -> str:
        return f"Split(train: {len(self.train)} items, val: {len(self.val)}, test: {len(self.test)})"


def few_shot_split(n: int, shots: int | None, seed: int = 42) -> Split:
    """Split `n` items by `torch.randperm(n)` seeded with `seed`: first `shots` train, next `shots` val, rest test.

    Raises:
        DataError: `shots` is not a number or less than 1, or too large to leave a single test item.
    """
    shots = check_shots(n, shots)
    order = tuple(_permutation(n, seed))
    return Split(order[:shots], order[shots : 2 * shots], order[2 * shots :])


def _permutation(n: int, seed: int) -> list[int]:
    import torch  # checks need no torch

    return torch.randperm(n, generator=torch.Generator().manual_seed(seed)).tolist()


def check_split(captions: ParallelCaptions, shots: int | None) -> None:
    """Raise DataError as `split_captions` does, without torch."""
    if captions.part is None:
        check_shots(len(_items(captions)), shots)
        return

    check_parts(captions)
    size = captions.part.count("train")
    if shots is not None and not 1 <= shots <= size:
        raise DataError(
            f"expected 1 to {size}, the pairs of the training part of {captions.dataset}, or all, got {shots}",
            field="shots",
        )


def check_shots(n: int, shots: int | None) -> int:
    """Return `shots`. Raise DataError if it is None or less than 1, or `n` items are too few for the split."""
    if shots is None:
        raise DataError(
            "expected a number, got all: these data have no training, validation and test parts", field="shots"
        )
    if shots < 1:
        raise DataError(f"expected a whole number >= 1, got {shots}", field="shots")
    if 2 * shots >= n:
        raise DataError(
            f"expected at most {max((n - 1) // 2, 0)} of a pool of {n}, so that some are left to test on, got "
            f"{shots} to train and as many to validate",
            field="shots",
        )

    return shots


def split_captions(captions: ParallelCaptions, shots: int | None, seed: int = 42) -> Split:
    """Return the indices of the training, validation and test captions.

    They are drawn with `few_shot_split`. If captions share an image (Multi30K task 2), images are
    split instead of captions, each with all its captions: no image is in two parts. Then `shots`
    counts images. Captions that were published in parts stay in them, and `shots` of the training
    part are drawn (None: all of it).
    """
    if captions.part is not None:
        check_split(captions, shots)
        train, val, test = (published_part(captions, part) for part in PARTS)
        if shots is not None:
            train = tuple(train[i] for i in _permutation(len(train), seed)[:shots])
        return Split(train, val, test)

    items = _items(captions)
    split = few_shot_split(len(items), shots, seed)
    return Split(*(tuple(caption for i in part for caption in items[i]) for part in split))


def _items(captions: ParallelCaptions) -> list[list[int]]:
    """Return the captions of each item to split: those of one image, or, without images, one caption."""
    # image -> its captions; for one caption per image, item i -> [i]
    of_item: dict[int, list[int]] = {}
    for caption, item in enumerate(captions.image_index or range(len(captions))):
        of_item.setdefault(item, []).append(caption)
    return list(of_item.values())


def published_part(captions: ParallelCaptions, part: str) -> tuple[int, ...]:
    """Return the indices of the captions that were published in `part`. Raise DataError if there is none."""
    parts = not_none(captions.part, "part")
    indices = tuple(i for i, name in enumerate(parts) if name == part)
    if not indices:
        names = ", ".join(sorted(set(parts)))
        raise DataError(f"{captions.dataset}/{captions.language} has no caption in its {part} part, only in {names}")
    return indices


def check_parts(captions: ParallelCaptions) -> None:
    """Raise DataError if a published part is empty, or an image is in two parts."""
    parts = not_none(captions.part, "part")
    sizes = {part: parts.count(part) for part in PARTS}
    empty = [part for part, size in sizes.items() if not size]
    if empty:
        raise DataError(f"{captions.dataset}/{captions.language} has no caption in its {empty[0]} part: got {sizes}")

    part_of: dict[int, str] = {}  # image -> its part
    for image, part in zip(captions.image_index or (), parts, strict=False):
        if part_of.setdefault(image, part) != part:
            name = str(image) if captions.images is None else captions.images.ids[image]
            raise DataError(
                f"{captions.dataset}/{captions.language}: image {name} is in the parts "
                f"{part_of[image]} and {part}: expected each image in one"
            )
