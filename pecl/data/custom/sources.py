"""Training text from any number of sources: named sets, tables of two columns, and pairs of aligned files.

`NAME`, `captions.tsv` or `corpus.en.gz=corpus.cs.gz`, joined by commas. A source may end in a
weight: `@0.5` uses half of its pairs, the same in all runs; `@2` uses all of them twice.
"""

import hashlib
import sys
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np

from pecl.data.captions import CAPTIONS, PARTS, TABLE, ParallelCaptions, readable, resolve_captions_file, stripped_lines
from pecl.data.custom.tables import MALFORMED, TABLE_SUFFIXES, CaptionTable, Problem, kind_of, rows_of, suffix_of
from pecl.errors import ConfigError, DataError, not_none, suggest, unknown
from pecl.files import expanded, sha256_file
from pecl.language.languages import find_code, find_codes

TextPair = tuple[str, str]  # target, English
MOST_WEIGHT = 100.0
_MOST_SHOWN = 200  # characters of the names of a table's columns


@dataclass(frozen=True)
class TextSource:
    """One source of pairs: its name as given, its weight, and whether it may lack the language (`NAME?`)."""

    name: str
    weight: float = 1.0
    optional: bool = False  # skipped for a language that the named set does not have


def parse_sources(text: str, field: str = "text") -> tuple[TextSource, ...]:
    """Return the sources in a field. Raise ConfigError unless each occurs once, with a weight in (0, 100]."""
    sources = []
    for part in text.split(","):
        name, weight = _name_and_weight(part.strip())
        optional = name.endswith("?")
        name = name.removesuffix("?")
        if not name:
            raise ConfigError(f'expected sources joined by commas, got "{text}"', field=field)
        if name in [source.name for source in sources]:
            raise ConfigError(f'expected each source once, got "{name}" twice', field=field)

        share = float(weight or 0)
        if not 0 < share <= MOST_WEIGHT:
            expected = f"expected a weight above 0 and at most {MOST_WEIGHT:g} for {name}"
            raise ConfigError(f'{expected}, got "{weight}"', field=field)

        sources.append(TextSource(name, share, optional))

    return tuple(sources)


def _name_and_weight(source: str) -> tuple[str, str]:
    """Return the name and the weight of a source; an `@` before anything but a number belongs to its path."""
    name, at, weight = source.rpartition("@")
    if not at:
        return source, "1"

    try:
        float(weight or 0)
    except ValueError:
        return source, "1"

    return name, weight


def read_source(
    source: TextSource, language: str, named: Mapping[str, Callable[[], ParallelCaptions]]
) -> tuple[Iterator[TextPair], dict[str, Any]]:
    """Return an iterator over the pairs of a source, including empty ones, and its record for results.

    The source's name is a key of `named`, the readers of the named sets, or a path. Raise DataError
    for a missing or wrong file, perhaps only while the pairs are read.
    """
    if source.name in named:
        captions = named[source.name]()
        pairs = zip(captions.target, not_none(captions.english, "english"), strict=True)
        return pairs, {"provenance": captions.provenance}

    path = expanded(source.name)
    if suffix_of(path) in TABLE_SUFFIXES:
        return _table_pairs(path, kind_of(path), language), _record(TABLE, path)

    if "=" in source.name:
        left, _, right = source.name.partition("=")
        if not (Path(left).name and Path(right).name):
            raise DataError(f'expected two aligned files, such as a.en=a.de, got "{source.name}"', field="text")
        paths = [resolve_captions_file(expanded(file)) for file in (left, right)]
        english = [suffix_of(file) == ".en" for file in paths]
        if sum(english) != 1:
            raise DataError(
                f'expected one of the two aligned files to end in .en or .en.gz, got "{source.name}"', field="text"
            )
        return _aligned_pairs(paths, (left, right), english[0]), _record(CAPTIONS, *paths)

    raise DataError(
        f"expected {', '.join(named)}, a table ({', '.join(TABLE_SUFFIXES)}; gzipped too) or two aligned files "
        f'a.en=a.{language}, got "{source.name}"{suggest(source.name, named)}',
        field="text",
    )


def _record(kind: str, *paths: Path) -> dict[str, Any]:
    files = []
    for path in paths:
        with readable(path, kind):
            files.append({"file": path.name, "sha256": sha256_file(path)})
    return {"files": files}


