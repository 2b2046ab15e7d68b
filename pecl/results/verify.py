"""Check that a result's numbers are its own: its digest, its recalls by its ranks, and the adapter file that it names.

`verify` checks all of it, before anything is published; `check_recalls` and `check_adapter` each check a part.
"""

import math
from pathlib import Path
from statistics import fmean

import numpy as np

from pecl.errors import DataError, WeightsError, not_the_adapter_of
from pecl.files import check_sha256
from pecl.results.parts import GalleryRecord, Measured
from pecl.results.result import Result
from pecl.retrieval.measures import DIRECTIONS, METRIC, RECALL_AT


def verify(result: Result, adapter: Path | None = None) -> None:
    """Refuse a complete result unless its digest, its recalls and, for a training, its adapter file are all its own.

    `adapter` is the file that is taken for its adapter, by default `result.adapter_path`.

    Raises:
        DataError: its file has no digest, or a recall is not that of its ranks.
        WeightsError: it names no adapter file by its SHA-256, or the file is missing or another.
    """
    if not result.has_digest:
        raise DataError(f"{where(result)} has no checksum (sha256): it was edited; run it again")
    check_recalls(result)
    if result.kind == "train":
        if result.adapter.sha256 is None:
            raise WeightsError(f"{where(result)} does not name its adapter file by its SHA-256; run it again")
        check_sha256(adapter or result.adapter_path, result.adapter.sha256, *not_the_adapter_of(where(result)))


def check_adapter(result: Result) -> None:
    """Refuse a training whose adapter file is there and is not the one that the result names.

    A result that names none passes.

    Raises:
        WeightsError: the file is another, or cannot be read.
    """
    if result.kind == "train" and result.adapter and result.adapter.sha256 and result.adapter_path.exists():
        check_sha256(result.adapter_path, result.adapter.sha256, *not_the_adapter_of(where(result)))


def where(result: Result) -> str:
    """Return the name of a result in messages."""
    return f"run {result.run_id}" + (f" ({result.path})" if result.path else "")


def check_recalls(result: Result) -> None:
    """Raise DataError, naming the file and the field, unless recalls are those of the ranks and each item is known."""
    gallery = result.data.gallery
    if gallery.kind not in DIRECTIONS:
        raise _damaged(result, f"data.gallery.kind: expected one of {', '.join(DIRECTIONS)}, got {gallery.kind!r}")
    for stage, measured in result.metrics["test"].items():
        ranks = {direction: _ranks(result, stage, direction) for direction in gallery.directions}
        _check_recalls(result, stage, measured, ranks)
        _check_items(result, gallery, *map(len, ranks.values()))


def _ranks(result: Result, stage: str, direction: str) -> np.ndarray:
    """Return the ranks (N,) of one direction."""
    path = f"ranks.test.{stage}.{direction}"
    try:
        ranks = np.array(result.ranks(direction, stage=stage))
    except KeyError:
        raise _damaged(result, f"{path} is missing") from None
    if not ranks.size or ranks.min() < 1:
        raise _damaged(result, f"{path}: expected a list of ranks that count from 1")
    return ranks


def _check_recalls(result: Result, stage: str, measured: Measured, ranks: dict[str, np.ndarray]) -> None:
    path = f"metrics.test.{stage}"
    found: dict[int, list[float]] = {k: [] for k in RECALL_AT}
    for direction, own in ranks.items():
        if direction not in measured.directions:
            raise _damaged(result, f"{path}.{direction} is missing")
        for k, recalls in found.items():
            recalls.append(float((own <= k).mean()))
            _compare(result, f"{path}.{direction}.recall@{k}", measured.directions[direction].recall[k], recalls[-1])
    _compare(result, f"{path}.{METRIC}", measured.mean_recall_at_1, fmean(found[1]))
    _compare(result, f"{path}.mean_recall", measured.mean_recall, fmean(map(fmean, found.values())))


def _check_items(result: Result, gallery: GalleryRecord, items: int, texts: int) -> None:
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
