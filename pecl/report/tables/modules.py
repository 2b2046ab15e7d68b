"""Tables over modules and over numbers of shots."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pandas as pd

from pecl.report.tables.cells import Cell, chosen_cells, varying
from pecl.report.tables.groups import one_group
from pecl.report.tables.rows import Row, cell_rows, remarks_on, runs_of, score_columns, setting_columns, setting_text
from pecl.report.tables.table import Table, frame
from pecl.results.result import Result


def modules_table(cells: Sequence[Cell]) -> Table:
    """Return what each module costs and gains: parameters, share of the tower, time, memory, and scores.

    Peak memory is that of the process, so it says something where each run had a process of its own.

    Raises:
        DataError: the cells were not measured alike, see `one_group`.
    """
    runs = runs_of(cells)
    group = one_group(runs)
    order = sorted(cells, key=lambda cell: (cell.language, cell.route, cell.runs[0].adapter.trainable))
    rows = [{**row, **_cost(cell)} for cell, row in zip(order, cell_rows(order), strict=True)]
    different = [name for name in varying(cell.setting for cell in order) if name != "adapter"]
    shown = frame([_shown_module(cell, row, different) for cell, row in zip(order, rows, strict=True)])
    return Table("modules", "Modules", group, pd.DataFrame(rows), shown, runs, remarks_on(order))


def module_table(results: Sequence[Result]) -> pd.DataFrame:
    """Return `modules_table` of the cells that validation chooses among `results`, as text."""
    return modules_table(chosen_cells(results)).shown


def shots_table(cells: Sequence[Cell]) -> Table:
    """Return scores by number of shots.

    The few-shot split takes the shots from the test part, so galleries differ in size. Each row states its own, with
    its own zero-shot score and a gain paired within it: gains compare between rows, recalls do not.

    Raises:
        DataError: the cells differ in more than the size of their gallery, see `one_group`.
    """
    runs = runs_of(cells)
    group = one_group(runs, but=frozenset({"gallery_size"}))
    order = sorted(cells, key=lambda cell: (str(_without(cell, "shots")), cell.pairs))
    rows = cell_rows(order)
    different = [name for name in varying(cell.setting for cell in order) if name != "shots"]
    shown = frame([_shown_shots(cell, row, different) for cell, row in zip(order, rows, strict=True)])
    remarks = remarks_on(order)
    if group.gallery_size is None:
        remarks += ("galleries differ between rows: compare gains, not recalls",)
    return Table("shots", "Gain by number of shots", group, pd.DataFrame(rows), shown, runs, remarks)


def with_several(cells: Sequence[Cell], name: str) -> list[Cell]:
    """Return the cells that others differ from in the field `name` of their setting, and in nothing else of the row."""
    found = Counter(_without(cell, name) for cell in cells)
    return [cell for cell in cells if found[_without(cell, name)] > 1]


def _without(cell: Cell, left_out: str) -> tuple:
    return cell.language, cell.route, *(pair for pair in cell.setting if pair[0] != left_out)


def _cost(cell: Cell) -> Row:
    first = cell.runs[0]
    return {
        "parameters": first.adapter.trainable,
        "share": first.adapter.share,
        "steps": first.steps,
        "seconds_per_step": first.seconds.per_step,
        "peak_memory_mb": first.peak_memory_mb,
    }


def _shown_module(cell: Cell, row: Row, different: Sequence[str]) -> Row:
    return {
        "language": row["language"],
        "route": row["route"],
        "module": row["adapter"],
        **setting_columns(cell, different),
        "parameters": f"{row['parameters']:,}",
        "share": f"{row['share']:.3%}",
        "steps": str(row["steps"]),
        "s/step": f"{row['seconds_per_step']:.2f}",
        "peak MiB": f"{row['peak_memory_mb']:.0f}",
        **score_columns(row),
    }


def _shown_shots(cell: Cell, row: Row, different: Sequence[str]) -> Row:
    return {
        "language": row["language"],
        "route": row["route"],
        **setting_columns(cell, different),
        "shots": setting_text("shots", row["shots"]),
        "gallery": f"{row['gallery_size']} {row['gallery_kind']}",
        **score_columns(row),
    }
