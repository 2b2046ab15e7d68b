"""Required fields of a result's JSON: those of its config that tell runs apart, and all those of a complete run."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from pecl.config import ExperimentConfig
from pecl.errors import unknown
from pecl.files.typed_json import wrong
from pecl.options import expected_type

# By kind; a training needs the fields of an evaluation, and more
_CONFIG: dict[str, tuple[str, ...]] = {
    "evaluate": ("language", "route", "dataset", "test_query"),
    "train": ("seed", "split_seed", "lr", "alignment", "alignment_weight", "train_on"),
}
_FIELDS: dict[str, tuple[str, ...]] = {
    "evaluate": ("data", "towers", "peak_memory_mb"),
    "train": ("adapter", "steps", "best_step", "fleet", "seconds", "curve"),
}
_TRAINED = {"val": ("best",), "test": ("zero_shot", "final", "best")}  # part -> stages of a training


def decode_config(values: Any, path: str) -> ExperimentConfig:
    """Return a recorded config as it was; names are not checked, since they may have been registered for the run.

    Raises:
        ValueError: a field is missing, unknown or of another type.
    """
    if not isinstance(values, dict):
        raise wrong(path, values, "an object")
    _check_there(values, _CONFIG["evaluate"], f"{path}.")
    known = {item.name: item.default for item in fields(ExperimentConfig)}
    config = object.__new__(ExperimentConfig)
    for name, value in {**known, **values}.items():
        if name not in known:
            raise ValueError(f"{path}.{name} is unknown to this version of pecl")
        if expected := expected_type(ExperimentConfig, name, value):
            raise wrong(f"{path}.{name}", value, expected)
        object.__setattr__(config, name, value)
    return config


def check_complete(document: Mapping[str, Any]) -> None:
    """Raise ValueError unless the JSON of a complete result, whose types are right, has all that its kind needs."""
    kinds = ("evaluate", "train") if document["kind"] == "train" else ("evaluate",)
    for kind in kinds:
        _check_there(document["config"], _CONFIG[kind], "config.")
        _check_there(document, _FIELDS[kind])
    metrics, ranks = document.get("metrics", {}), document.get("ranks", {}).get("test", {})
    stages = _TRAINED if "train" in kinds else {"test": tuple(metrics.get("test", {})) or ("zero_shot",)}
    for part, names in stages.items():
        _check_there(metrics.get(part, {}), names, f"metrics.{part}.")
    _check_there(ranks, [stage for stage in stages["test"] if stage != "final"], "ranks.test.")
    for part, found in metrics.items():
        if more := found.keys() - set(_TRAINED["test"]):
            raise ValueError(f"metrics.{part}: {unknown('stage', min(more), _TRAINED['test'])}")


def _check_there(found: Mapping[str, Any], names: Sequence[str], prefix: str = "") -> None:
    """Raise ValueError unless all of `names` are in `found`."""
    for name in names:
        if found.get(name) is None:
            raise ValueError(f"{prefix}{name} is missing")
