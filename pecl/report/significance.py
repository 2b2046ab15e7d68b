"""Tests and intervals of paired differences over items and languages."""

import math
from collections.abc import Sequence

import numpy as np

from pecl.retrieval.measures import LEVEL, SAMPLES

_LARGEST_DENOMINATOR = 1000


def sign_flip_p(differences: np.ndarray) -> float:
    """Return the two-sided p-value of the mean of paired differences (N,) being 0; 1 if all are 0.

    It is Fisher's test that flips signs (The Design of Experiments, 1935, section 21). It is exact for fractions with a
    common denominator of at most 1,000, as hits averaged over directions and seeds are; otherwise it is the normal
    approximation. For hits of 0 or 1 it is McNemar's exact test.
    """
    values = differences[np.abs(differences) > 1e-12]
    if len(values) == 0:
        return 1.0

    sizes = np.unique(np.abs(values))
    for denominator in range(1, _LARGEST_DENOMINATOR + 1):
        if np.abs(sizes * denominator - np.rint(sizes * denominator)).max() < 1e-6:
            return _all_signs_p(np.rint(values * denominator).astype(int))

    z = abs(float(values.sum())) / math.sqrt(float(np.square(values).sum()))
    return math.erfc(z / math.sqrt(2))


def wilcoxon_p(differences: Sequence[float]) -> float:
    """Return the exact two-sided p-value of Wilcoxon's signed-rank test (Biometrics Bulletin 1, 1945).

    Differences of 0 are left out, and equal ones share their mean rank; 1 if all are 0.
    """
    values = np.round(np.asarray(differences, dtype=float), 12)
    values = values[values != 0]
    if len(values) == 0:
        return 1.0

    sizes = np.abs(values)
    below = (sizes[None, :] < sizes[:, None]).sum(axis=1)
    equal = (sizes[None, :] == sizes[:, None]).sum(axis=1)
    doubled_ranks = 2 * below + equal + 1  # whole numbers, also for mean ranks
    return _all_signs_p(np.where(values > 0, doubled_ranks, -doubled_ranks))


def _all_signs_p(values: np.ndarray) -> float:
    """Return the share of all signs of whole numbers (N,) whose sum is at least as far from 0 as that of `values`."""
    sizes = np.abs(values)

    # The distribution of the sum of the positive numbers, if each sign is a fair coin
    shares = np.zeros(sizes.sum() + 1)
    shares[0] = 1.0
    for size in sizes:
        with_size = np.zeros_like(shares)
        with_size[size:] = shares[:-size]
        shares = (shares + with_size) / 2

    positive = values[values > 0].sum()
    smaller = min(positive, sizes.sum() - positive)
    return min(1.0, 2 * float(shares[: smaller + 1].sum()))


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values corrected for their number by Holm's method (Scandinavian Journal of Statistics 6, 1979)."""
    corrected = [0.0] * len(p_values)
    largest = 0.0
    for smaller_values, index in enumerate(np.argsort(p_values, kind="stable")):
        factor = len(p_values) - smaller_values
        largest = max(largest, min(1.0, factor * p_values[index]))
        corrected[index] = largest
    return corrected


def two_level_interval(differences: np.ndarray, samples: int = SAMPLES, seed: int = 0) -> tuple[float, float]:
    """Return the percentile bootstrap interval of the mean of (languages, items).

    Each resample draws languages, then items. All of its languages have the same items, since they search in one
    gallery.
    """
    languages, items = differences.shape
    generator = np.random.default_rng(seed)
    language_counts = generator.multinomial(languages, np.full(languages, 1 / languages), size=samples)
    item_counts = generator.multinomial(items, np.full(items, 1 / items), size=samples)

    means = ((language_counts @ differences) * item_counts).sum(axis=1) / (languages * items)
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
