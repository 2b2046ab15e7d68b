"""Searches by words and days: the names that people gave their photographs, in SQLite's full-text index.

A word of a query is a name if it is a folder or a person of at least one photograph, or another
word of at most a quarter of them; and if it is a stop word of no language that the person speaks.
A name adds to the similarity of the photographs that have it. It adds so much that they come first
(it leads) if it is a person's, if it is no word of the person's languages, or if the query is the
name of a folder; otherwise it adds little. Case and accents are ignored; only if the person speaks
Vietnamese or a tonal language, marks that were typed count. A date in a query, such as
July 2019, restricts it to photographs of these days (`pecl.apps.search.dates`).
"""

import datetime
import os
import re
import sqlite3
import unicodedata
from collections.abc import Collection, Iterable, Mapping, Sequence, Set
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pecl.apps.search.catalogue import connected
from pecl.apps.search.dates import Days, find_days
from pecl.apps.search.metadata import Described
from pecl.errors import ConfigError, command, setting
from pecl.language.language_guess import stop_words
from pecl.language.languages import ENGLISH
from pecl.language.spellings import TONAL
from pecl.language.vocabulary import is_word

# Words are folded by `_spaced`. Marks are letters: without its vowel signs, an Indian name is a
# part of other names. `names` has folders and people, and `sidecars` the state of the sidecars that
# were read. `marked_text` and `marked_names` have the words with their accents.
_TABLE = """CREATE VIRTUAL TABLE words USING fts5 (text, names, marked_text, marked_names, sidecars UNINDEXED,
    tokenize = "unicode61 remove_diacritics 0 categories 'L* M* N* Co'")"""
_TAKEN = "SELECT name FROM photographs WHERE taken >= ? AND taken < ?"
_WRITTEN = """SELECT name FROM photographs
    WHERE taken IS NULL AND id IN (SELECT rowid FROM words WHERE words MATCH ?)"""
_WITH_WORD = "SELECT name FROM words JOIN photographs ON photographs.id = words.rowid WHERE words MATCH ? LIMIT ?"
# a word is no name if more than a quarter of the photographs have it, unless it is a folder or a person
_RARE = 4
# What a name adds to the similarity, in its standard deviations: more than any picture differs from
# the others, or as much as decides between pictures that are about as similar
_MUCH = 12.0
_LITTLE = 0.3
# Languages in which a word with other marks is another word
_WITH_MARKS = {"vi", *TONAL}
_LOOKED_AT = 300  # characters of a query, in which names are looked for
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
    """The days that a query names, to which the search is restricted, and the number of photographs of these days."""

    days: Days
    photographs: int

    @property
    def sentence(self) -> str:
        """Clause for the output."""
        if self.photographs:
            return f"taken {self.days.phrase}"
        return f"no photograph was taken {self.days.phrase}"

    def to_json(self) -> dict[str, Any]:
        """Return the fields of the JSON document."""
        after = self.days.after.isoformat()
        before = self.days.before.isoformat()
        return {"after": after, "before": before, "photographs": self.photographs, "text": self.days.text}


class Name(NamedTuple):
    """A word of a query that is a name of photographs."""

    word: str  # as it is in the query
    photographs: int  # that have it
    leads: bool  # whether photographs that have it come first


class Group(NamedTuple):
    """Photographs to which the names of a query add the same."""

    rows: np.ndarray  # (M,) ascending
    bonus: float  # in standard deviations of the similarity
    leads: bool  # whether a name leads


