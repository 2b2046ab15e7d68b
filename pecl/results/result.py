"""Results: one JSON a run, written atomically, holding everything needed to believe its numbers.

Layout (schema 1): `run_id` (hash of the config that determines the result), `kind` (train or evaluate), `status`
(complete, failed, interrupted), `config`, `data` (sizes, gallery, SHA-256 of captions and translations, provenance),
`adapter` (trainable parameters and share), `metrics` {val, test} x {zero_shot, final, best} x {direction} plus
`mean_recall@1`, `subsets` (parts of a data set told apart, such as COCO's train2014), `ranks` of the test items (for
intervals), `retrieved` (the items nearest to each test caption), `curve`, `steps`, `seconds`, `peak_memory_mb`,
`versions`, `commit`, `dirty`. Beside it lie `adapters/<run_id>.safetensors` and `splits/<run_id>.json`, the manifest
of its few-shot split. A failed run has `error` in place of metrics, an interrupted one the `steps` that are kept.
"""

from __future__ import annotations

import contextlib
import gc
import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pecl.config import ExperimentConfig
from pecl.errors import DataError
from pecl.files import write_json
from pecl.results.environment import environment

logger = logging.getLogger(__name__)

SCHEMA = 1
_RUN_ID = re.compile(r"[0-9a-f]{16}")
SPLITS = "splits"  # folder of the manifests
_REQUIRED = ("schema", "run_id", "kind", "status", "config")


class DamagedResultError(DataError):
    """A result's file is cut short, overwritten or no result at all."""


def result_path(out: str | Path, run_id: str) -> Path:
    """Return where the result of a run lies in the experiment folder `out`."""
    return Path(out) / f"{run_id}.json"


def manifest_path(out: str | Path, run_id: str) -> Path:
    """Return where the manifest of a run's split lies in the experiment folder `out`."""
    return Path(out) / SPLITS / f"{run_id}.json"


def write_result(out: str | Path, result: dict[str, Any]) -> Path:
    """Write a result into the experiment folder and return its path."""
    return write_json(result_path(out, result["run_id"]), {"schema": SCHEMA, **result})


def write_unfinished(config: ExperimentConfig, status: str, **details: Any) -> Path:
    """Write the result of a training without metrics, failed or interrupted, and return its path."""
    result = {"kind": "train", "run_id": config.run_id(), "status": status, "config": config.to_dict()}
    return write_result(config.out, {**result, **details, **environment()})


def read_result(path: str | Path) -> dict[str, Any]:
    """Return the result at `path`.

    Raises:
        DamagedResultError: the file is damaged or no result.
        DataError: it is of a newer schema.
    """
    try:
        result = json.loads(Path(path).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise DamagedResultError(f"result {path} cannot be read ({error}); delete it and run it again") from error
    if not isinstance(result, dict) or (missing := [key for key in _REQUIRED if key not in result]):
        lacks = ", ".join(missing) if isinstance(result, dict) else "an object"
        raise DamagedResultError(f"{path} is no result of pecl: it lacks {lacks}")
    if not isinstance(result["schema"], int) or result["schema"] > SCHEMA:
        raise DataError(
            f"{path} has schema {result['schema']!r}, this version of pecl reads up to {SCHEMA}; upgrade pecl"
        )
    return result


def collect(folders: list[str | Path]) -> list[dict[str, Any]]:
    """Return the results below `folders`, or the result files that are named, sorted by run id, each run once.

    In folders, a result's file is named by its run id; what else lies there is left alone.

    Raises:
        DataError: a folder is missing, a result is damaged, or two files hold different results of one run.
    """
    found: dict[str, dict[str, Any]] = {}
    with without_garbage_collection():
        for path in (path for folder in folders for path in _result_paths(Path(folder))):
            result = {**read_result(path), "path": str(path)}
            other = found.setdefault(result["run_id"], result)
            if other.get("metrics") != result.get("metrics"):
                raise DataError(
                    f"{other['path']} and {path} hold different results of run {result['run_id']}; "
                    "give one of their folders alone, or delete the wrong one"
                )
    return [found[run_id] for run_id in sorted(found)]


def _result_paths(folder: Path) -> list[Path]:
    if not folder.exists():
        raise DataError(f"results folder {folder} does not exist; give the folder that `pecl train --out` named")
    if folder.is_file():
        return [folder]
    return [
        path
        for path in sorted(folder.rglob("*.json"))
        if _RUN_ID.fullmatch(path.stem)
        and not any(part.startswith(".") or part == SPLITS for part in path.relative_to(folder).parts)
    ]


@contextlib.contextmanager
def without_garbage_collection() -> Iterator[None]:
    """Pause Python's search for cycles, which takes longer than reading the millions of numbers that it looks at."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
