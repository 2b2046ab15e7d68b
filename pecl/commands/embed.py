"""`pecl embed`: images or texts of any number into a folder of embeddings."""

from __future__ import annotations

import argparse
from typing import Any

from pecl.bulk.embed import embed
from pecl.bulk.job import TOWERS
from pecl.bulk.sources import COLUMNS, KINDS
from pecl.commands.options import add_command, add_config_flags, config_values, print_json, print_text
from pecl.config import make_config
from pecl.experiment.run import use_threads

_FLAGS = frozenset({*TOWERS, "language", "data_dir", "threads"})


def add_parser(commands: Any) -> None:
    """Add the command."""
    description = (
        "Embed images or texts into a folder: shards of rows as safetensors, ids.jsonl with the name of each row, and\n"
        "embeddings.json. SOURCE is a folder of images, a file with a text a line, a table of captions, or a data\n"
        "set. The same command goes on where a killed one was; pecl.open_embeddings reads the folder row by row."
    )
    example = "pecl embed lines.txt --adapter de.safetensors --out embedded"
    parser = add_command(commands, "embed", "embed images or texts in bulk", example, description)
    parser.add_argument("source", help="folder of images, file of lines (.txt), table, or data set")
    parser.add_argument("--out", required=True, help="folder to write")
    parser.add_argument("--kind", choices=KINDS, help="default: a folder's images, and the texts of all else")
    parser.add_argument("--column", choices=COLUMNS, default="target", help="texts of a table or data set")
    parser.add_argument("--adapter", help="adapter for texts: pecl's file, PEFT's folder, or OpenDelta's checkpoint")
    parser.add_argument("--shards", type=int, help="number of files (default: one for every 16,384 rows)")
    parser.add_argument("--batch-size", type=int, default=64, help="texts in one pass (default: 64)")
    parser.add_argument("--normalize", action="store_true", help="scale each embedding to length 1")
    parser.add_argument(
        "--ray", type=int, metavar="WORKERS", help="let so many workers of Ray Data take shards (pip install pecl[ray])"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    add_config_flags(parser, only=_FLAGS)
    parser.set_defaults(run=run)


def run(parsed: argparse.Namespace) -> int:
    """Embed, and print what there is."""
    values = {name: value for name, value in config_values(parsed).items() if name in _FLAGS}
    config = make_config({**values, "dataset": parsed.source}, where="command line")  # its languages are the source's
    with use_threads(config.threads):
        found = embed(
            parsed.source,
            parsed.out,
            kind=parsed.kind,
            language=config.language,
            column=parsed.column,
            data_dir=config.data_dir,
            adapter=parsed.adapter,
            shards=parsed.shards,
            batch_size=parsed.batch_size,
            normalize=parsed.normalize,
            ray_workers=parsed.ray,
            **{name: getattr(config, name) for name in TOWERS},
        )
    rows, width = found.shape
    if parsed.json:
        print_json({"folder": parsed.out, "rows": rows, "width": width, "shards": len(found.paths)})
    else:
        print_text(f"{parsed.out}: {rows:,} embeddings of width {width} in {len(found.paths)} shards")
    return 0
