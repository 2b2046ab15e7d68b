"""Whether a complete result holds what tables read, and whether its metrics are those of its ranks."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from pecl.errors import DataError
from pecl.report.tables.groups import Result, where
from pecl.retrieval.measures import DIRECTIONS, METRIC, RECALL_AT

# kind -> fields, as paths, and what each holds
_TEXT, _COUNT, _NUMBER, _OBJECT = str, int, (int, float), dict
_COMMON: dict[str, Any] = {
    "config.language": _TEXT,
    "config.route": _TEXT,
    "config.test_query": _TEXT,
    "data.dataset": _TEXT,
    "data.gallery.kind": _TEXT,
    "data.gallery.size": _COUNT,
    "data.query.test": _TEXT,
    "data.sha256.english": _TEXT,
    "towers.text": _OBJECT,
    "metrics.test": _OBJECT,
    "ranks.test": _OBJECT,
}
_FIELDS: dict[str, dict[str, Any]] = {
    "evaluate": _COMMON,
    "train": _COMMON
    | {
        "config.seed": _COUNT,
        "config.split_seed": _COUNT,
        "data.split.train": _COUNT,
        "config.lr": _NUMBER,
        "config.alignment": _TEXT,
        "config.alignment_weight": _NUMBER,
        "config.train_on": _TEXT,
        "adapter.spec": _TEXT,
        "adapter.trainable": _COUNT,
        "adapter.share": _NUMBER,
        "steps": _COUNT,
        "seconds.per_step": _NUMBER,
        "peak_memory_mb": _NUMBER,
        f"metrics.val.best.{METRIC}": _NUMBER,
        "metrics.test.zero_shot": _OBJECT,
        "metrics.test.final": _OBJECT,
        "metrics.test.best": _OBJECT,
    },
}


def check_result(result: Result) -> None:
    """Raise DataError, naming the file and the field, unless a complete result holds what tables read.

    Recalls are counted again from the ranks, so a number that was changed by hand is found.
    """
    if result["kind"] not in _FIELDS:
        raise _damaged(result, f"kind is {result['kind']!r}, expected one of {', '.join(_FIELDS)}")
    for path, kind in _FIELDS[result["kind"]].items():
        value = _at(result, path)
        wrong_type = not isinstance(value, kind) or isinstance(value, bool)
        if wrong_type or (isinstance(value, float) and not math.isfinite(value)):
            raise _damaged(result, f"{path} is {_brief(value)}")
    kind = result["data"]["gallery"]["kind"]
    if kind not in DIRECTIONS:
        raise _damaged(result, f"data.gallery.kind is {kind!r}, expected one of {', '.join(DIRECTIONS)}")
    for state in result["metrics"]["test"]:
        _check_state(result, state, DIRECTIONS[kind])
        _check_items(result, *(len(result["ranks"]["test"][state][direction]) for direction in DIRECTIONS[kind]))


def _check_items(result: Result, gallery: int, texts: int) -> None:
    """Raise DataError unless it is known which of `gallery` items each of `texts` captions belongs to."""
    if gallery == texts:
        return
    value = _at(result, "data.gallery.items")
    right = isinstance(value, list) and len(value) == texts and all(type(i) is int and 0 <= i < gallery for i in value)
    if not right:
        expected = f"the place in the gallery of each of {texts} captions of {gallery} items"
        raise _damaged(result, f"data.gallery.items is {_brief(value)}, expected {expected}")


def _check_state(result: Result, state: str, directions: tuple[str, str]) -> None:
    recalls = []
    for direction in directions:
        path = f"ranks.test.{state}.{direction}"
        found = _ranks(value := _at(result, path))
        if found is None:
            raise _damaged(result, f"{path} is {_brief(value)}, expected a list of ranks that count from 1")
        for k in RECALL_AT:
            recall = float((found <= k).mean())
            _compare(result, f"metrics.test.{state}.{direction}.recall@{k}", recall)
        recalls.append(float((found == 1).mean()))
    _compare(result, f"metrics.test.{state}.{METRIC}", sum(recalls) / len(recalls))


def _ranks(value: Any) -> np.ndarray | None:
    """Return ranks as an array (N,), or None if `value` is no list of whole numbers from 1."""
    try:
        found = np.array(value if isinstance(value, list) else [])
    except ValueError:  # lists of different lengths
        return None
    return found if found.ndim == 1 and found.size and found.dtype.kind == "i" and found.min() > 0 else None


def _compare(result: Result, path: str, expected: float) -> None:
    value = _at(result, path)
    if not isinstance(value, _NUMBER) or not math.isclose(value, expected, abs_tol=1e-6):
        raise _damaged(result, f"{path} is {_brief(value)}, but its ranks give {expected:.6g}")


def _at(result: Result, path: str) -> Any:
    """Return the value at a dotted path, or None where there is none."""
    value: Any = result
    for key in path.split("."):
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _brief(value: Any) -> str:
    if value is None:
        return "missing"
    return f"a {type(value).__name__}" if isinstance(value, (dict, list)) else repr(value)


def _damaged(result: Result, reason: str) -> DataError:
    return DataError(f"{where(result)} is damaged: {reason}; delete the file and run it again")
