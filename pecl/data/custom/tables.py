"""The user's own data: a table of image paths and captions (for rows in memory, see `in_memory`).

A table is CSV, TSV, JSONL or parquet, or a folder that holds one as `captions.csv` (`.tsv`, ...).
Columns: one for each target language by its code; `en`, English captions, for the routes that need
them; `image`, a path relative to the table, unless the set is text only; for routes with machine
translations, `en_to_de` and `de_to_en`; and `part` (train, val or test), if the set has parts of its own.

Reading continues after a mistake: every readable line is returned; any other line becomes a
`Problem` with its number.
"""

import csv
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from pecl.data.captions import DIRECTIONS, PARTS, TABLE, ParallelCaptions, has_words, lines_of, readable
from pecl.data.custom.photographs import find_photographs
from pecl.data.reading import DataRequest, attach_images, check_directions, describe_file
from pecl.errors import DataError, is_text, one_line, suggest, unknown
from pecl.files import HALF_CHARACTER, check_regular, expanded, parse_json
from pecl.files.images import ImageFiles
from pecl.language.languages import CODE, COLUMN_WORDS, ENGLISH, find_code, find_codes, language_name

TABLE_SUFFIXES = (".csv", ".tsv", ".jsonl", ".parquet")
MALFORMED = "malformed line"
_ROWS = 4096  # rows of parquet that are read together
_INDEX = re.compile(r"__index_level_\d+__")  # a column that pandas wrote for itself
_EXCEL_SEPARATOR = re.compile('"?sep=.?"?', re.IGNORECASE)  # a line before the header
_COLUMN = re.compile(rf"image|part|{CODE}|en_to_{CODE}|{CODE}_to_en", re.IGNORECASE)

# line number and fields; a field that the row lacks is absent
TableRow = tuple[int, dict[str, str]]


@dataclass(frozen=True)
class Problem:
    """One problem of a table, and the expected content."""

    line: int | None  # counted from 1 (row, in parquet); None for the whole file
    field: str | None  # name of the column; None for the whole line
    message: str

    def __str__(self) -> str:
        where = []
        if self.line is not None:
            where.append(f"line {self.line}")

        if self.field is not None:
            where.append(f"field {self.field!r}")

        if not where:
            return self.message
        return f"{', '.join(where)}: {self.message}"


@dataclass
class CaptionTable:
    """The readable part of a table, and its problems; columns are in the file's order."""

    columns: list[str] = field(default_factory=list)
    rows: list[TableRow] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def read_table(path: Path) -> CaptionTable:
    """Read a table. Raise DataError if it is missing, not a kind of `TABLE_SUFFIXES`, or cannot be read at all."""
    table = CaptionTable()
    table.rows += rows_of(path, table)
    return table


def rows_of(path: Path, table: CaptionTable) -> Iterator[TableRow]:
    """Yield the rows of a table; only its columns and problems are added to `table`."""
    suffix = kind_of(path)
    if suffix == ".parquet":
        with readable(path, TABLE):
            check_regular(path)
        return _parquet_rows(path, table)

    lines = _lines(path, suffix, table)
    if suffix == ".jsonl":
        return _jsonl_rows(lines, table)
    return _delimited_rows(lines, suffix, table)


def kind_of(path: Path) -> str:
    """Return a table's suffix in `TABLE_SUFFIXES`. Raise DataError for another suffix, and for gzipped parquet."""
    suffix = suffix_of(path)
    if suffix not in TABLE_SUFFIXES or (suffix == ".parquet" and path.suffix.lower() == ".gz"):
        raise DataError(f"{path}: {unknown('kind of table', suffix, TABLE_SUFFIXES)}")
    return suffix


def suffix_of(path: Path) -> str:
    """Return the suffix of a file in lower case, without `.gz`."""
    return (path.with_suffix("") if path.suffix.lower() == ".gz" else path).suffix.lower()


def _lines(path: Path, suffix: str, table: CaptionTable) -> Iterator[str]:
    """Yield the lines; a line that is not UTF-8 becomes a problem, and its wrong bytes are replaced."""
    number = 1
    for text, wrong in lines_of(path, TABLE, "\n" if suffix == ".jsonl" else ""):
        if wrong:
            table.problems.append(Problem(number, None, wrong))
        number += text.endswith("\n")
        yield text


