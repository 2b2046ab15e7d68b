"""Texts as people type them, for tests and benchmarks: `SPELLINGS`, among them one typing error in a word."""

from __future__ import annotations

import random
import re
from collections.abc import Callable

from pecl.language.languages import LANGUAGES
from pecl.language.mixing import UNSPACED
from pecl.language.spellings import lower, upper, without_marks

# Rows of keys, each beside its neighbours in the row
_QWERTY = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
_QWERTZ = ("qwertzuiopü", "asdfghjklöä", "yxcvbnm")
_ROWS = {
    "Latn": _QWERTY,
    "Cyrl": ("йцукенгшщзхъ", "фывапролджэ", "ячсмитьбю"),
    "Grek": ("ςερτυθιοπ", "ασδφγηξκλ", "ζχψωβνμ"),
    "Hebr": ("קראטוןםפ", "שדגכעיחלך", "זסבהנמצת"),
    "Arab": ("ضصثقفغعهخحج", "شسيبلاتنمك", "ئءؤرىةوزظ"),
}
_ROWS_OF = {
    **dict.fromkeys(("de", "cs", "sk", "hu", "hr", "sl", "bs", "sr_latn", "lb"), _QWERTZ),
    "fr": ("azertyuiop", "qsdfghjklm", "wxcvbn"),
}
_LEAST_LETTERS = 4  # of a word with an error
_WORD = re.compile(r"[^\W\d_]+")


def with_one_error(text: str, language: str, draws: random.Random) -> str:
    """Return a text with a typing error in one of its words; the same text if none has four letters."""
    words = [match for match in _WORD.finditer(text) if len(match.group()) >= _LEAST_LETTERS]
    if not words or _script(language) in UNSPACED:
        return text
    word = draws.choice(words)
    return text[: word.start()] + _mistyped(word.group(), language, draws) + text[word.end() :]


def _mistyped(word: str, language: str, draws: random.Random) -> str:
    """Return a word with a neighbouring key, two letters swapped, or one left out."""
    position = draws.randrange(1, len(word) - 1)  # people seldom err in the first letter
    error = draws.choice(("neighbour", "swapped", "left out"))
    if error == "neighbour":
        keys = _neighbours(word[position].lower(), language)
        if keys:
            return word[:position] + draws.choice(keys) + word[position + 1 :]
    if error == "swapped" and word[position] != word[position + 1]:
        return word[:position] + word[position + 1] + word[position] + word[position + 2 :]
    return word[:position] + word[position + 1 :]


def _neighbours(letter: str, language: str) -> list[str]:
    """Return the keys beside a letter's key, and those above and below it."""
    rows = _ROWS_OF.get(language) or _ROWS.get(_script(language), ())
    for number, row in enumerate(rows):
        column = row.find(letter)
        if column >= 0:
            around = [row[i] for i in (column - 1, column + 1) if 0 <= i < len(row)]
            adjacent_rows = [rows[i] for i in (number - 1, number + 1) if 0 <= i < len(rows)]
            return around + [adjacent_row[column] for adjacent_row in adjacent_rows if column < len(adjacent_row)]

    return []


def _script(language: str) -> str:
    row = LANGUAGES.get(language)
    return "" if row is None else row.script


AS_WRITTEN = "as written"
# How people type a text, for tests: name -> function of the text and its language's code
SPELLINGS: dict[str, Callable[[str, str], str]] = {
    AS_WRITTEN: lambda text, language: text,
    "lower case": lower,
    "capitals": upper,
    "no marks": without_marks,
    "lower case, no marks": lambda text, language: without_marks(lower(text, language), language),
    "one error": lambda text, language: with_one_error(text, language, random.Random(text)),
}
