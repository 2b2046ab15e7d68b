"""Transliteration: texts of a language, written in the letters of another script that a tower reads better.

The maps were learned from Seed, whose sentences people wrote in both scripts. A letter is replaced
according to the longest context around it in the map.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from pecl.files import load_json

FOLDER = Path(__file__).with_name("transliterations")
WORD = re.compile(r"[\w'’-]+")
WINDOWS = ((0, 0), (0, 1), (1, 1), (1, 2), (2, 2), (3, 3))  # letters before and after
_EDGE = "^"  # before and after a word
_MARKS = str.maketrans({"،": ",", "؛": ";", "؟": "?", "۔": "."})


@dataclass(frozen=True)
class Transliteration:
    """A learned map."""

    language: str  # code of the language and script that the result is in
    # window of a word, with a letter between two dots -> replacement of the letter
    letters: Mapping[str, str]

    def __call__(self, text: str) -> str:
        """Return a text in the other script."""
        return WORD.sub(lambda match: "".join(self._read(match.group())), text.translate(_MARKS))

    def _read(self, word: str) -> Iterator[str]:
        for at, letter in enumerate(word):
            yield next(
                (self.letters[window] for window in reversed(windows_of(word, at)) if window in self.letters), letter
            )


@lru_cache(maxsize=8)
def shipped_transliteration(code: str) -> Transliteration | None:
    """Return the shipped map for a language and script, such as `ace_arab`; None if there is none."""
    path = FOLDER / f"{code}.json"
    return Transliteration(**load_json(path)) if path.exists() else None


@lru_cache(maxsize=1 << 17)
def windows_of(word: str, position: int) -> list[str]:
    """Return the windows around a letter, from the narrowest to the widest."""
    padded = _EDGE * 3 + word + _EDGE * 3
    start = position + 3
    end = start + 1
    return [f"{padded[start - left : start]}.{padded[start]}.{padded[end : end + right]}" for left, right in WINDOWS]
