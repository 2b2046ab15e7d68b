"""`pecl data`: list the data sets, download them, check them or a table, and make missing translations."""

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pecl.commands import options as cli
from pecl.data.check import check_dataset, check_table
from pecl.data.download import DOWNLOADS, FetchPolicy, download
from pecl.data.reading import provenance_file
from pecl.data.registry import DATASETS, ENVIRONMENT_VARIABLE, data_root
from pecl.data.translating.translate import TranslationJob, completed, dataset_job, file_job, translate_job
from pecl.data.translations import RELEASED
from pecl.errors import ConfigError, DataError, unknown
from pecl.language.languages import language_code, listed

_action = cli.group("data", "pecl data download xtd10 --text-only")
_DATA_DIR = cli.path("--data-dir", f"folder of the data sets (default: ${ENVIRONMENT_VARIABLE})")
_MOST = 86_400  # seconds of a day: no file needs more, and a socket cannot wait without end
_TRANSLATE_EXAMPLE = """
  pecl data translate xtd10 --source en --target ko --overwrite --model facebook/nllb-200-distilled-600M
      makes XTD10's Korean translations from English: the released file is a copy of the Italian one
  pecl data translate multi30k --split val --source cs --target en --model Helsinki-NLP/opus-mt-cs-en
  pecl data translate birds.csv --source en --target ko --model facebook/m2m100_418M --out birds-translated.csv"""


@_action("pecl data list", _DATA_DIR, cli.JSON)
def _list(parsed: argparse.Namespace) -> None:
    """List the data sets, and whether they are found."""
    root = data_root(parsed.data_dir)
    datasets: list[dict[str, Any]] = [
        {
            "name": name,
            "languages": list(info.languages),
            "splits": list(info.splits),
            # True for sets that pecl makes
            "found": all((root / folder).is_dir() for folder in info.folders),
            "description": info.description,
            "licence": info.licence,
        }
        for name, info in DATASETS.items()
    ]
    downloads: list[dict[str, Any]] = [
        {"name": name, "found": (root / name).is_dir(), "description": row.description}
        for name, row in DOWNLOADS.items()
    ]

    dataset_rows = []
    for dataset in datasets:
        languages = listed(dataset["languages"]).replace(", ", " ")
        dataset_rows.append((dataset["name"], _state(dataset), languages, dataset["description"]))
    download_rows = [(row["name"], _state(row), row["description"]) for row in downloads]

    cli.print_answer(
        parsed,
        {"data_dir": str(root), "datasets": datasets, "downloads": downloads},
        f"data sets in {root}",
        cli.in_columns(dataset_rows),
        "\npecl data download fetches",
        cli.in_columns(download_rows),
    )


def _state(row: dict[str, Any]) -> str:
    return "found" if row["found"] else "missing"


@_action(
    "pecl data download xtd10 pectvlm",
    cli.argument("names", f"data sets to download: {', '.join(DOWNLOADS)}", nargs="+", metavar="NAME"),
    cli.argument("--base-url", "mirror to fetch from, with the layout of a data folder", metavar="URL"),
    cli.switch("--text-only", "fetch no images"),
    cli.switch("--overwrite", "replace text files that differ from the published ones"),
    cli.argument("--workers", "parallel downloads (default: 4)", type=int, default=4),
    cli.argument(
        "--timeout", "seconds without an answer until an attempt fails (default: 30)", type=float, default=30.0
    ),
    cli.argument("--attempts", "attempts per file (default: 5)", type=int, default=5),
    _DATA_DIR,
    cli.JSON,
)
def _download(parsed: argparse.Namespace) -> None:
    """Download data sets; existing files are kept."""
    for flag in ("workers", "timeout", "attempts"):
        if not 0 < getattr(parsed, flag) <= _MOST:
            raise ConfigError(f"--{flag}: expected a number > 0 and <= {_MOST:,}, got {getattr(parsed, flag)}")

    report = download(
        parsed.names,
        data_root(parsed.data_dir),
        mirror=parsed.base_url,
        text_only=parsed.text_only,
        overwrite=parsed.overwrite,
        workers=parsed.workers,
        policy=FetchPolicy(timeout=parsed.timeout, attempts=parsed.attempts),
    )
    counts = f"{len(report.fetched)} files fetched, {len(report.present)} existed already"
    counts += f"; {len(report.kept)} made on this machine were kept" if report.kept else ""
    cli.print_answer(parsed, asdict(report), counts, *(f"\n{note}" for note in report.notes))


