"""Measures of results: names and metrics of directions, and intervals. Needs no torch."""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from statistics import NormalDist

import numpy as np

RECALL_AT = (1, 5, 10)
METRIC = "mean_recall@1"  # the primary metric: the mean of the recall@1 of both directions, higher is better
LEVEL = 0.95  # of all intervals; the labels of tables and plots state it, too
SAMPLES = 2000  # resamples of a bootstrap
_NUMBERS = 10_000_000  # numbers of resamples in memory, 80 MB: those of 5,000 queries

# gallery kind -> names of the two directions: gallery as queries, texts as queries
DIRECTIONS: dict[str, tuple[str, str]] = {
    "images": ("image_to_text", "text_to_image"),
    "english": ("english_to_text", "text_to_english"),
}


@dataclass(frozen=True)
class RetrievalMetrics:
    """One direction of retrieval. Recalls are shares in [0, 1]; ranks count from 1.

    `recall@k` counts a query as found when any of its correct items is among the first k ("any hit", as the field
    reports it); `true_recall@k` is the share of its correct items there. They agree where each query has one.
    """

    queries: int
    gallery: int
    recall: dict[int, float]
    true_recall: dict[int, float]
    mean_rank: float
    median_rank: float

    def to_dict(self) -> dict[str, float | int]:
        """Return the flat form that results hold: `recall@1`, ..., `mean_rank`, `median_rank`."""
        flat = {key: value for key, value in asdict(self).items() if not key.endswith("recall")}
        flat |= {f"recall@{k}": value for k, value in self.recall.items()}
        return flat | {f"true_recall@{k}": value for k, value in self.true_recall.items()}

    @classmethod
    def from_dict(cls, flat: Mapping[str, float]) -> "RetrievalMetrics":
        """Return the metrics from their flat form, see `to_dict`.

        Raises:
            KeyError: a key is missing.
        """
        recall, true_recall = ({k: flat[f"{name}@{k}"] for k in RECALL_AT} for name in ("recall", "true_recall"))
        if true_recall == recall:
            true_recall = recall  # one object, since thousands of results may be held
        rest = (flat["mean_rank"], flat["median_rank"])
        return cls(int(flat["queries"]), int(flat["gallery"]), recall, true_recall, *rest)


def difference_interval(before: float, after: float, queries: int) -> tuple[float, float]:
    """Return the 95 % interval of the difference `before` - `after` of two shares, each of `queries` queries.

    It is Newcombe's hybrid score interval (Statistics in Medicine 17, 1998, method 10), which holds for few queries and
    for shares of 0 and 1. Both shares are taken as independent: for the same queries it is too wide, never too narrow.
    """
    (low, high), (other_low, other_high) = (_score_interval(share, queries) for share in (before, after))
    difference = before - after
    return (
        difference - math.hypot(before - low, other_high - after),
        difference + math.hypot(high - before, after - other_low),
    )


def _score_interval(share: float, queries: int) -> tuple[float, float]:
    """Return Wilson's 95 % interval of a share."""
    z = NormalDist().inv_cdf((1 + LEVEL) / 2)
    middle = share + z * z / (2 * queries)
    half = z * math.sqrt(share * (1 - share) / queries + z * z / (4 * queries * queries))
    return (middle - half) / (1 + z * z / queries), (middle + half) / (1 + z * z / queries)


def bootstrap_intervals(per_query: np.ndarray, samples: int = SAMPLES, seed: int = 0) -> np.ndarray:
    """Return (K, 2): for each row of (K, Q) the percentile bootstrap interval of its mean over queries.

    Efron & Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13. Rows of one length see the same resamples.
    For a paired comparison pass differences.
    """
    queries = per_query.shape[1]
    resamples: Iterable[np.ndarray] = _resamples(queries, samples, seed)
    if queries * samples <= _NUMBERS:
        resamples = [_first_resamples(queries, samples, seed)]

    means = np.concatenate([block @ per_query.T for block in resamples])  # (samples, K), large: changed in place below
    means /= queries
    return np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0, overwrite_input=True).T


def bootstrap_interval(per_query: np.ndarray, samples: int = SAMPLES, seed: int = 0) -> tuple[float, float]:
    """Return `bootstrap_intervals` of one row (Q,)."""
    low, high = bootstrap_intervals(per_query[None], samples, seed)[0]
    return float(low), float(high)


@lru_cache(maxsize=2)  # a report draws for the same few numbers of queries again and again
def _first_resamples(queries: int, samples: int, seed: int) -> np.ndarray:
    """Return the first block of `_resamples`, which is the only one of few queries."""
    return next(_resamples(queries, samples, seed))


def _resamples(queries: int, samples: int, seed: int) -> Iterator[np.ndarray]:
    """Yield (S, Q) for some of the `samples` at a time: how often each resample draws each query.

    They are floats, so that the product is BLAS's, and at most `_NUMBERS` at a time. The draws do not depend on it.
    """
    generator = np.random.default_rng(seed)
    rows = max(1, _NUMBERS // queries)

    for start in range(0, samples, rows):
        count = min(rows, samples - start)
        yield generator.multinomial(queries, np.full(queries, 1 / queries), size=count).astype(float)
