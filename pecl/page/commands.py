"""The command that repeats a run, from its config."""

from __future__ import annotations

import shlex
from dataclasses import fields
from typing import Any

from pecl.config import ExperimentConfig


def run_command(result: dict[str, Any]) -> str:
    """Return `pecl train --flag value ...` or `pecl evaluate ...` with the config's fields that are not the default."""
    words = ["pecl", result["kind"]]
    for item in fields(ExperimentConfig):
        value = result["config"].get(item.name, item.default)
        if value == item.default:
            continue
        flag = item.name.replace("_", "-")
        if isinstance(value, bool):
            words.append(f"--{flag}" if value else f"--no-{flag}")
        else:
            words += [f"--{flag}", "none" if value is None else str(value)]
    return shlex.join(words)
