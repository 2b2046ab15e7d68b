"""`pecl index`: create or update the index of a folder of photographs."""

import argparse
from dataclasses import asdict, fields

from pecl.apps.commands.flags import BACKEND
from pecl.apps.search.build import IndexReport, build_index
from pecl.apps.search.forget import forget_index
from pecl.apps.search.options import IndexOptions
from pecl.commands import options as cli
from pecl.errors import ConfigError, one_line

_SHOWN = 10  # unreadable files that are named


@cli.command(
    "pecl index ~/Pictures",
    cli.path("folder", "folder of photographs, with all its subfolders", "FOLDER"),
    cli.path("--out", "folder of the index (default: one in your data folder)", "INDEX"),
    cli.argument("--profile", "pair of towers, such as mini (default) or paper"),
    cli.choice("--thumbnails", "keep thumbnails in the index"),
    cli.argument("--engine", "vector backend: exact (default) or qdrant"),
    cli.argument("--url", "address of the Qdrant server, with --engine qdrant"),
    cli.argument(
        "--languages",
        "languages of your queries, such as cs,de (default: those of your system, and English)",
        type=lambda codes: codes.split(","),
        metavar="CODES",
    ),
    cli.choice("--words", "read names of files and folders, captions, keywords, people and days (default: yes)"),
    cli.switch("--rebuild", "rebuild from scratch"),
    cli.switch("--forget", "remove the index, and the cached embeddings of its photographs, which stay"),
    BACKEND,
    cli.argument("--device", "torch device, such as cuda (default: cpu)", default="cpu"),
    cli.THREADS,
    cli.JSON,
)
def run(parsed: argparse.Namespace) -> None:
    """Create or update the index of a folder of photographs, for `pecl search`.

    Embed the photographs of a folder and its subfolders. The next call embeds only new and changed photographs, and
    removes deleted ones from the index. After an interruption the same command resumes.
    """
    options = IndexOptions(**{field.name: getattr(parsed, field.name) for field in fields(IndexOptions)})
    if parsed.forget:
        _forget(parsed, options)
        return
    with cli.threads_of(parsed):
        report = build_index(parsed.folder, parsed.out, options)
    cli.print_answer(parsed, {**asdict(report), "folder": str(report.folder)}, *_described(report))


def _forget(parsed: argparse.Namespace, options: IndexOptions) -> None:
    if options != IndexOptions():
        raise ConfigError("--forget: expected no other flags with it than --out and --json")
    report = forget_index(parsed.folder, parsed.out)
    line = f"{report.folder}: removed; {report.photographs} photographs, {report.embeddings} cached embeddings"
    cli.print_answer(parsed, {**report._asdict(), "folder": str(report.folder)}, line)


def _described(report: IndexReport) -> list[str]:
    counts = [f"{report.new} new", f"{report.changed} changed"]
    if report.moved:
        counts.append(f"{report.moved} moved")

    counts.append(f"{report.removed} removed")
    if report.described:
        counts.append(f"words of {report.described} read again")

    lines = []
    if report.again:
        lines.append(f"photographs were embedded again: {report.again}")
    lines += [f"{report.folder}: {report.photographs} photographs ({', '.join(counts)})"]
    if report.people or report.days:
        lines.append(f"read the days of {report.days} photographs and the names of {report.people} people")
    if report.broken:
        lines.append(f"{report.broken} have metadata that cannot be read, whose words are not searched")

    if report.unreadable:
        lines.append(f"{len(report.unreadable)} cannot be read:")
        lines += [f"  {one_line(f'{name}: {why}')}" for name, why in list(report.unreadable.items())[:_SHOWN]]
        lines += ["  ... (all of them: --json)"] * (len(report.unreadable) > _SHOWN)

    return lines
