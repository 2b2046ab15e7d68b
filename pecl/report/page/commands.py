"""The command that repeats a run, from its config."""

from __future__ import annotations

import shlex
from dataclasses import fields

from pecl.config import ExperimentConfig
from pecl.results.result import Result

_NAMED = {"weights": "adapter", "plugin": "plugin"}  # fields whose flags the commands add themselves


def run_command(result: Result) -> str:
    """Return `pecl train --flag value ...` or `pecl evaluate ...` with the config's fields that are not the default."""
    together = result.config.processes
    words = ["pecl", result.kind]
    if together > 1:
        words = ["torchrun", "--nproc-per-node", str(together), "--module", *words]
    for item in fields(ExperimentConfig):
        value = getattr(result.config, item.name)
        if value == item.default or not (item.metadata.get("flag", True) or item.name in _NAMED):
            continue
        flag = _NAMED.get(item.name, item.name.replace("_", "-"))
        if isinstance(value, bool):
            words.append(f"--{flag}" if value else f"--no-{flag}")
        else:
            words += [f"--{flag}", "none" if value is None else str(value)]
    return shlex.join(words)
