"""Read tables of captions in CSV, TSV, JSONL and parquet, with line numbers and problems.

Reading continues after a mistake: every readable line is returned, every other becomes a `Problem`.
"""

import csv
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from pecl.data.captions import TABLE, lines_of, readable
from pecl.errors import DataError, one_line, unknown
from pecl.files import check_regular, parse_json

TABLE_SUFFIXES = (".csv", ".tsv", ".jsonl", ".parquet")
MALFORMED = "malformed line"
_ROWS = 4096  # rows of parquet that are read together
_INDEX = re.compile(r"__index_level_\d+__")  # a column that pandas wrote for itself


TableRow = tuple[int, dict[str, str]]  # line number and fields; a field that the row lacks is absent


@dataclass(frozen=True)
class Problem:
    """One problem of a table, and the expected content."""

    line: int | None  # counted from 1 (row, in parquet); None for the whole file
    field: str | None  # name of the column; None for the whole line
    message: str

    def __str__(self) -> str:
        place = [f"line {self.line}"] * (self.line is not None) + [f"field {self.field!r}"] * (self.field is not None)
        return f"{', '.join(place)}: {self.message}" if place else self.message


@dataclass
class CaptionTable:
    """The readable part of a table, and its problems; columns are in the file's order."""

    columns: list[str] = field(default_factory=list)
    rows: list[TableRow] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def read_table(path: Path) -> CaptionTable:
    """Read a table by its suffix; raise DataError if it is missing, of another suffix, or cannot be read at all."""
    table = CaptionTable()
    table.rows += rows_of(path, table)
    return table


def rows_of(path: Path, table: CaptionTable) -> Iterator[TableRow]:
    """Yield the rows of a table; `table` receives only columns and problems."""
    suffix = kind_of(path)
    if suffix == ".parquet":
        with readable(path, TABLE):
            check_regular(path)
        return _parquet_rows(path, table)
    lines = _lines(path, suffix, table)
    return _jsonl_rows(lines, table) if suffix == ".jsonl" else _delimited_rows(lines, suffix, table)


def kind_of(path: Path) -> str:
    """Return the member of `TABLE_SUFFIXES` that a table has; DataError for another suffix, and for gzipped parquet."""
    suffix = suffix_of(path)
    if suffix not in TABLE_SUFFIXES or (suffix == ".parquet" and path.suffix.lower() == ".gz"):
        raise DataError(f"{path}: {unknown('kind of table', suffix, TABLE_SUFFIXES)}")
    return suffix


def suffix_of(path: Path) -> str:
    """Return the suffix of a file in small letters, without `.gz`."""
    return (path.with_suffix("") if path.suffix.lower() == ".gz" else path).suffix.lower()


def _lines(path: Path, suffix: str, table: CaptionTable) -> Iterator[str]:
    """Yield the lines; a line outside UTF-8 becomes a problem, and gets replacement characters."""
    number = 1
    for text, wrong in lines_of(path, TABLE, "\n" if suffix == ".jsonl" else ""):
        if wrong:
            table.problems.append(Problem(number, None, wrong))
        number += text.endswith("\n")
        yield text


def _delimited_rows(lines: Iterator[str], suffix: str, table: CaptionTable) -> Iterator[TableRow]:
    header = next(lines, "")
    # Excel separates the columns of a .csv by semicolons where a comma is the decimal mark
    delimiter = "\t" if suffix == ".tsv" else ";" if header.count(";") > header.count(",") else ","
    reader = csv.reader(chain([header], lines), delimiter=delimiter, strict=True)
    while True:
        number = reader.line_num + 1  # first line of the record
        try:
            fields = next(reader, None)
        except csv.Error as error:
            said = f"{MALFORMED}: {error} (write a quotation mark inside a quoted field twice)"
            table.problems.append(Problem(number, None, said))
            continue
        if fields is None:
            return
        if not any(field.strip() for field in fields):
            continue
        if not table.columns:
            table.columns = [field.strip() for field in fields]
        elif len(fields) != len(table.columns):
            message = f"{len(fields)} fields, expected {len(table.columns)} as in the header (quote a field that has "
            table.problems.append(Problem(number, None, f"{message}the delimiter in it)"))
        else:
            yield number, {k: v.strip() for k, v in zip(table.columns, fields, strict=True)}


def _jsonl_rows(lines: Iterator[str], table: CaptionTable) -> Iterator[TableRow]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            record = parse_json(line.removesuffix("\n"))
        except ValueError as error:
            place = f" at column {error.colno}" if isinstance(error, json.JSONDecodeError) else ""
            said = f"not JSON: {getattr(error, 'msg', error)}{place} (expected an object a line)"
            table.problems.append(Problem(number, None, said))
            continue
        if not isinstance(record, dict):
            table.problems.append(Problem(number, None, f"expected a JSON object, got {type(record).__name__}"))
            continue
        yield _row(number, record, table)


def _parquet_rows(path: Path, table: CaptionTable) -> Iterator[TableRow]:
    try:
        from pyarrow import parquet  # here, because the other kinds do not need it

        with parquet.ParquetFile(path) as file:
            records = chain.from_iterable(batch.to_pylist() for batch in file.iter_batches(_ROWS))  # decodes bytes
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
            row[name] = str(value)  # not reported as empty, too
    return number, row