class Selection(NamedTuple):
    """Photographs that words and days select for a query."""

    text: str  # the query to embed, without its dates
    rows: np.ndarray | None = None  # (M,) ascending: only these are searched; None for all
    groups: tuple[Group, ...] = ()  # photographs with names of the query
    names: tuple[Name, ...] = ()
    dated: Dated | None = None  # the dates of the query

    def within(self, rows: np.ndarray) -> "Selection":
        """Restrict the selection to `rows`, (M,) ascending."""
        groups = [group._replace(rows=np.intersect1d(group.rows, rows)) for group in self.groups]
        selected = rows if self.rows is None else np.intersect1d(self.rows, rows)
        selection = self._replace(rows=selected, groups=tuple(group for group in groups if len(group.rows)))
        return selection if selection.groups else selection.without_names()

    def without_names(self) -> "Selection":
        """Return the selection by days and folder alone."""
        return self._replace(groups=(), names=())

    @property
    def sentence(self) -> str:
        """Clause for the output; empty if neither names nor days selected anything."""
        clauses = []
        first = [f"{name.word} ({name.photographs})" for name in self.names if name.leads]
        if first:
            clauses.append(f"photographs that come first: {', '.join(first)}")

        others = [f"{name.word} ({name.photographs})" for name in self.names if not name.leads]
        if others:
            clauses.append(f"photographs ranked a little higher: {', '.join(others)}")

        if self.dated is not None:
            clauses.append(self.dated.sentence)

        if self.rows is not None and not len(self.rows) and (self.dated is None or self.dated.photographs):
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
        raise ConfigError(
            f"this Python's SQLite has no full-text search (FTS5): pass {setting(words=False)}", field="words"
        ) from error

    for name, words in described.items():
        (number,) = database.execute("SELECT id FROM photographs WHERE name = ?", [os.fsencode(name)]).fetchone()
        database.execute("DELETE FROM words WHERE rowid = ?", [number])
        folded, marked = ([write(text) for text in (words.text, words.names)] for write in (_indexed, _marked))
        columns = "rowid, text, names, marked_text, marked_names, sidecars"
        values = [number, *folded, *marked, words.sidecars]
        database.execute(f"INSERT INTO words ({columns}) VALUES (?, ?, ?, ?, ?, ?)", values)
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
    not_names: Iterable[str] = (),
) -> Selection:
    """Select photographs for a query by words and days of the index in `folder`.

    Args:
        folder: folder of an index with words.
        rows: row of each photograph by name.
        text: the query.
        languages: codes of the languages that the person speaks.
        after: first day, such as 2019-07-14, 2019-07 or 2019.
        before: day after the last one.
        not_names: words of the query that are no names.

    Raises:
        ConfigError: `after` or `before` is not a day, or the index holds no days.
    """
    first = _day(after, "after")
    last = _day(before, "before")
    languages = tuple(languages)

    with connected(folder) as database:
        if not _words_table(database):
            if first or last:
                raise ConfigError(
                    f"the index holds no days: run {command('index', 'FOLDER', words=True)}",
                    field="after" if first else "before",
                )
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
            chosen = of_days if chosen is None else np.intersect1d(chosen, of_days)
            text = days.text or text

        # Names in the rest of the text
        stop = stop_words([*languages, ENGLISH])
        refused = {_Pattern.of(word, languages) for word in not_names}
        patterns = {
            _Pattern.of(word, languages): word for word in _words(text[:_LOOKED_AT]) if word.lower() not in stop
        }
        words = {pattern: word for pattern, word in patterns.items() if pattern not in refused}
        found = [_find(database, rows, word, pattern, languages) for pattern, word in words.items()]

    called = _called(rows, found, words.values(), stop)
    found = [name._replace(leading=np.union1d(name.leading, np.intersect1d(name.rows, called))) for name in found]
    if chosen is not None:
        found = [_Found(name.word, *(np.intersect1d(part, chosen) for part in name[1:])) for name in found]

    found = [name for name in found if len(name.rows)]
    names = tuple(Name(name.word, len(name.rows), len(name.leading) > 0) for name in found)
    return Selection(text, chosen, _groups(found, len(rows)), names, dated)


class _Found(NamedTuple):
    """A word of a query, and the photographs that have it."""

    word: str
    rows: np.ndarray  # (M,) ascending
    leading: np.ndarray  # (L,) ascending: those of them that come first


def _groups(found: Iterable[_Found], photographs: int) -> tuple[Group, ...]:
    """Return the photographs with names, in groups of equal bonus, the largest first."""
    bonuses = np.zeros(photographs)  # (N,)
    leads = np.zeros(photographs, bool)  # (N,)
    for name in found:
        bonuses[name.rows] += _LITTLE
        bonuses[name.leading] += _MUCH - _LITTLE
        leads[name.leading] = True

    levels = np.unique(bonuses[bonuses > 0])[::-1]
    groups = ((bonuses == level) & (leads == leading) for level in levels for leading in (True, False))
    return tuple(
        Group(np.flatnonzero(group), float(bonuses[group][0]), bool(leads[group][0])) for group in groups if group.any()
    )


def _of_days(database: sqlite3.Connection, rows: Mapping[str, int], days: Days) -> np.ndarray:
    """Return the rows of photographs that were taken on these days; without a date, their words count."""
    taken = _rows(database, rows, _TAKEN, days.after.isoformat(), days.before.isoformat())
    phrases = (f'"{_spaced(spelling)}"' + "*" * spelling.endswith("*") for spelling in days.spellings())
    return np.union1d(taken, _rows(database, rows, _WRITTEN, " OR ".join(phrases)))


