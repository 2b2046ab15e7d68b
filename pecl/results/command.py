"""The command that repeats a run."""

import shlex
from dataclasses import Field, fields
from typing import Any

from pecl.config import ExperimentConfig, Role, fields_of
from pecl.errors import flag_words

EVALUATE_FLAGS = fields_of(Role.EVALUATION | Role.DATA | Role.PATH | Role.MACHINE)
# Fields whose flags the commands add themselves
FLAG_NAMES = {
    "weights": "adapter",
    "plugin": "plugin",
    "image_embeddings": "embeddings",
    "all_pairs": "all-pairs",
}


def command_of(kind: str, config: ExperimentConfig) -> str:
    """Return `pecl train --flag value ...` or `pecl evaluate ...` with the config's fields that are not the default."""
    words = ["pecl", kind]
    if config.processes > 1:
        words = ["torchrun", "--nproc-per-node", str(config.processes), "--module", *words]

    for field in fields(ExperimentConfig):
        value = getattr(config, field.name)
        if value != field.default and _has_flag(kind, config, field):
            words += flag_words(FLAG_NAMES.get(field.name, field.name), value)
    return shlex.join(words)


def _has_flag(kind: str, config: ExperimentConfig, field: Field[Any]) -> bool:
    if kind == "train" and field.name == "language" and config.joint:  # one command trains all of them
        return False
    if kind == "evaluate" and field.name not in EVALUATE_FLAGS:  # fields of a training change nothing
        return False
    return field.name in FLAG_NAMES or field.metadata.get("flag", True)