def _delimited_rows(lines: Iterator[str], suffix: str, table: CaptionTable) -> Iterator[TableRow]:
    opening = []  # blank lines, and then the header
    header = ""
    for line in lines:
        if _EXCEL_SEPARATOR.fullmatch(line.strip()):
            line = "\n"
        opening.append(line)
        if line.strip():
            header = line
            break

    delimiter = ","
    if suffix == ".tsv":
        delimiter = "\t"
    elif header.count(";") > header.count(","):  # as Excel writes a .csv if a comma is the decimal mark
        delimiter = ";"

    reader = csv.reader(chain(opening, lines), delimiter=delimiter, strict=True)

    while True:
        number = reader.line_num + 1  # first line of the record
        try:
            fields = next(reader, None)
        except csv.Error as error:
            hint = f"{error} (write a quotation mark inside a quoted field twice)"
            if str(error).startswith("field larger"):
                hint = f"a field of more than {csv.field_size_limit():,} characters (shorten it, or close its quotes)"
            message = f"{MALFORMED}: {hint}"
            table.problems.append(Problem(number, None, message))
            continue

        if fields is None:
            return
        if not any(field.strip() for field in fields):
            continue

        if not table.columns:
            table.columns = [field.strip() for field in fields]
        elif len(fields) != len(table.columns):
            if len(table.columns) > 1:
                hint = "quote a field that has the delimiter in it"
            else:
                hint = "separate columns by " + ("tabs" if suffix == ".tsv" else "commas or semicolons")
            message = f"{len(fields)} fields, expected {len(table.columns)} as in the header ({hint})"
            table.problems.append(Problem(number, None, message))
        else:
            yield number, {k: v.strip() for k, v in zip(table.columns, fields, strict=True)}


def _jsonl_rows(lines: Iterator[str], table: CaptionTable) -> Iterator[TableRow]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue

        try:
            record = parse_json(line.removesuffix("\n"))
        except ValueError as error:
            column = ""
            if isinstance(error, json.JSONDecodeError):
                column = f" at column {error.colno}"
            message = f"not JSON: {getattr(error, 'msg', error)}{column} (expected an object a line)"
            table.problems.append(Problem(number, None, message))
            continue

        if not isinstance(record, dict):
            table.problems.append(Problem(number, None, f"expected a JSON object, got {type(record).__name__}"))
            continue

        yield _row(number, record, table)


def _parquet_rows(path: Path, table: CaptionTable) -> Iterator[TableRow]:
    try:
        from pyarrow import parquet  # imported here: the other kinds do not need it

        with parquet.ParquetFile(path) as file:
            batches = file.iter_batches(_ROWS)
            records = chain.from_iterable(batch.to_pylist() for batch in batches)  # decodes bytes
            for number, record in enumerate(records, 1):
                yield _row(number, {k: v for k, v in record.items() if not _INDEX.fullmatch(k)}, table)
    except Exception as error:  # a damaged file makes pyarrow raise errors of many kinds
        raise DataError(f"cannot read {path} as parquet: {one_line(error)}") from error


def _row(number: int, record: dict[str, Any], table: CaptionTable) -> TableRow:
    """Return a row of named values; a value that is not text becomes a problem, an absent one (None) is left out."""
    table.columns += [name for name in record if name not in table.columns]
    row = {}
    for name, value in record.items():
        if isinstance(value, str):
            row[name] = value.strip()
        elif value is not None:
            table.problems.append(Problem(number, name, f"expected text, got {type(value).__name__}"))
            row[name] = str(value)  # so that it is not also reported as empty

    return number, row


def find_table(path: str | Path) -> Path:
    """Return the table that `path` names: itself, or `captions.*` in a folder; raise DataError for none or several."""
    path = expanded(path)
    if not path.is_dir():
        return path

    tables = [path / f"captions{suffix}" for suffix in TABLE_SUFFIXES if (path / f"captions{suffix}").is_file()]
    if len(tables) != 1:
        names = ", ".join(table.name for table in tables) or "none"
        is_bare = not tables and find_photographs(path).photographs
        hint = "; photographs without captions are for `pecl index` and `pecl search`" if is_bare else ""
        raise DataError(f"{path} must hold one table captions{{{','.join(TABLE_SUFFIXES)}}}, found {names}{hint}")

    return tables[0]


def check_captions_file(path: str | Path, *, open_images: bool = True) -> list[Problem]:
    """Return all problems of a table of captions, or of a folder that holds one, in the order of its lines.

    With `open_images`, every image is read, which finds missing and damaged ones.
    """
    path = find_table(path)
    table = read_table(path)
    problems = _table_problems(table)
    if open_images and "image" in table.columns:
        problems += _image_problems(table, path.parent)
    return sorted(problems, key=lambda problem: problem.line or 0)


