"""What results are measured by: names of directions, ranks that count as found, and intervals. It takes no torch."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

RECALL_AT = (1, 5, 10)
METRIC = "mean_recall@1"  # the primary metric: the mean of the recall@1 of both directions, higher is better
LEVEL = 0.95  # of bootstrap intervals
SAMPLES = 2000  # resamples of a bootstrap

# gallery kind -> names of the two directions: gallery as queries, texts as queries
DIRECTIONS: dict[str, tuple[str, str]] = {
    "images": ("image_to_text", "text_to_image"),
    "english": ("english_to_text", "text_to_english"),
}


def bootstrap_intervals(
    per_query: np.ndarray, level: float = LEVEL, samples: int = SAMPLES, seed: int = 0
) -> np.ndarray:
    """Return (K, 2): for each row of (K, Q) the percentile bootstrap interval of its mean over queries.

    Efron & Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13. Rows of one length see the same resamples.
    For a paired comparison pass differences.
    """
    means = _resamples(per_query.shape[1], samples, seed) @ per_query.T / per_query.shape[1]  # (samples, K)
    return np.quantile(means, [(1 - level) / 2, (1 + level) / 2], axis=0).T


def bootstrap_interval(
    per_query: np.ndarray, level: float = LEVEL, samples: int = SAMPLES, seed: int = 0
) -> tuple[float, float]:
    """Return `bootstrap_intervals` of one row (Q,)."""
    low, high = bootstrap_intervals(per_query[None], level, samples, seed)[0]
    return float(low), float(high)


@lru_cache(maxsize=2)
def _resamples(queries: int, samples: int, seed: int) -> np.ndarray:
    """Return (samples, Q): how often each resample draws each query; floats, so that the product is BLAS's."""
    generator = np.random.default_rng(seed)
    return generator.multinomial(queries, np.full(queries, 1 / queries), size=samples).astype(float)
