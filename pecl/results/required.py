"""Required fields of a result's JSON: those of its config that tell runs apart, and all those of a complete run."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from functools import cache
from typing import Any, get_type_hints

from pydantic import ConfigDict, create_model

from pecl.config import ExperimentConfig
from pecl.errors import unknown
from pecl.files.typed_json import decode

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
    decode(_recorded(), values, path)
    config = object.__new__(ExperimentConfig)
    for item in fields(ExperimentConfig):
        object.__setattr__(config, item.name, values.get(item.name, item.default))
    return config


@cache
def _recorded() -> type:
    """Return the type of a config's JSON, whose values are strictly of the types of their fields."""
    hints = get_type_hints(ExperimentConfig)
    values: dict[str, Any] = {
        item.name: (hints[item.name], ... if item.name in _CONFIG["evaluate"] else None)
        for item in fields(ExperimentConfig)
    }
    return create_model("Recorded", __config__=ConfigDict(strict=True, extra="forbid", allow_inf_nan=False), **values)


def check_complete(document: Mapping[str, Any]) -> None:
    """Raise ValueError unless the JSON of a complete result, whose types are right, has all that its kind needs."""
    _check_there(document, _FIELDS["evaluate"])
    if document["kind"] == "train":
        _check_there(document["config"], _CONFIG["train"], "config.")
        _check_there(document, _FIELDS["train"])
    metrics, ranks = document.get("metrics", {}), document.get("ranks", {}).get("test", {})
    stages = _TRAINED if document["kind"] == "train" else {"test": tuple(metrics.get("test", {})) or ("zero_shot",)}
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