def read_folder(request: DataRequest) -> ParallelCaptions:
    """Read one target language of the table that `request.dataset` names; rows with the same image share it.

    The language may be any that has a column; its column, and that of English, may have another
    code (`ja` for `jp`).

    Raises:
        DataError: a column is missing, or the columns that are read have problems: the sentence has
            the first one and the number of the others (`check_captions_file` lists them all).
    """
    path = find_table(request.dataset)
    language = request.language
    table = read_table(path)
    _refuse_problems(path, table, set())  # broken lines first: they can hide the columns

    english = next(iter(find_codes(ENGLISH, filter(_COLUMN.fullmatch, table.columns))), None)
    columns = find_columns(str(path), table.columns, language, request.need, english)
    spelt = columns["target"]
    with_images = "image" in table.columns
    with_parts = "part" in table.columns

    used_columns = set(columns.values())
    if with_images and not request.text_only:
        used_columns.add("image")

    if with_parts:
        used_columns.add("part")

    _refuse_problems(path, table, used_columns)

    texts = {name: tuple(row[column] for _, row in table.rows) for name, column in columns.items()}
    if spelt in COLUMN_WORDS and not has_words(texts["target"]):
        raise DataError(f"{path}: column {spelt!r} has no letters: expected captions in {language_name(language)}")

    captions = ParallelCaptions(
        path.absolute().parent.name if path.stem == "captions" else path.stem,
        language,
        **{"english": None, **texts},
        part=tuple(row["part"] for _, row in table.rows) if with_parts else None,
        provenance={
            "files": {"table": describe_file(path, path.parent)},
            "translations": translation_records(columns),
        },
    )
    if not with_images:
        return captions

    # without images, rows may lack one; such a row shares it with no other
    image_names = [row.get("image") or f"row {number}" for number, row in table.rows]
    return attach_images(captions, image_names, path.parent)


def find_columns(
    source: str,
    column_names: Sequence[str],
    language: str,
    need: Iterable[str],
    english: str | None,
    target: str | None = None,
    other_columns: Sequence[str] = (),
) -> dict[str, str]:
    """Return the columns, out of `column_names`, of a language's captions and translations, by the names in `COLUMNS`.

    `english` and `target` are the columns of captions if their names are not the languages' codes.
    Raise DataError, which begins with `source`, if one of these columns or of `other_columns` is missing.
    """
    spelt = find_code(language, column_names)
    names = translation_names(spelt, need)
    columns = {"target": english if language == "en" and english else target or spelt}
    columns |= {direction: english if name == "en" and english else name for direction, name in names.items()}
    if english is not None:
        columns["english"] = english

    for column in (*columns.values(), *other_columns):
        if column not in column_names:
            hint = suggest(column, column_names)
            raise DataError(f"{source} has no column {column!r}: it has {', '.join(column_names)}{hint}")

    return columns


def translation_records(columns: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Return the provenance of the translations among columns of `find_columns`."""
    return {d: {"translator": "not stated", "column": columns[d]} for d in DIRECTIONS if d in columns}


def translation_names(language: str, need: Iterable[str]) -> dict[str, str]:
    """Return the column of each needed direction of translation; English is its own translation."""
    names = {"english_to_target": f"en_to_{language}", "target_to_english": f"{language}_to_en"}
    return {direction: "en" if language == "en" else names[direction] for direction in check_directions(need)}


def _refuse_problems(path: Path, table: CaptionTable, used_columns: set[str]) -> None:
    """Raise DataError if the table has a problem with a whole line, or with a column of `used_columns`."""
    problems = [problem for problem in _table_problems(table) if problem.field is None or problem.field in used_columns]
    if problems:
        remark = ""
        if len(problems) > 1:
            remark = f" (and {len(problems) - 1} more: `pecl data check` lists them)"
        raise DataError(f"{path}, {problems[0]}{remark}")


def _table_problems(table: CaptionTable) -> list[Problem]:
    expected = "expected image, part, a language's code such as en or de, en_to_<code> or <code>_to_en"
    message = f"unknown column: {expected}; rename or remove it"
    problems = [*table.problems, *(Problem(1, c, message) for c in table.columns if not _COLUMN.fullmatch(c))]
    twice = sorted({c for c in table.columns if table.columns.count(c) > 1})
    problems += [Problem(1, c, "column appears twice") for c in twice]
    if not any(re.fullmatch(CODE, column, re.IGNORECASE) for column in table.columns):
        names = ", ".join(table.columns) or "no header"
        problems.append(Problem(1, None, f"there is no column of captions, such as en or de: the table has {names}"))

    if not table.rows:
        problems.append(Problem(None, None, "the table has no rows"))

    for number, row in table.rows:
        problems += [Problem(number, c, "empty; every row must fill it") for c in table.columns if not row.get(c)]
        problems += [Problem(number, c, HALF_CHARACTER) for c, value in row.items() if not is_text(value)]
        if row.get("part") and row["part"] not in PARTS:
            problems.append(Problem(number, "part", unknown("part", row["part"], PARTS)))

    return problems


def _image_problems(table: CaptionTable, folder: Path) -> list[Problem]:
    problems = []
    first_use = {row["image"]: number for number, row in reversed(table.rows) if row.get("image")}
    files = ImageFiles(tuple(folder / name for name in first_use))

    for index, number in enumerate(first_use.values()):
        try:
            files.load(index)
        except DataError as error:
            problems.append(Problem(number, "image", str(error)))

    return problems