class _Pattern(NamedTuple):
    """What a word of a query looks like in the words of photographs."""

    spellings: tuple[str, ...]
    is_marked: bool  # whether they are compared with the words as these are written, with their accents

    @classmethod
    def of(cls, word: str, languages: Iterable[str]) -> "_Pattern":
        """Return the pattern of a word; a word with marks also finds names that were written without any."""
        if not _WITH_MARKS.isdisjoint(languages) and _marked(word) != _spaced(word):
            return cls((_marked(word), _spaced(word)), True)
        return cls(tuple(dict.fromkeys([_spaced(word), _spaced(_in_two_letters(word))])), False)

    @property
    def anywhere(self) -> str:
        """The query of SQLite's full-text search."""
        return f"{{marked_text marked_names}}: ({self._phrases})" if self.is_marked else self._phrases

    @property
    def in_names(self) -> str:
        """The query for folders and people alone."""
        return f"{'marked_names' if self.is_marked else 'names'}: ({self._phrases})"

    @property
    def _phrases(self) -> str:
        return " OR ".join(f'"{spelling}"' for spelling in self.spellings)

    def is_in(self, text: str) -> bool:
        """Return whether a text has the word."""
        tokens = _tokens(_marked(text) if self.is_marked else _indexed(text))
        return any(_tokens(spelling) in tokens for spelling in self.spellings)


def _find(
    database: sqlite3.Connection, rows: Mapping[str, int], word: str, pattern: _Pattern, languages: Sequence[str]
) -> _Found:
    """Return the photographs with a word; none if it is no name."""
    max_rows = max(len(rows) // _RARE, 1)
    with_word = _rows(database, rows, _WITH_WORD, pattern.anywhere, max_rows + 1)
    if len(with_word) > max_rows:
        with_word = _rows(database, rows, _WITH_WORD, pattern.in_names, len(rows))
    if len(with_word) == len(rows):  # a word of all photographs selects none
        with_word = with_word[:0]

    leading = with_word
    if len(with_word) and is_word(word, languages):
        leading = np.intersect1d(with_word, _of_people(database, rows, pattern))
    return _Found(word, with_word, leading)


def _of_people(database: sqlite3.Connection, rows: Mapping[str, int], pattern: _Pattern) -> np.ndarray:
    """Return the rows of the photographs of people with a name."""
    is_folder = cache(pattern.is_in)
    with_name = _rows(database, rows, _WITH_WORD, pattern.in_names, len(rows))
    paths = list(rows)
    return np.array([row for row in with_name if not is_folder(os.path.dirname(paths[row]))], np.int64)


def _called(rows: Mapping[str, int], found: Sequence[_Found], words: Collection[str], stop: Set[str]) -> np.ndarray:
    """Return the rows of the photographs in folders whose names are the words of the query, but for numbers."""

    def folded(texts: Iterable[str]) -> set[str]:
        return {_spaced(_in_two_letters(word)) for word in texts if not word.isdecimal() and word.lower() not in stop}

    wanted = folded(words)

    @cache
    def is_called(path: str) -> bool:
        return any(folded(_words(part)) == wanted for part in path.split(os.sep))

    paths = list(rows)
    with_name = {row for name in found for row in name.rows.tolist()}
    return np.array(sorted(row for row in with_name if is_called(os.path.dirname(paths[row]))), np.int64)


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
        raise ConfigError(field=name, expected=expected, got=repr(text)) from None


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


def _tokens(text: str) -> str:
    """Return the words that SQLite makes of a text that `_spaced` has folded, with spaces around each."""
    is_part = (unicodedata.category(character)[0] in "LMN" for character in text)
    words = "".join(character if inside else " " for character, inside in zip(text, is_part, strict=True)).split()
    return f" {' '.join(words)} "


def _marked(text: str) -> str:
    """Return a text in lower case with its accents, and spaces around characters of scripts without them."""
    lowered = unicodedata.normalize("NFC", unicodedata.normalize("NFKC", text).casefold())
    return _UNSPACED.sub(r" \g<0> ", lowered.replace('"', " "))


def _spaced(text: str) -> str:
    """Fold case and accents, and put spaces around characters of scripts without them, since SQLite splits words there.

    Accents are the marks above and below letters (combining classes from 200), and the points of
    Hebrew, Arabic and Syriac (10 to 36).
    """
    letters = ((letter, unicodedata.combining(letter)) for letter in unicodedata.normalize("NFKD", text))
    letters_only = "".join(letter for letter, mark in letters if not (10 <= mark <= 36 or mark >= 200)).casefold()
    folded = unicodedata.normalize("NFC", letters_only.translate(_STROKES))
    return _UNSPACED.sub(r" \g<0> ", folded.replace('"', " "))
