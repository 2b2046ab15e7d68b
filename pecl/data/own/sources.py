"""Training text from any number of sources: named sets, tables of two columns, and pairs of aligned files.

`NAME`, `captions.tsv` or `corpus.en.gz=corpus.cs.gz`, joined by commas; each may have `@WEIGHT`, the share of its
pairs that is used: .5 is every second one by a draw that does not depend on the run, 2 is all of them twice.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pecl.data.captions import ParallelCaptions, read_lines, resolve_captions_file
from pecl.data.own.tables import SUFFIXES, read_table
from pecl.errors import ConfigError, DataError, require, suggest
from pecl.files import sha256_file
from pecl.languages import find_code

Pair = tuple[str, str]  # target, English
MOST_WEIGHT = 100.0


@dataclass(frozen=True)
class Source:
    """One source of pairs: what was written, and the share of its pairs that is used."""

    name: str
    weight: float = 1.0


def parse_sources(text: str) -> tuple[Source, ...]:
    """Return the sources that a text names.

    Raises:
        ConfigError: an empty name, the same source twice, or a weight that is not a number in (0, 100].
    """
    sources = []
    for part in text.split(","):
        name, at, weight = part.strip().rpartition("@") if "@" in part else (part.strip(), "", "")
        if not name:
            raise ConfigError(f'text: expected sources joined by commas, got "{text}"')
        if name in [source.name for source in sources]:
            raise ConfigError(f'text: expected each source once, got "{name}" twice')
        sources.append(Source(name, _weight(weight, name) if at else 1.0))
    return tuple(sources)


def _weight(text: str, name: str) -> float:
    try:
        weight = float(text)
    except ValueError:
        weight = 0.0
    if not 0 < weight <= MOST_WEIGHT:
        raise ConfigError(f'text: expected a weight above 0 and at most {MOST_WEIGHT:g} for {name}, got "{text}"')
    return weight


def read_source(
    source: Source, language: str, named: Mapping[str, Callable[[], ParallelCaptions]]
) -> tuple[list[Pair], dict[str, Any]]:
    """Return the pairs of a source, empty ones included, and what a result records of it.

    Args:
        source: its name is one of `named`, or a path.
        language: code of the target language.
        named: readers of the sets that have a name.

    Raises:
        DataError: a file is missing or wrong, two aligned files differ in length, or a column is missing.
    """
    if source.name in named:
        captions = named[source.name]()
        return list(zip(captions.target, require(captions.english, "english"), strict=True)), {
            "provenance": captions.provenance
        }
    if "=" in source.name:
        return _read_aligned(source.name)
    path = Path(source.name)
    if path.suffix.lower() in SUFFIXES or _ungzipped(path).suffix.lower() in SUFFIXES:
        return _read_table(path, language)
    raise DataError(
        f"text: expected {', '.join(named)}, a table ({', '.join(SUFFIXES)}; gzipped too) or two aligned files "
        f'a.en=a.{language}, got "{source.name}"{suggest(source.name, named)}'
    )


def _read_aligned(name: str) -> tuple[list[Pair], dict[str, Any]]:
    left, _, right = name.partition("=")
    paths = [resolve_captions_file(left), resolve_captions_file(right)]
    english = [_ungzipped(path).suffix.lower() == ".en" for path in paths]
    if sum(english) != 1:
        raise DataError(f'text: expected one of the two aligned files to end in .en or .en.gz, got "{name}"')
    columns = [read_lines(path) for path in paths]
    if len(columns[0]) != len(columns[1]):
        raise DataError(
            f"text: {left} has {len(columns[0])} lines and {right} has {len(columns[1])}: aligned files must have one "
            "line for each of the other's"
        )
    targets, englishes = reversed(columns) if english[0] else columns
    record = {"files": [{"file": path.name, "sha256": sha256_file(path)} for path in paths]}
    return list(zip(targets, englishes, strict=True)), record


def _read_table(path: Path, language: str) -> tuple[list[Pair], dict[str, Any]]:
    table = read_table(path)
    if table.problems:
        raise DataError(f"text: {path}, {table.problems[0]} ({len(table.problems)} such)")
    target, english = (_column(path, table.columns, code) for code in (language, "en"))
    pairs = [(fields.get(target, ""), fields.get(english, "")) for _, fields in table.rows]
    return pairs, {"files": [{"file": path.name, "sha256": sha256_file(path)}]}


def _column(path: Path, columns: Collection[str], language: str) -> str:
    name = find_code(language, columns)
    if name not in columns:
        raise DataError(f"text: {path}: expected a column {language}, got {', '.join(columns)}{suggest(name, columns)}")
    return name


def _ungzipped(path: Path) -> Path:
    return path.with_suffix("") if path.suffix == ".gz" else path


def weighted(pairs: list[Pair], source: Source) -> list[Pair]:
    """Return the share of a source's pairs that its weight says, in their order; whole copies first."""
    copies, rest = divmod(source.weight, 1)
    count = round(rest * len(pairs))
    drawn = sorted(sorted(range(len(pairs)), key=lambda i: _draw(source.name, i))[:count])
    return pairs * int(copies) + [pairs[i] for i in drawn]


def _draw(name: str, place: int) -> bytes:
    """Return what the places of a source are ordered by in a draw: a hash, so that no random state is needed."""
    return hashlib.sha256(f"pecl/text/{name}/{place}".encode()).digest()


def shuffled(count: int) -> list[int]:
    """Return 0 to count - 1 in an order that looks random and is always the same."""
    return sorted(range(count), key=lambda i: _draw("order", i))


def normal_form(text: str) -> str:
    """Return what two texts share that differ in case, spaces and punctuation alone."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return "".join(letter for letter in folded if letter.isalnum())
