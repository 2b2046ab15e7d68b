"""Searches by words and days: the names that people gave their photographs, in SQLite's full-text index.

A word of a query is a name if it is a folder or a person of at least one photograph, or another
word of at most a quarter of them; and if it is a stop word of no language that the person speaks.
Photographs with names of the query come first, the rarest names before others; the embedding orders
equals and the remaining photographs. Case and accents are ignored. A date in a query, such as July
2019, restricts it to photographs of these days (`pecl.apps.search.dates`).
"""

import datetime
import math
import os
import re
import sqlite3
import unicodedata
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pecl.apps.search.catalogue import connected
from pecl.apps.search.dates import Days, find_days
from pecl.apps.search.metadata import Described
from pecl.errors import ConfigError
from pecl.language.language_guess import stop_words
from pecl.language.languages import ENGLISH

# Words are folded by `_spaced`. Marks are letters: without its vowel signs, an Indian name is a
# part of other names. `names` has folders and people, and `sidecars` the state of the sidecars that
# were read.
_TABLE = """CREATE VIRTUAL TABLE words USING fts5 (text, names, sidecars UNINDEXED,
    tokenize = "unicode61 remove_diacritics 0 categories 'L* M* N* Co'")"""
_TAKEN = "SELECT name FROM photographs WHERE taken >= ? AND taken < ?"
_WRITTEN = """SELECT name FROM photographs
    WHERE taken IS NULL AND id IN (SELECT rowid FROM words WHERE words MATCH ?)"""
_WITH_WORD = "SELECT name FROM words JOIN photographs ON photographs.id = words.rowid WHERE words MATCH ? LIMIT ?"
# a word is no name if more than a quarter of the photographs have it, unless it is a folder or a
# person
_RARE = 4
_HAN = r"[\u3400-\u9fff\uf900-\ufaff々]"
_KATAKANA = r"[\u30a1-\u30fa\u30fc]"
_HIRAGANA = r"[\u3041-\u3096]"
_UNSPACED = re.compile(rf"{_HAN}|{_KATAKANA}|{_HIRAGANA}")
# Hiragana next to other characters are particles and endings.
_WORD = re.compile(rf"{_HAN}+|{_KATAKANA}+|(?<!\S){_HIRAGANA}+(?!\S)|(?:(?!{_UNSPACED.pattern})\S)+")
# that are no marks in Unicode
_STROKES = str.maketrans({"ł": "l", "đ": "d", "ø": "o", "ı": "i", "æ": "ae", "œ": "oe"})
_TWO_LETTERS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "å": "aa", "ø": "oe"})
_DAY = re.compile(r"(\d{4})(?:-(\d\d)(?:-(\d\d))?)?", re.ASCII)


class Dated(NamedTuple):
    """The days that a query names, and the number of photographs of these days. With none, all days are searched."""

    days: Days
    photographs: int

    @property
    def sentence(self) -> str:
        """Clause for the output."""
        if self.photographs:
            return f"taken {self.days.phrase}"
        return f"no photograph was taken {self.days.phrase}, so all days are searched"

    def to_json(self) -> dict[str, Any]:
        """Return the fields of the JSON document."""
        after = self.days.after.isoformat()
        before = self.days.before.isoformat()
        return {"after": after, "before": before, "photographs": self.photographs, "text": self.days.text}


class Selection(NamedTuple):
    """Photographs that words and days select for a query."""

    text: str  # the query to embed, without dates that have photographs
    rows: np.ndarray | None = None  # (M,) ascending: only these are searched; None for all
    # rows of photographs with names of the query, the rarest first
    groups: tuple[np.ndarray, ...] = ()
    words: tuple[str, ...] = ()  # the names that were found
    dated: Dated | None = None  # the dates of the query

    def within(self, rows: np.ndarray) -> "Selection":
        """Restrict the selection to `rows`, (M,) ascending."""
        groups = [np.intersect1d(group, rows) for group in self.groups]
        selected = rows if self.rows is None else np.intersect1d(self.rows, rows)
        selection = self._replace(rows=selected, groups=tuple(group for group in groups if len(group)))
        return selection if selection.groups else selection.without_names()

    def without_names(self) -> "Selection":
        """Return the selection by days and folder alone."""
        return self._replace(groups=(), words=())

    @property
    def sentence(self) -> str:
        """Clause for the output; empty if neither names nor days selected anything."""
        clauses = []
        if self.words:
            clauses.append(f"photographs with {', '.join(self.words)}: {sum(map(len, self.groups))}")

        if self.dated is not None:
            clauses.append(self.dated.sentence)

        if self.rows is not None and not len(self.rows):
            clauses.append("no photograph is of these days or in this folder")
        return "; ".join(clauses)