def _aligned_pairs(
    paths: list[Path],
    names: tuple[str, str],
    english_first: bool,
) -> Iterator[TextPair]:
    left, right = (stripped_lines(path) for path in paths)
    counts = [0, 0]
    for left_line, right_line in zip_longest(left, right):
        counts = [counts[0] + (left_line is not None), counts[1] + (right_line is not None)]
        if left_line is not None and right_line is not None:
            yield (right_line, left_line) if english_first else (left_line, right_line)

    if counts[0] != counts[1]:
        raise DataError(
            f"{names[0]} has {counts[0]} lines and {names[1]} has {counts[1]}: aligned files must have the same "
            "number of lines",
            field="text",
        )


def _table_pairs(path: Path, kind: str, language: str) -> Iterator[TextPair]:
    table = CaptionTable()
    column_count = 0
    names = language, "en"

    for number, fields in rows_of(path, table):
        if len(table.columns) > column_count:
            _refuse_problems(path, table)
            column_count = len(table.columns)
            # a line of JSONL may add a column; other kinds name all columns at once
            names = _columns(path, table, language, missing=kind == ".jsonl")

        _refuse_problems(path, table, names)
        table.problems.clear()  # the others are of columns that are not read
        pair = fields.get(names[0], ""), fields.get(names[1], "")
        # a quotation mark that was not meant to open a field
        if kind == ".tsv" and any("\n" in text for text in pair):
            table.problems.append(Problem(number, None, f"{MALFORMED}: a quoted field goes on over several lines"))

        part = fields.get("part")
        if part and part not in PARTS:  # `Test` or `dev` would be trained on
            raise DataError(f"{path}, {Problem(number, 'part', unknown('part', part, PARTS))}", field="text")
        if part not in PARTS[1:]:  # val and test
            yield pair

    _refuse_problems(path, table)
    _columns(path, table, language)


def _refuse_problems(path: Path, table: CaptionTable, names: Iterable[str] = ()) -> None:
    """Raise DataError for the first problem of a whole line, or of a column of `names`."""
    for problem in table.problems:
        if problem.field is None or problem.field in names:
            raise DataError(f"{path}, {problem}", field="text")


def _columns(
    path: Path,
    table: CaptionTable,
    language: str,
    missing: bool = False,
) -> tuple[str, str]:
    """Return the names of a table's columns of target and English captions; `missing` allows them to be missing."""
    names = find_code(language, table.columns), find_code("en", table.columns)
    for code, name in zip((language, "en"), names, strict=True):
        columns = find_codes(code, table.columns)
        if len(columns) > 1:
            raise DataError(
                f"{path}: expected one column {code}, got {' and '.join(columns)}: rename one", field="text"
            )
        if name not in table.columns and not missing:
            column_names = ", ".join(table.columns)[:_MOST_SHOWN] or "none"
            raise DataError(
                f"{path}: expected a column {code} in its first line, with commas or semicolons between the "
                f"columns of a .csv, tabs of a .tsv; got {column_names}",
                field="text",
            )

    return names


def weighted(indices: np.ndarray, source: TextSource) -> np.ndarray:
    """Return those of a source's `indices` (N,) that its weight selects, (M,): whole copies, then part of another."""
    copies, fraction = divmod(source.weight, 1)
    count = round(fraction * len(indices))
    whole = np.tile(indices, int(copies))
    if count:
        return np.concatenate([whole, indices[np.sort(_drawn(source.name, len(indices))[:count])]])
    return whole


def _drawn(name: str, count: int) -> np.ndarray:
    """Return 0 to count - 1, (count,) int64, in the order of their hashes."""
    hashes = (hashlib.sha256(f"pecl/text/{name}/{index}".encode()).digest()[:8] for index in range(count))
    return np.argsort(
        np.fromiter((int.from_bytes(digest, "big") for digest in hashes), np.uint64, count), kind="stable"
    )


def shuffled(count: int) -> np.ndarray:
    """Return 0 to count - 1, (count,) int64, in a fixed pseudo-random order."""
    return _drawn("order", count)


def text_keys(texts: Iterable[str]) -> np.ndarray:
    """Return a 64-bit hash of each text, (N,) uint64."""
    return np.fromiter((int.from_bytes(text_key(text.encode("utf-8")), sys.byteorder) for text in texts), np.uint64)


def text_key(content: bytes) -> bytes:
    """Return an 8-byte hash of a text."""
    return hashlib.blake2b(content, digest_size=8).digest()


class _Spelling(dict[int, int | None]):
    """A table of `str.translate` that keeps letters, their marks, such as vowels in Hindi, and digits."""

    def __missing__(self, character: int) -> int | None:
        self[character] = character if unicodedata.category(chr(character))[0] in "LMN" else None
        return self[character]


_SPELLING = _Spelling()


def normal_form(text: str) -> str:
    """Normalise a text so that case, spaces and punctuation do not matter."""
    return unicodedata.normalize("NFKC", text).casefold().translate(_SPELLING)
