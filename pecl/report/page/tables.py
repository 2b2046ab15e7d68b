"""Tables of the page about its runs: the commands that repeat them, and the software that made them."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import asdict, fields
from typing import TYPE_CHECKING

from pecl.config import ExperimentConfig
from pecl.report.tables.table import RUN, frame_of
from pecl.results.result import Result

if TYPE_CHECKING:
    import pandas as pd


def runs_frame(results: Sequence[Result]) -> pd.DataFrame:
    """Return one row per run: its config, and the command that repeats it."""
    names = ("language", "route", "seed")
    rows = [
        {
            RUN: result.run_id,
            "status": result.status,
            "data set": result.config.dataset,
            **{name: getattr(result.config, name) for name in names},
            "software": number,
            "command": run_command(result),
        }
        for result, number in zip(results, software_numbers(results), strict=True)
    ]
    return frame_of(rows)


def software_frame(results: Sequence[Result]) -> pd.DataFrame:
    """Return one row for each set of versions, commit and machine that runs were made with."""
    numbered = software_numbers(results)
    made = {number: result.environment for number, result in zip(numbered, results, strict=True)}
    dirty = {True: "with uncommitted changes", False: "clean", None: "not a checkout"}
    rows = [
        {
            "software": number,
            "runs": numbered.count(number),
            "commit": one.commit,
            "checkout": dirty[one.dirty],
            **one.versions,
            **asdict(one.machine),
        }
        for number, one in sorted(made.items())
    ]
    return frame_of(rows).dropna(axis="columns", how="all").fillna("-")


def software_numbers(results: Sequence[Result]) -> list[int]:
    """Return the number of each result's software, from 1 in the order of first use."""
    keys = [repr(result.environment) for result in results]
    order = {key: number for number, key in enumerate(dict.fromkeys(keys), 1)}
    return [order[key] for key in keys]


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
