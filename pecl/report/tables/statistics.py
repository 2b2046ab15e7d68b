"""Hits of test items, whose mean is the score, and bootstrap intervals of such means."""

from collections.abc import Iterable

import numpy as np

from pecl.errors import not_none
from pecl.results.result import Result
from pecl.retrieval.measures import DIRECTIONS, LEVEL, SAMPLES, bootstrap_intervals

BEST = "best"
_BLOCK = 256  # arrays that are resampled together
BOOTSTRAP = f"{LEVEL:.0%} percentile bootstrap over test items, {SAMPLES:,} resamples, seed 0"


def hits(result: Result, stage: str | None = None) -> np.ndarray:
    """Return for each test item the mean over both directions of "its rank is 1", (N,); its mean is mean recall@1.

    With several captions per image the item is the image, whose captions are drawn together: theirs are added up, and
    weighted so that the direction counts for half, as in the metric. The default stage is the last that was measured.
    """
    gallery = result.data.gallery
    of_items, of_texts = (
        (np.asarray(result.ranks(direction, stage=stage)) == 1).astype(float) for direction in DIRECTIONS[gallery.kind]
    )
    if len(of_items) != len(of_texts):
        items = not_none(gallery.items, "items")
        of_texts = np.bincount(items, of_texts, len(of_items)) * (len(of_items) / len(of_texts))
    return (of_items + of_texts) / 2


def gain(result: Result) -> np.ndarray:
    """Return (N,): for each test item its hits after training less those of the tower without adapter."""
    return hits(result, BEST) - hits(result, "zero_shot")


def intervals(per_item: Iterable[np.ndarray]) -> np.ndarray:
    """Return (K, 2): the bootstrap interval of the mean of each of K arrays, which may differ in length."""
    arrays = list(per_item)
    found = np.empty((len(arrays), 2))
    for length in {len(values) for values in arrays}:
        places = [place for place, values in enumerate(arrays) if len(values) == length]
        for start in range(0, len(places), _BLOCK):
            block = places[start : start + _BLOCK]
            found[block] = bootstrap_intervals(np.stack([arrays[place] for place in block]))
    return found
