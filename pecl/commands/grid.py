"""`pecl grid`: train every combination of the values that are lists."""

from __future__ import annotations

import argparse
from dataclasses import fields
from typing import Any

from pecl.commands.options import add_command, add_config_flags, config_values, print_json, print_text
from pecl.config import ExperimentConfig
from pecl.grid import expand, run_grid
from pecl.report import best_cells, text_table, training_table

# Values of these fields may hold commas themselves; several are given as a list in YAML.
_NOT_SPLIT = frozenset({"adapter", "out", "data_dir", "weights", "text_model", "image_model"})


def add_parser(commands: Any) -> None:
    """Add the command."""
    example = "pecl grid --config configs/grid_mini.yaml --language de --route method1 --lr 1e-4,3e-4"
    parser = add_command(
        commands, "grid", "train every combination of values; on the command line lists are joined by commas", example
    )
    add_config_flags(parser)
    parser.add_argument("--fleet", type=int, default=1, metavar="N", help="cells trained side by side (default: 1)")
    parser.add_argument("--dry-run", action="store_true", help="print the cells and train none")
    parser.add_argument("--json", action="store_true", help="print the results as one JSON document")
    parser.set_defaults(run=run)


def run(parsed: argparse.Namespace) -> int:
    """Train the cells and print the table; exit status 1 when a cell failed."""
    cells = expand(grid_values(parsed), where="grid")
    if parsed.dry_run:
        print_text("\n".join(f"{cell.run_id()} {_differences(cell)}" for cell in cells) + f"\n{len(cells)} cells")
        return 0
    outcome = run_grid(cells, parsed.fleet)
    complete = [result for result in outcome.results if result["status"] == "complete"]
    if parsed.json:
        print_json(outcome.results)
    elif complete:
        print_text(text_table(training_table(complete)))
        print_text("\nBest cell of each language and route, chosen by validation\n")
        print_text(text_table(training_table(best_cells(complete))))
    for result in outcome.failed:
        print_text(f"failed: {result['run_id']}: {result['error']}")
    return int(bool(outcome.failed))


def grid_values(parsed: argparse.Namespace) -> dict[str, Any]:
    """Return what files and flags set, comma-joined flags as lists."""
    values = config_values(parsed)
    return {
        name: value.split(",") if isinstance(value, str) and "," in value and name not in _NOT_SPLIT else value
        for name, value in values.items()
    }


def _differences(cell: ExperimentConfig) -> str:
    """Return the fields of a cell that are not the defaults."""
    changed = [item for item in fields(cell) if getattr(cell, item.name) != item.default]
    return " ".join(f"{item.name}={getattr(cell, item.name)}" for item in changed)