def read_sidecars(folder: Path) -> dict[str, str]:
    """Return the state of the sidecars of each photograph whose words the index holds as this version writes them."""
    with connected(folder) as database:
        if _words_table(database) != _TABLE:
            return {}
        rows = database.execute("SELECT name, sidecars FROM words JOIN photographs ON photographs.id = words.rowid")
        return {os.fsdecode(name): sidecars for name, sidecars in rows}


def _words_table(database: sqlite3.Connection) -> str:
    """Return the statement that made the table of words; empty if there is none."""
    return database.execute("SELECT coalesce(max(sql), '') FROM sqlite_master WHERE name = 'words'").fetchone()[0]


def drop_words(database: sqlite3.Connection) -> None:
    """Remove words and days of all photographs."""
    database.execute("DROP TABLE IF EXISTS words")
    database.execute("UPDATE photographs SET taken = NULL WHERE taken IS NOT NULL")


def write_words(database: sqlite3.Connection, described: Mapping[str, Described]) -> None:
    """Replace words and days of photographs, given by name, and remove the words of deleted photographs."""
    try:
        if _words_table(database) != _TABLE:
            database.execute("DROP TABLE IF EXISTS words")
            database.execute(_TABLE)
    except sqlite3.OperationalError as error:
        raise ConfigError("words: this Python's SQLite has no full-text search (FTS5): pass --no-words") from error

    for name, words in described.items():
        (number,) = database.execute("SELECT id FROM photographs WHERE name = ?", [os.fsencode(name)]).fetchone()
        database.execute("DELETE FROM words WHERE rowid = ?", [number])
        values = [number, _indexed(words.text), _indexed(words.names), words.sidecars]
        database.execute("INSERT INTO words (rowid, text, names, sidecars) VALUES (?, ?, ?, ?)", values)
        database.execute("UPDATE photographs SET taken = ? WHERE id = ?", [words.taken, number])

    deleted = database.execute("DELETE FROM words WHERE rowid NOT IN (SELECT id FROM photographs)")
    if deleted.rowcount:
        database.execute("INSERT INTO words (words) VALUES ('optimize')")  # which also writes the deleted words over


def select(
    folder: Path,
    rows: Mapping[str, int],
    text: str,
    *,
    languages: Iterable[str] = (),
    after: str | None = None,
    before: str | None = None,
) -> Selection:
    """Select photographs for a query by words and days of the index in `folder`.

    Args:
        folder: folder of an index with words.
        rows: row of each photograph by name.
        text: the query.
        languages: codes of the languages that the person speaks.
        after: first day, such as 2019-07-14, 2019-07 or 2019.
        before: day after the last one.

    Raises:
        ConfigError: `after` or `before` is not a day, or the index holds no days.
    """
    first = _day(after, "after")
    last = _day(before, "before")
    languages = tuple(languages)

    with connected(folder) as database:
        if not _words_table(database):
            if first or last:
                raise ConfigError("after, before: the index holds no days: run `pecl index FOLDER --words`")
            return Selection(text)

        # Days that the person chose, and those that the text names
        chosen = None
        if first or last:
            chosen = _rows(database, rows, _TAKEN, first, last or "9999")

        dated = None
        days = find_days(text, languages)
        if days is not None:
            of_days = _of_days(database, rows, days)
            dated = Dated(days, len(of_days))
            if len(of_days):
                chosen = of_days if chosen is None else np.intersect1d(chosen, of_days)
                text = days.text or text

        # Names in the rest of the text
        names = _names(database, rows, text, languages)

    if chosen is not None:
        of_chosen = {word: np.intersect1d(with_word, chosen) for word, with_word in names.items()}
        names = {word: with_word for word, with_word in of_chosen.items() if len(with_word)}
    return Selection(text, chosen, _by_rarity(names, len(rows)), tuple(names), dated)


def _by_rarity(names: Mapping[str, np.ndarray], photographs: int) -> tuple[np.ndarray, ...]:
    """Return the rows with names, in groups of equal weight, the largest first: rare names weigh more."""
    weights = np.zeros(photographs)  # (N,)
    for with_word in names.values():
        weights[with_word] += 1 + math.log(photographs / len(with_word))

    levels = np.unique(weights[weights > 0])[::-1]
    return tuple(np.flatnonzero(weights == level) for level in levels)


