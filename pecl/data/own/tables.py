"""Tables of captions in CSV, TSV, JSONL and parquet: their rows with line numbers, and what is wrong with the file.

Reading does not stop at the first mistake: every line that can be read is returned, every other becomes a `Problem`.
"""

from __future__ import annotations

import csv
import io
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pecl.data.captions import read_gzip
from pecl.errors import DataError, one_line, unknown
from pecl.files import check_regular, parse_json, read_bytes_limited

SUFFIXES = (".csv", ".tsv", ".jsonl", ".parquet")
_MOST_COLUMNS = 1000
_TOO_WIDE = f"the table has more than {_MOST_COLUMNS:,} columns, expected one for each language and direction"


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a table.

    Attributes:
        line: line of the file, counted from 1 (row, in parquet); None where it is about the whole file.
        field: name of the column; None where it is about the whole line.
        message: what is wrong, and what was expected.
    """

    line: int | None
    field: str | None
    message: str

    def __str__(self) -> str:
        place = [f"line {self.line}"] * (self.line is not None) + [f"field {self.field!r}"] * (self.field is not None)
        return f"{', '.join(place)}: {self.message}" if place else self.message


@dataclass
class Table:
    """A table as far as it could be read.

    Attributes:
        columns: names of the columns, in the file's order.
        rows: line number and fields of each row; a field that a row lacks is absent.
        problems: the lines that could not be read.
    """

    columns: list[str] = field(default_factory=list)
    rows: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def read_table(path: Path) -> Table:
    """Read a table by its suffix; text may be gzipped.

    Raises:
        DataError: the file is missing, of another suffix, or cannot be read at all.
    """
    gzipped = path.suffix.lower() == ".gz"
    suffix = (path.with_suffix("") if gzipped else path).suffix.lower()
    if suffix not in SUFFIXES or (gzipped and suffix == ".parquet"):
        raise DataError(f"{path}: {unknown('kind of table', suffix, SUFFIXES)}")
    if not path.exists():
        raise DataError(f"table of captions {path} is missing")
    try:
        if suffix == ".parquet":
            check_regular(path)
            return _read_parquet(path)
        content = read_gzip(path) if gzipped else read_bytes_limited(path)
    except (OSError, EOFError, zlib.error) as error:  # the last two: a gzip file cut short or damaged inside
        raise DataError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from error
    table = Table()
    text = _decode(content, table.problems)
    if suffix == ".jsonl":
        _read_jsonl(text, table)
    else:
        _read_delimited(text, "," if suffix == ".csv" else "\t", table)
    return table


def _decode(content: bytes, problems: list[Problem]) -> str:
    """Return the text; each line that is not UTF-8 becomes a problem, and is read with replacement characters."""
    for number, line in enumerate(content.split(b"\n"), 1):
        try:
            line.decode("utf-8")
        except UnicodeDecodeError as error:
            problems.append(Problem(number, None, f"not UTF-8 ({error.reason}); convert the file to UTF-8"))
    return content.decode("utf-8-sig", errors="replace")


def _read_delimited(text: str, delimiter: str, table: Table) -> None:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    for number, fields in _numbered(reader, table.problems):
        if len(fields) > _MOST_COLUMNS:
            table.problems.append(Problem(number, None, _TOO_WIDE))
            return
        if not table.columns:
            table.columns = [field.strip() for field in fields]
        elif len(fields) != len(table.columns):
            message = f"{len(fields)} fields, expected {len(table.columns)} as in the header (quote a field that has "
            table.problems.append(Problem(number, None, f"{message}the delimiter in it)"))
        else:
            table.rows.append((number, {k: v.strip() for k, v in zip(table.columns, fields, strict=True)}))


def _numbered(reader: Any, problems: list[Problem]) -> Iterator[tuple[int, list[str]]]:
    """Yield each record of a csv reader that is not blank, with the number of its first line."""
    while True:
        number = reader.line_num + 1
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            problems.append(
                Problem(number, None, f"malformed line: {error} (write a quotation mark inside a quoted field twice)")
            )
            continue
        if any(field.strip() for field in fields):
            yield number, fields


def _read_jsonl(text: str, table: Table) -> None:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            record = parse_json(line, halves=True)  # `check_captions_file` names the field
        except json.JSONDecodeError as error:
            table.problems.append(Problem(number, None, f"not JSON: {error.msg} at column {error.colno}"))
            continue
        except ValueError as error:
            table.problems.append(Problem(number, None, f"not JSON of captions: {error}"))
            continue
        if not isinstance(record, dict):
            table.problems.append(Problem(number, None, f"expected a JSON object, got {type(record).__name__}"))
            continue
        _add_record(number, record, table)


def _read_parquet(path: Path) -> Table:
    import pandas  # here, because it takes a second to import and the other kinds do not need it

    try:
        frame = pandas.read_parquet(path)
        records = frame.astype(object).where(frame.notna(), None).to_dict("records")  # decodes what was read as bytes
    except ImportError as error:
        raise DataError(f"reading {path} needs pyarrow: pip install pyarrow, or save the table as CSV") from error
    except Exception as error:  # a damaged file makes pyarrow and pandas raise errors of many kinds
        raise DataError(f"cannot read {path} as parquet: {one_line(error)}") from error
    table = Table()
    for number, record in enumerate(records, 1):
        _add_record(number, record, table)
    return table


def _add_record(number: int, record: dict[str, Any], table: Table) -> None:
    """Add a row of named values; a value that is not text becomes a problem, an absent one (None) is left out."""
    known = set(table.columns)
    names = [name for name in record if name not in known]
    if len(known) + len(names) > _MOST_COLUMNS:
        table.problems.append(Problem(number, None, _TOO_WIDE))
        return
    table.columns += names
    row = {}
    for name, value in record.items():
        if isinstance(value, str):
            row[name] = value.strip()
        elif value is not None:
            table.problems.append(Problem(number, name, f"expected text, got {type(value).__name__}"))
            row[name] = str(value)  # so that it is not reported as empty, too
    table.rows.append((number, row))
