"""Tables of the page about its runs: the commands that repeat them, and the software that made them."""

import shlex
from collections.abc import Sequence
from dataclasses import asdict, fields

from pecl.config import ExperimentConfig
from pecl.report.tables import Table
from pecl.report.tables.table import RUN, frame_of, numbers, words
from pecl.results.result import Result


def runs_table(results: Sequence[Result]) -> Table:
    """Return one row per run: its config, and the command that repeats it."""
    rows = [
        {
            RUN: result.run_id,
            "status": result.status,
            "data_set": result.config.dataset,
            "language": result.config.language,
            "route": result.config.route,
            "seed": result.config.seed,
            "software": number,
            "command": run_command(result),
        }
        for result, number in zip(results, software_numbers(results), strict=True)
    ]
    texts = [words(name) for name in (RUN, "status", "data set", "language", "route", "command")]
    whole = [numbers(name, form="d") for name in ("seed", "software")]
    columns = *texts[:-1], *whole, texts[-1]
    return Table("commands", "Commands that repeat the runs", None, frame_of(rows), columns)


def software_table(results: Sequence[Result]) -> Table:
    """Return one row for each set of versions, commit and machine that runs were made with."""
    numbered = software_numbers(results)
    rows = []
    for number in sorted(set(numbered)):
        software = results[numbered.index(number)].environment
        dirty = {True: "with uncommitted changes", False: "clean", None: "not a checkout"}[software.dirty]
        rows.append(
            {
                "software": number,
                "runs": numbered.count(number),
                "commit": software.commit,
                "checkout": dirty,
                **software.versions,
                **asdict(software.machine),
            }
        )
    names = dict.fromkeys(name for row in rows for name in row)
    columns = [
        numbers(name, name, form="d") if name in ("software", "runs", "threads") else words(name, name, absent="-")
        for name in names
        if any(row.get(name) is not None for row in rows)
    ]
    return Table("software", "Versions", None, frame_of(rows), columns)


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