def _of_days(database: sqlite3.Connection, rows: Mapping[str, int], days: Days) -> np.ndarray:
    """Return the rows of photographs that were taken on these days; without a date, their words count."""
    taken = _rows(database, rows, _TAKEN, days.after.isoformat(), days.before.isoformat())
    phrases = (f'"{_spaced(spelling)}"' + "*" * spelling.endswith("*") for spelling in days.spellings())
    return np.union1d(taken, _rows(database, rows, _WRITTEN, " OR ".join(phrases)))


def _names(
    database: sqlite3.Connection, rows: Mapping[str, int], text: str, languages: Iterable[str]
) -> dict[str, np.ndarray]:
    """Return the rows of the photographs with each name in a text, by the name as it is spelled there."""
    stop = stop_words([*languages, ENGLISH])
    max_rows = max(len(rows) // _RARE, 1)

    names: dict[str, np.ndarray] = {}
    for spaced, word in {_spaced(word): word for word in _words(text)}.items():
        if word.lower() in stop:
            continue
        spellings = dict.fromkeys([spaced, _spaced(_in_two_letters(word))])
        phrases = " OR ".join(f'"{spelling}"' for spelling in spellings)
        with_word = _rows(database, rows, _WITH_WORD, phrases, max_rows + 1)
        if len(with_word) > max_rows:
            with_word = _rows(database, rows, _WITH_WORD, f"names: ({phrases})", len(rows))
        if 0 < len(with_word) < len(rows):  # a word of all photographs selects none
            names[word] = with_word

    return names


def _words(text: str) -> list[str]:
    """Split a query into words; three or more Chinese characters in a row give each pair of neighbours."""
    words = []
    text = unicodedata.normalize("NFC", text)
    for word in _WORD.findall(
        "".join(character if unicodedata.category(character)[0] in "LMN" else " " for character in text)
    ):
        if re.match(_HAN, word) and len(word) > 2:
            words += [word[i : i + 2] for i in range(len(word) - 1)]
        elif len(word) > 1 or re.match(_HAN, word):
            words.append(word)

    return words


def _rows(database: sqlite3.Connection, rows: Mapping[str, int], statement: str, *values: object) -> np.ndarray:
    """Return the rows, ascending, of the photographs whose names a statement selects."""
    names = (os.fsdecode(raw) for (raw,) in database.execute(statement, values))
    return np.array(sorted(rows[name] for name in names if name in rows), np.int64)


def _day(text: str | None, name: str) -> str:
    """Return the first day that a text names, such as 2019-07-01 for 2019-07; empty without a text."""
    if text is None:
        return ""

    match = _DAY.fullmatch(str(text).strip())  # 2019, or a datetime.date
    try:
        year, month, day = (int(part or 1) for part in match.groups()) if match else (0, 0, 0)
        return datetime.date(year, month, day).isoformat()
    except ValueError:
        expected = "a day, a month or a year, such as 2019-07-14, 2019-07 or 2019"
        raise ConfigError(f"--{name}: expected {expected}, got {text!r}") from None


def _indexed(text: str) -> str:
    """Return a text as the index holds it, see `_spaced`, followed by the other spelling of its words with umlauts.

    So `Mueller` finds Müller, and `Michael` does not find Michal.
    """
    words = unicodedata.normalize("NFC", text).casefold().split()
    respelled = [word.translate(_TWO_LETTERS) for word in words]
    return _spaced(" ".join([text, *sorted(set(respelled) - set(words))]))


def _in_two_letters(word: str) -> str:
    """Return a word in lower case with two letters for each umlaut, as Germans and Scandinavians write without them."""
    return unicodedata.normalize("NFC", word).casefold().translate(_TWO_LETTERS)


def _spaced(text: str) -> str:
    """Fold case and accents, and put spaces around characters of scripts without them, since SQLite splits words there.

    Accents are the marks above and below letters (combining classes from 200), and the points of
    Hebrew, Arabic and Syriac (10 to 36).
    """
    letters = ((letter, unicodedata.combining(letter)) for letter in unicodedata.normalize("NFKD", text))
    letters_only = "".join(letter for letter, mark in letters if not (10 <= mark <= 36 or mark >= 200)).casefold()
    folded = unicodedata.normalize("NFC", letters_only.translate(_STROKES))
    return _UNSPACED.sub(r" \g<0> ", folded.replace('"', " "))
