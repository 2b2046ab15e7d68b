"""Whether a complete result's metrics are those of its ranks, so that a number that was changed by hand is found."""

from __future__ import annotations

import math

import numpy as np

from pecl.errors import DataError
from pecl.report.tables.groups import where
from pecl.results.parts import Gallery, Measured
from pecl.results.result import Result
from pecl.retrieval.measures import DIRECTIONS, METRIC, RECALL_AT


def check_result(result: Result) -> None:
    """Raise DataError, naming the file and the field, unless recalls are those of the ranks and each item is known."""
    gallery = result.data.gallery
    if gallery.kind not in DIRECTIONS:
        raise _damaged(result, f"data.gallery.kind: expected one of {', '.join(DIRECTIONS)}, got {gallery.kind!r}")
    for stage, measured in result.metrics["test"].items():
        ranks = [_ranks(result, stage, direction) for direction in DIRECTIONS[gallery.kind]]
        _check_recalls(result, stage, measured, ranks)
        _check_items(result, gallery, *map(len, ranks))


def _ranks(result: Result, stage: str, direction: str) -> np.ndarray:
    """Return the ranks (N,) of one direction."""
    path, found = f"ranks.test.{stage}.{direction}", result.all_ranks["test"][stage]
    if direction not in found:
        raise _damaged(result, f"{path} is missing")
    ranks = np.array(found[direction])
    if not ranks.size or ranks.min() < 1:
        raise _damaged(result, f"{path}: expected a list of ranks that count from 1")
    return ranks


def _check_recalls(result: Result, stage: str, measured: Measured, ranks: list[np.ndarray]) -> None:
    path = f"metrics.test.{stage}"
    for direction, own in zip(DIRECTIONS[result.data.gallery.kind], ranks, strict=True):
        if direction not in measured.directions:
            raise _damaged(result, f"{path}.{direction} is missing")
        for k in RECALL_AT:
            recall = float((own <= k).mean())
            _compare(result, f"{path}.{direction}.recall@{k}", measured.directions[direction].recall[k], recall)
    _compare(result, f"{path}.{METRIC}", measured.mean_recall_at_1, sum(float((own == 1).mean()) for own in ranks) / 2)
    found = [float((own <= k).mean()) for own in ranks for k in RECALL_AT]
    _compare(result, f"{path}.mean_recall", measured.mean_recall, sum(found) / len(found))


def _check_items(result: Result, gallery: Gallery, items: int, texts: int) -> None:
    """Raise DataError unless it is known which of the gallery's items each of `texts` captions belongs to."""
    if items == texts:
        return
    places = gallery.items
    if places is None or len(places) != texts or not 0 <= min(places) <= max(places) < items:
        found = "missing" if places is None else f"a list of {len(places)} numbers"
        expected = f"the place in the gallery of each of {texts} captions of {items} items"
        raise _damaged(result, f"data.gallery.items is {found}, expected {expected}")


def _compare(result: Result, path: str, value: float, expected: float) -> None:
    if not math.isclose(value, expected, abs_tol=1e-6):
        raise _damaged(result, f"{path} is {value}, but its ranks give {expected:.6g}")


def _damaged(result: Result, reason: str) -> DataError:
    return DataError(f"{where(result)} is damaged: {reason}; delete the file and run it again")
