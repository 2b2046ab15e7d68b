"""`pecl embed`: images or texts of any number into parquet files."""

import argparse

from pecl.apps.bulk.embed import embed
from pecl.apps.bulk.job import COLUMNS, KINDS, TOWERS
from pecl.apps.commands.flags import BACKEND
from pecl.commands import options as cli
from pecl.config import make_config
from pecl.training.distributed import use_threads

_FLAGS = frozenset({*TOWERS, "language", "data_dir", "threads"})


@cli.command(
    "pecl embed lines.txt --adapter de.safetensors --out embedded",
    cli.argument("source", "folder of images, file of lines (.txt), table, or data set"),
    cli.path("--out", "folder to write", required=True),
    cli.argument("--kind", "default: images for a folder, else texts", choices=KINDS),
    cli.argument("--column", "column with the texts of a table or data set", choices=COLUMNS, default="target"),
    cli.argument("--adapter", f"adapter for texts: {cli.ADAPTER_HELP} (default: that of --language)"),
    cli.argument("--batch-size", "texts per pass (default: 64)", type=int, default=64),
    cli.argument(
        "--no-normalize", "keep the tower's own lengths (default: length 1)", action="store_false", dest="normalize"
    ),
    cli.argument("--ray", "embed on this many workers of Ray Data (extra `ray`)", type=int, metavar="WORKERS"),
    BACKEND,
    cli.config_flags(only=_FLAGS, defaults={"language": "de for a table or data set, none for lines"}),
    cli.JSON,
)
def run(parsed: argparse.Namespace) -> None:
    """Embed images or texts into a folder of parquet files with the columns id and embedding.

    SOURCE is a folder of images, a file with one text per line, a table of captions, or a data set. The same command
    resumes a killed one.
    """
    values = {name: value for name, value in cli.config_values(parsed).items() if name in _FLAGS}
    # accept the source's languages
    config = make_config({**values, "dataset": parsed.source}, where=cli.sources_of_values(parsed))
    with use_threads(config.threads):
        embedded = embed(
            parsed.source,
            parsed.out,
            kind=parsed.kind,
            language=config.language if "language" in values else None,
            column=parsed.column,
            data_dir=config.data_dir,
            adapter=parsed.adapter,
            batch_size=parsed.batch_size,
            normalize=parsed.normalize,
            ray_workers=parsed.ray,
            backend=parsed.backend,
            **{name: getattr(config, name) for name in TOWERS},
        )

    document = {"files": [str(path) for path in embedded.paths], "rows": embedded.rows}
    document |= {"adapter": embedded.metadata.get("adapter"), "normalize": parsed.normalize}
    message = f"{parsed.out}: {embedded.rows:,} embeddings in {cli.counted(len(embedded.paths), 'file')}"
    cli.print_answer(parsed, document, message)