@_action(
    "pecl data check birds/captions.csv",
    cli.path("target", f"table or folder of your own, or one of {', '.join(DATASETS)}", "FILE"),
    cli.switch("--text-only", "omit the images"),
    _DATA_DIR,
    cli.JSON,
)
def _check(parsed: argparse.Namespace) -> int:
    """Print every problem of a data set, or of a table of your own; exit status 2 if there is one."""
    target = parsed.target
    open_images = not parsed.text_only
    if target in DATASETS:
        report = check_dataset(target, parsed.data_dir, open_images=open_images)
        prefix = ""
    elif Path(target).exists():
        report = check_table(target, open_images=open_images)
        prefix = f"{target}, "
    else:
        raise DataError(f"no file {target!r}, and {unknown('data set', target, DATASETS)}")

    problems = report.problems
    summaries = {} if problems else report.summaries
    document = {
        "target": target,
        "problems": [asdict(problem) for problem in problems],
        "summaries": {name: asdict(summary) for name, summary in summaries.items()},
    }
    lines = [f"{prefix}{problem}" for problem in problems]
    lines.append(f"{target}: {len(problems) or 'no'} problem{'s' * (len(problems) != 1)}")
    cli.print_answer(parsed, document, *lines, *(f"{name}: {summary}" for name, summary in summaries.items()))

    return 2 if problems else 0


@_action(
    _TRANSLATE_EXAMPLE,
    cli.argument("what", "xtd10, multi30k, a text file of captions, or a table", metavar="WHAT"),
    cli.argument("--source", "language to translate from", required=True),
    cli.argument("--target", "language to translate into", required=True),
    cli.argument("--model", "name on the Hugging Face Hub, or a local folder", required=True),
    cli.argument("--revision", "commit, branch or tag of the model on the Hub"),
    cli.argument("--split", "split of multi30k (default: test_2016_flickr)"),
    cli.path("--out", "output file, for a file of your own; data sets have a fixed place", "FILE"),
    cli.switch("--overwrite", "replace existing translations"),
    cli.argument("--num-beams", "width of the beam search (default: 4)", type=int, default=4),
    cli.argument("--max-new-tokens", "maximum tokens of a translation (default: 256)", type=int, default=256),
    cli.argument("--batch-size", "sentences per batch (default: 16)", type=int, default=16),
    cli.argument("--dtype", "float32 (default), bfloat16 or float16", default="float32"),
    cli.argument("--device", "torch device, such as cuda (default: cpu)", default="cpu"),
    _DATA_DIR,
    cli.JSON,
)
def _translate(parsed: argparse.Namespace) -> None:
    """Make machine translations with a MarianMT (OPUS), M2M100 or NLLB model."""
    from pecl.data.translating.mt import TranslationConfig, Translator  # imports torch

    if parsed.batch_size < 1:
        raise ConfigError(f"--batch-size: expected a whole number >= 1, got {parsed.batch_size}")

    source = language_code(parsed.source)
    target = language_code(parsed.target)
    names = ("model", "revision", "num_beams", "max_new_tokens", "dtype", "device")
    config = TranslationConfig(source=source, target=target, **{name: getattr(parsed, name) for name in names})
    job = _job(parsed, source, target)
    record = completed(job, config, parsed.overwrite)
    if record is None:
        record = translate_job(job, Translator(config), parsed.batch_size)

    message = f"{job.output}: {record['sentences']} translations, recorded in {provenance_file(job.output).name}"
    cli.print_answer(parsed, {"output": str(job.output), **record}, message)


def _job(parsed: argparse.Namespace, source: str, target: str) -> TranslationJob:
    if parsed.what in RELEASED:
        if parsed.out:
            raise ConfigError(f"--out: expected none with {parsed.what}, whose translations have their place")
        return dataset_job(parsed.what, source, target, split=parsed.split, data_dir=parsed.data_dir)

    if not Path(parsed.what).exists():
        raise DataError(f"no file {parsed.what!r}, and {unknown('data set with translations', parsed.what, RELEASED)}")
    if not parsed.out or parsed.split:
        raise ConfigError("--out: expected a file for the translations of a file of your own, and no --split")
    return file_job(parsed.what, source, target, parsed.out)
