"""What the tables of chosen cells share: a row of raw numbers a cell, and how its scores are shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from pecl.config import ExperimentConfig
from pecl.report.tables.cells import Cell, varying
from pecl.report.tables.groups import group_of
from pecl.report.tables.statistics import intervals
from pecl.report.tables.table import INTERVAL, interval, number, spread
from pecl.results.result import Result
from pecl.routes import WITHOUT_ANCHOR

Row = dict[str, Any]
_NONE = {"shots": "all", "train_size": "all", "joint": "alone"}  # what None means, where it is not "none"
_ALWAYS = ("adapter", "train_on", "shots")  # fields of a setting that a reader looks for, equal or not


def runs_of(cells: Sequence[Cell]) -> tuple[Result, ...]:
    """Return the runs of all cells."""
    return tuple(run for cell in cells for run in cell.runs)


def cell_rows(cells: Sequence[Cell]) -> list[Row]:
    """Return the raw numbers of each cell: scores before and after, gain and its interval, and what it was."""
    different = varying(cell.setting for cell in cells)
    found = intervals([cell.gains for cell in cells])
    return [_row(cell, low, high, different) for cell, (low, high) in zip(cells, found.tolist(), strict=True)]


def _row(cell: Cell, low: float, high: float, different: Sequence[str]) -> Row:
    group = group_of(cell.chosen_run)
    setting = {name: value for name, value in cell.setting if name in _ALWAYS or name in different}
    return {
        "language": cell.language,
        "route": cell.route,
        **setting,
        "test_text": cell.query,
        "zero_shot": cell.zero_shot,
        "mean": cell.mean,
        "std": cell.std,
        "gain": cell.mean - cell.zero_shot,
        "gain_low": low,
        "gain_high": high,
        "val": cell.validation,
        "lr": cell.config.lr,
        **alignment_of(cell.config),
        "cells_compared": cell.compared,
        "cells_without_the_seed": cell.aside,
        "metric": group.metric,
        "test_captions": cell.captions,
        **asdict(group),
        "seeds": cell.seeds,
        "run_ids": cell.run_ids,
    }


def alignment_of(config: ExperimentConfig) -> Row:
    """Return name and weight of a run's alignment, None where its route has nothing to align to."""
    aligned = config.route not in WITHOUT_ANCHOR
    return {name: getattr(config, name) if aligned else None for name in ("alignment", "alignment_weight")}


def setting_columns(cell: Cell, different: Sequence[str]) -> Row:
    """Return the fields of a cell's setting that differ within a table, as text."""
    return {name.replace("_", " "): setting_text(name, value) for name, value in cell.setting if name in different}


def setting_remark(cells: Sequence[Cell]) -> str:
    """Return what all cells of a table share of the fields that a reader looks for."""
    different = varying(cell.setting for cell in cells)
    shared = [(name, value) for name, value in cells[0].setting if name in _ALWAYS and name not in different]
    return ", ".join(f"{name.replace('_', ' ')} {setting_text(name, value)}" for name, value in shared)


def remarks_on(cells: Sequence[Cell]) -> tuple[str, ...]:
    """Return the remarks that tables of chosen cells share."""
    aside = sum(cell.aside for cell in cells)
    without = f"{aside} cells could not be compared, for want of a run with the seed of the others"
    return tuple(filter(None, [setting_remark(cells), without if aside else ""]))


def score_columns(row: Row) -> Row:
    """Return the scores of a row as text."""
    return {
        "zero-shot": number(row["zero_shot"]),
        "trained": spread(row["mean"], row["std"]),
        "gain": number(row["gain"], "+.3f"),
        INTERVAL: interval(row["gain_low"], row["gain_high"]),
    }


def setting_text(name: str, value: Any) -> str:
    """Return the value of a config's field as text."""
    return _NONE.get(name, "none") if value is None else str(value)
