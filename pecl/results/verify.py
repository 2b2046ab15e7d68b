"""Whether a result's numbers are its own: its digest, its recalls by its ranks, and the adapter file that it names.

`verify` asks for all of it, before anything is published. `check_recalls` and `check_adapter` each look at a part, and
`check_adapter_file` begins with an adapter file in place of a result.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pecl.errors import DataError, WeightsError
from pecl.files import load_json, sha256_file
from pecl.results.digest import check_digest
from pecl.results.parts import Gallery, Measured
from pecl.results.result import DamagedResultError, Result
from pecl.results.typed_json import FieldError, decode
from pecl.retrieval.measures import DIRECTIONS, METRIC, RECALL_AT


def verify(result: Result, adapter: Path | None = None) -> None:
    """Refuse a complete result unless its digest, its recalls and, of a training, its adapter file are all its own.

    Args:
        result: as it was read from its file.
        adapter: the file that is taken for its adapter; by default `result.adapter_path`.

    Raises:
        DataError: its file has no digest, or a recall is not that of its ranks.
        WeightsError: it names no adapter file by its SHA-256, or the file is missing or another.
    """
    if not result.has_digest:
        raise DataError(
            f"{where(result)} has no checksum (sha256): it is of an earlier version or was edited; run it again"
        )
    check_recalls(result)
    if result.kind == "train":
        if result.adapter.sha256 is None:
            raise WeightsError(f"{where(result)} does not name its adapter file by its SHA-256; run it again")
        _check_file(adapter or result.adapter_path, result.adapter.sha256, where(result))


def check_adapter(result: Result) -> None:
    """Refuse a training whose adapter file is there and is not the one that the result names.

    A result of an earlier version, which names none, passes.

    Raises:
        WeightsError: the file is another, or cannot be read.
    """
    if result.kind == "train" and result.adapter and result.adapter.sha256 and result.adapter_path.exists():
        _check_file(result.adapter_path, result.adapter.sha256, where(result))


def check_adapter_file(path: str | Path) -> Path | None:
    """Check an adapter file against the result of its training, where that lies next to it.

    The result of `OUT/adapters/NAME.safetensors` is `OUT/NAME.json`. A file elsewhere is looked up under its own name
    with the suffix `.json`, as adapters that are shipped lie.

    Returns:
        The result that names the file by its SHA-256, or None: there is no result, or it names no file.

    Raises:
        DataError: the result is damaged.
        WeightsError: the result names another file, or the file cannot be read.
    """
    path = Path(path)
    in_results = path.parent.name == "adapters"
    beside = path.parent.parent / f"{path.stem}.json" if in_results else path.with_suffix(".json")
    named = _read_named(beside, in_results)
    if named is None:
        return None
    _check_file(path, named, str(beside))
    return beside


@dataclass(frozen=True)
class _Named:
    sha256: str | None = None


@dataclass(frozen=True)
class _Trained:
    """The part of a result that is read of it here: results of adapters that are shipped lack their ranks."""

    adapter: _Named | None = None


def _read_named(path: Path, must_be_result: bool) -> str | None:
    """Return the SHA-256 that a result names its adapter by, or None: there is no result, or it names no adapter."""
    try:
        document = load_json(path)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        if must_be_result:
            raise DamagedResultError(f"result {path} cannot be read ({error}); delete it and run it again") from error
        return None  # a file of the user's own under this name
    if not isinstance(document, dict) or "run_id" not in document:
        return None
    try:
        check_digest(document)
        adapter = decode(_Trained, document).adapter
    except FieldError as error:
        raise DamagedResultError(f"{path} is damaged: {error}; delete the file and run it again") from error
    return adapter and adapter.sha256


def _check_file(path: Path, sha256: str, name: str) -> None:
    try:
        found = sha256_file(path)
    except OSError as error:
        raise WeightsError(f"cannot read adapter file {path}: {error.strerror or error}") from error
    if found != sha256:
        raise WeightsError(
            f"{path} is not the adapter that {name} was measured with: its SHA-256 begins with {found[:12]}, expected "
            f"{sha256[:12]}; put the right file there, or run it again"
        )


def where(result: Result) -> str:
    """Return how a message names a result."""
    return f"run {result.run_id}" + (f" ({result.path})" if result.path else "")


def check_recalls(result: Result) -> None:
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
