"""Make the machine translations that a data set lacks, in the release's layout, each with its record."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pecl.data.captions import read_captions
from pecl.data.custom.tables import TABLE_SUFFIXES, CaptionTable, check_captions_file, read_table, suffix_of
from pecl.data.reading import read_provenance, write_with_provenance
from pecl.data.registry import find_data_dir, load_dataset
from pecl.data.translations import RELEASED, released_file
from pecl.errors import ConfigError, DataError, OutputError, not_none, setting, unknown
from pecl.files import locked, sha256_json, sha256_lines, write_text
from pecl.files.progress import Bar
from pecl.language.languages import ENGLISH, find_code

if TYPE_CHECKING:
    from pecl.data.translating.mt import TranslationConfig, Translator

logger = logging.getLogger(__name__)

_TABLES = (".csv", ".tsv", ".jsonl")


@dataclass(frozen=True)
class TranslationJob:
    """Sentences to translate, their description for the record, and their output file."""

    sentences: Sequence[str]
    output: Path
    # turns the translations, one per sentence, into the content of `output`
    render: Callable[[Sequence[str]], bytes]
    origin: dict[str, Any]


def dataset_job(
    name: str,
    source: str,
    target: str,
    *,
    split: str | None = None,
    data_dir: str | Path | None = None,
) -> TranslationJob:
    """Return the job that makes the translations of `xtd10` or `multi30k`, from English or into it.

    Its output is the file of the release: `translated_from_en/<target>` or `translated_to_en/<source>`.
    """
    if name not in RELEASED:
        raise DataError(unknown("data set with translations", name, RELEASED))

    direction = "english_to_target" if source == "en" else "target_to_english"
    if (source == "en") == (target == "en"):
        raise ConfigError(
            f"expected English as {setting('source')} or {setting('target')}, got {source!r} and {target!r}"
        )

    language = target if source == "en" else source
    captions = load_dataset(name, language, data_dir=data_dir, split=split, text_only=True)
    split = captions.provenance.get("split")
    return TranslationJob(
        not_none(captions.english, "english") if source == "en" else captions.target,
        released_file(find_data_dir(name, data_dir), name, direction, language, split),
        _render_lines,
        {"dataset": name, "split": split},
    )


def file_job(path: str | Path, source: str, target: str, output: str | Path) -> TranslationJob:
    """Return the job for a file of the user: one caption per line, or a table (see `tables`).

    A table is written again with a column `<source>_to_<target>`, made of its column `<source>`. A
    language has the code of its column.
    """
    path = Path(path)
    output = Path(output)
    origin = {"file": path.name}

    if suffix_of(path) not in TABLE_SUFFIXES:
        if output.suffix.lower() in (".gz", *TABLE_SUFFIXES):
            raise DataError(f"cannot translate {path} to {output}: captions are written as plain text, one per line")
        return TranslationJob(read_captions(path), output, _render_lines, origin)

    if suffix_of(path) not in _TABLES or output.suffix.lower() not in _TABLES:
        raise DataError(f"cannot translate {path} to {output}: a table and its output are one of {', '.join(_TABLES)}")

    problems = check_captions_file(path, open_images=False)
    if problems:
        raise DataError(f"{path}, {problems[0]} ({len(problems)} in all: `python -m pecl data check` lists them)")

    table = read_table(path)
    source_column, target_column = (find_code(name, table.columns) for name in (source, target))
    if source_column not in table.columns:
        raise DataError(f"{path} has no column {source_column!r}: it has {', '.join(table.columns)}")

    # as readers name it
    column = f"{source if source == ENGLISH else source_column}_to_{target if target == ENGLISH else target_column}"
    sentences = tuple(row[source_column] for _, row in table.rows)
    return TranslationJob(sentences, output, partial(_render_table, table, column, output), origin)


def completed(
    job: TranslationJob,
    config: TranslationConfig,
    overwrite: bool = False,
) -> dict[str, Any] | None:
    """Return the record of the job's output if it was made before with this model, None if it does not exist yet.

    Raise DataError for another file in its place, unless `overwrite`.
    """
    if not job.output.exists():
        return None

    record = read_provenance(job.output)
    if record is not None and record.get("source_sha256") == sha256_lines(job.sentences):
        settings = {name: value for name, value in asdict(config).items() if name != "device" and value is not None}
        if settings.items() <= record.get("translator", {}).items():
            return record

    if not overwrite:
        raise DataError(f"{job.output} is there already; {setting(overwrite=True)} replaces it")
    return None


def translate_job(
    job: TranslationJob,
    translator: Translator,
    batch_size: int = 16,
) -> dict[str, Any]:
    """Translate as `translate` does, write the output and its record, and return the record."""
    partial_file = job.output.with_name(f"{job.output.name}.partial")
    with locked(job.output.with_name(f"{job.output.name}.lock"), f"{job.output} is being made by another process"):
        translations = translate(job.sentences, translator, partial_file, batch_size)
        record = {
            "translator": translator.identity,
            "date": datetime.now(timezone.utc).isoformat("T", "seconds"),
            "versions": {name: version(name) for name in ("transformers", "torch")},
            "origin": job.origin,
            "sentences": len(translations),
            "source_sha256": sha256_lines(job.sentences),
            "translations_sha256": sha256_lines(translations),
        }
        write_with_provenance(job.output, job.render(translations), record)
        partial_file.unlink()

    return not_none(read_provenance(job.output), f"the record of {job.output}")


def translate(
    sentences: Sequence[str],
    translator: Translator,
    partial_file: Path,
    batch_size: int = 16,
) -> list[str]:
    """Return the translation of each sentence; equal sentences are translated once.

    Every batch is appended to `partial_file` as lines, so that a killed run resumes after its last
    whole batch. Raise DataError if a sentence is too long for the model, before any is translated,
    or a translation is empty.
    """
    # By length, for little padding; the longest first, so that memory runs out at once or never
    distinct = sorted(dict.fromkeys(sentences), key=translator.length, reverse=True)
    head = sha256_json([translator.identity, distinct, batch_size])
    lines = partial_file.read_text("utf-8", "replace").split("\n")[:-1] if partial_file.exists() else []
    translations = lines[1:] if lines[:1] == [head] else []  # whole lines of this job
    if len(translations) < len(distinct):
        translations = translations[: len(translations) // batch_size * batch_size]

    logger.info("%d sentences, %d to translate, %d of them done", len(sentences), len(distinct), len(translations))

    try:
        write_text(partial_file, "".join(f"{line}\n" for line in [head, *translations]))
        with (
            partial_file.open("a", encoding="utf-8") as file,
            Bar(total=len(distinct), initial=len(translations), desc="translate", unit="sentence") as bar,
        ):
            for start in range(len(translations), len(distinct), batch_size):
                batch = translator.translate(distinct[start : start + batch_size])
                file.writelines(f"{line}\n" for line in batch)
                file.flush()
                translations += batch
                bar.update(len(batch))
    except OSError as error:
        raise OutputError(f"cannot write {partial_file}: {error.strerror or error}") from error

    translation_of = dict(zip(distinct, translations, strict=True))
    for number, sentence in enumerate(sentences, 1):
        if not translation_of[sentence]:
            raise DataError(f"the model's translation of line {number} is empty ({sentence!r}): choose another model")

    return [translation_of[sentence] for sentence in sentences]


def _render_lines(translations: Sequence[str]) -> bytes:
    return "".join(f"{translation}\n" for translation in translations).encode("utf-8")


def _render_table(
    table: CaptionTable,
    column: str,
    output: Path,
    translations: Sequence[str],
) -> bytes:
    """Return the table with its column of translations, in the format of `output`'s suffix."""
    rows = [row | {column: text} for (_, row), text in zip(table.rows, translations, strict=True)]
    if output.suffix.lower() == ".jsonl":
        return _render_lines([json.dumps(row, ensure_ascii=False) for row in rows])

    import pandas as pd  # takes a second

    frame = pd.DataFrame(rows, columns=list(dict.fromkeys([*table.columns, column])))
    delimiter = "," if output.suffix.lower() == ".csv" else "\t"
    return frame.to_csv(sep=delimiter, index=False, lineterminator="\n").encode("utf-8")
