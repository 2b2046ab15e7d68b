"""Tests and intervals of differences over test items, seeds and languages."""

import math
from collections.abc import Sequence
from typing import NamedTuple

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


class Estimate(NamedTuple):
    """A mean difference with the p-value of it being 0, and its interval."""

    mean: float
    p: float
    low: float
    high: float


def seeds_and_items(first: np.ndarray, second: np.ndarray) -> Estimate:
    """Return the mean difference of two methods' hits, (seeds, items) each, if other seeds and items might be drawn.

    The items are paired, and the seeds of both methods are independent draws. The variance of the mean difference is
    the sum of three: of the differences over items, averaged over seeds, and of each method's scores over its seeds. A
    method with one row, such as the base encoder, does not vary over seeds. The test is Student's, with the degrees of
    freedom of Satterthwaite (Biometrics Bulletin 2, 1946). It is Welch's test if only the seeds vary, and the paired
    t-test if only the items do.
    """
    differences = first.mean(axis=0) - second.mean(axis=0)
    parts = [_variance_of_mean(differences)]
    parts += [_variance_of_mean(hits.mean(axis=1)) for hits in (first, second) if len(hits) > 1]

    mean = float(differences.mean())
    variance = sum(part for part, _ in parts)
    if variance < 1e-24:  # no rounding errors
        return Estimate(mean, float(abs(mean) < 1e-12), mean, mean)

    freedom = variance**2 / sum(part**2 / freedom for part, freedom in parts)
    error = math.sqrt(variance)
    half = error * t_quantile(LEVEL, freedom)
    return Estimate(mean, t_p(mean / error, freedom), mean - half, mean + half)


def _variance_of_mean(values: np.ndarray) -> tuple[float, int]:
    """Return the variance of the mean of values (N,), and its degrees of freedom."""
    return float(values.var(ddof=1)) / len(values), len(values) - 1


def t_p(t: float, freedom: float) -> float:
    """Return the two-sided p-value of Student's t with these degrees of freedom, which may be a fraction."""
    return _incomplete_beta(freedom / 2, 0.5, freedom / (freedom + t * t))


def t_quantile(level: float, freedom: float) -> float:
    """Return the t within which `level` of Student's distribution lies, on both sides of 0."""
    low, high = 0.0, 1.0
    while t_p(high, freedom) > 1 - level:
        high *= 2
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if t_p(middle, freedom) > 1 - level else (low, middle)
    return (low + high) / 2


def _incomplete_beta(a: float, b: float, x: float) -> float:
    """Return the regularised incomplete beta function of x in [0, 1] by a continued fraction (NIST's DLMF, 8.17.22)."""
    if x in (0.0, 1.0):
        return x
    if x > (a + 1) / (a + b + 2):  # where the fraction converges fast
        return 1 - _incomplete_beta(b, a, 1 - x)

    terms = 30 + int(5 * math.sqrt(max(a, b)))
    fraction = 1.0
    for term in range(terms, 0, -1):
        m = term // 2
        if term % 2:
            coefficient = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        else:
            coefficient = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        fraction = 1 + coefficient / fraction

    logarithm = a * math.log(x) + b * math.log1p(-x) + math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    return math.exp(logarithm) / (a * fraction)


class Sides(NamedTuple):
    """The hits of two methods in one language, (seeds, items) each."""

    first: np.ndarray
    second: np.ndarray


def interval_over_languages(languages: Sequence[Sides], samples: int = SAMPLES, seed: int = 0) -> tuple[float, float]:
    """Return the percentile bootstrap interval of the mean difference over languages.

    Each resample draws languages, then for each of them seeds of both methods, and items. All of its languages have the
    same items, since they search in one gallery.
    """
    generator = np.random.default_rng(seed)
    count = len(languages)
    drawn = generator.integers(count, size=(samples, count))
    items = languages[0].first.shape[1]
    item_counts = generator.multinomial(items, np.full(items, 1 / items), size=samples)

    means = np.zeros(samples)
    for sign, methods in ((1, [sides.first for sides in languages]), (-1, [sides.second for sides in languages])):
        # mean of the drawn items of each language and seed, (languages, seeds, samples); missing seeds are never drawn
        seeds = np.array([len(hits) for hits in methods])
        scores = np.zeros((count, seeds.max(), samples))
        for language, hits in enumerate(methods):
            scores[language, : len(hits)] = hits @ item_counts.T / items

        for place in range(count):
            language = drawn[:, place]
            for number in range(seeds.max()):
                is_drawn = number < seeds[language]
                seed_drawn = (generator.random(samples) * seeds[language]).astype(int)
                score = scores[language, seed_drawn, np.arange(samples)]
                means += sign * np.where(is_drawn, score / seeds[language], 0) / count

    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
