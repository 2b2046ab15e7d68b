"""`pecl index`: make or renew the index of a folder of photographs."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import Any

from pecl.commands.options import add_command, print_json, print_text
from pecl.errors import one_line
from pecl.search.build import IndexReport, build_index
from pecl.search.plan import IndexOptions

_SHOWN = 10  # unreadable files that are named


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "index",
        "make or renew the index of a folder of photographs, to be searched by `pecl search`",
        "pecl index ~/Pictures",
        "Embed the photographs of a folder and all folders below. Again, it embeds what is new or changed alone, and\n"
        "lets go of what was removed; interrupted, it goes on where it was.",
    )
    parser.add_argument("folder", metavar="FOLDER", help="folder of photographs, of any depth")
    parser.add_argument("--out", metavar="INDEX", help="folder of the index (default: FOLDER/.pecl-index)")
    parser.add_argument("--profile", help="pair of towers, such as mini (default) or paper")
    parser.add_argument(
        "--thumbnails", action=argparse.BooleanOptionalAction, default=None, help="keep small pictures in the index"
    )
    parser.add_argument("--engine", help="who holds the embeddings: store (default) or qdrant")
    parser.add_argument("--url", help="address of a Qdrant server, with --engine qdrant")
    parser.add_argument("--path", help="folder of Qdrant's local mode, with --engine qdrant (default: INDEX/qdrant)")
    parser.add_argument("--anew", action="store_true", help="forget what the index holds and embed all photographs")
    parser.add_argument("--device", default="cpu", help="torch device, such as cuda (default: cpu)")
    parser.add_argument("--json", action="store_true", help="print what was done as one JSON document")
    parser.set_defaults(run=run)


def run(parsed: argparse.Namespace) -> int:
    """Make the index and say what it holds."""
    options = IndexOptions(
        parsed.profile,
        parsed.thumbnails,
        parsed.engine,
        {"url": parsed.url, "path": parsed.path},
        parsed.anew,
        parsed.device,
    )
    report = build_index(parsed.folder, parsed.out, options)
    if parsed.json:
        print_json({**asdict(report), "folder": str(report.folder)})
    else:
        print_text(_described(report))
    return 0


def _described(report: IndexReport) -> str:
    counts = f"{report.new} new, {report.changed} changed, {report.removed} removed"
    lines = [f"all embedded anew: {report.anew}"] * bool(report.anew)
    lines += [f"{report.folder}: {report.photographs} photographs ({counts})"]
    if report.unreadable:
        lines.append(f"{len(report.unreadable)} cannot be read:")
        lines += [f"  {one_line(f'{name}: {why}')}" for name, why in list(report.unreadable.items())[:_SHOWN]]
        lines += ["  ... (all of them: --json)"] * (len(report.unreadable) > _SHOWN)
    return "\n".join(lines)
