"""The command that repeats a run, from its config."""

from __future__ import annotations

import shlex
from dataclasses import fields
from typing import Any

from pecl.config import ExperimentConfig


def run_command(result: dict[str, Any]) -> str:
    """Return `pecl train --flag value ...` or `pecl evaluate ...` with the config's fields that are not the default.

    A cell that was trained in one pass with others is repeated by their grid alone; a comment says so.
    """
    words = ["pecl", result["kind"]]
    for item in fields(ExperimentConfig):
        value = result["config"].get(item.name, item.default)
        if value == item.default or not item.metadata.get("flag", True):
            continue
        flag = item.name.replace("_", "-")
        if isinstance(value, bool):
            words.append(f"--{flag}" if value else f"--no-{flag}")
        else:
            words += [f"--{flag}", "none" if value is None else str(value)]
    command = shlex.join(words)
    if not result["config"].get("beside"):
        return command
    size = result["fleet"]["size"]
    return f"{command}  # its dropout is that of a grid with --fleet {size}"
