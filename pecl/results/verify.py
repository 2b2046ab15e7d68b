"""Check that a result's numbers are its own: its digest, its recalls by its ranks, and the adapter file that it names.

`verify` checks all of it, before anything is published; `check_recalls` and `check_adapter` each check a part.
"""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import fmean

import numpy as np

from pecl.errors import DataError, WeightsError, not_the_adapter_of
from pecl.files import check_sha256
from pecl.results.parts import Measured
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
        for path, stated, computed in _recalls(result, measured, ranks):
            if not math.isclose(stated, computed, abs_tol=1e-6):
                said = f"metrics.test.{stage}.{path} is {stated}, but its ranks give {computed:.6g}"
                raise _damaged(result, said)
        items, texts = map(len, ranks.values())
        places = gallery.items
        if items != texts and (places is None or len(places) != texts or not 0 <= min(places) <= max(places) < items):
            found = "missing" if places is None else f"a list of {len(places)} numbers"
            expected = f"the place in the gallery of each of {texts} captions of {items} items"
            raise _damaged(result, f"data.gallery.items is {found}, expected {expected}")


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


def _recalls(result: Result, measured: Measured, ranks: Mapping[str, np.ndarray]) -> Iterator[tuple[str, float, float]]:
    """Yield (path, stated recall, recall of the ranks) of one stage."""
    found = {name: [float((own <= k).mean()) for k in RECALL_AT] for name, own in ranks.items()}
    for name, recalls in found.items():
        if name not in measured.directions:
            raise _damaged(result, f"metrics.test: {name} is missing")
        for k, recall in zip(RECALL_AT, recalls, strict=True):
            yield f"{name}.recall@{k}", measured.directions[name].recall[k], recall
    yield METRIC, measured.mean_recall_at_1, fmean(recalls[0] for recalls in found.values())
    yield "mean_recall", measured.mean_recall, fmean(map(fmean, found.values()))


def _damaged(result: Result, reason: str) -> DataError:
    return DataError(f"{where(result)} is damaged: {reason}; delete the file and run it again")
