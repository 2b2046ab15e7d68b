"""Respelling: texts of a language in one script, written in the letters of another script that a tower reads better.

The map is learned from sentences that people wrote in both scripts, word by word where both have as many words. Letters
are aligned monotonically, each with no, one or several letters of the other script, by hard expectation maximisation. A
letter is then read by the longest context around it that was seen.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from pecl.files import load_json

FOLDER = Path(__file__).with_name("respellings")
WORD = re.compile(r"[\w'’-]+")
_WINDOWS = ((0, 0), (0, 1), (1, 1), (1, 2), (2, 2), (3, 3))  # letters before and behind
_EDGE = "^"  # before and behind a word
_MOST = 3  # letters for one letter
_ROUNDS = 4
_LEAST = 2  # times that a context was seen
_MARKS = str.maketrans({"،": ",", "؛": ";", "؟": "?", "۔": "."})


@dataclass(frozen=True)
class Respelling:
    """A learned map.

    Attributes:
        language: code of the language and script that the result is in.
        letters: for a window of a word, its letter in the middle between two dots, the letters in its place.
    """

    language: str
    letters: Mapping[str, str]

    def __call__(self, text: str) -> str:
        """Return a text in the other script."""
        return WORD.sub(lambda found: _read(found.group(), self.letters), text.translate(_MARKS))


@lru_cache(maxsize=8)
def shipped_respelling(code: str) -> Respelling | None:
    """Return the map that the package has for a language and script; None without one."""
    path = FOLDER / f"{code}.json"
    return Respelling(**load_json(path)) if path.exists() else None


def learn_respelling(language: str, texts: Iterable[str], others: Iterable[str]) -> Respelling:
    """Learn the map from texts to their spellings `others`, which are in the script of `language`."""
    counts = Counter[tuple[str, str]]()
    for text, other in zip(texts, others, strict=True):
        pair = WORD.findall(text), WORD.findall(other.lower())
        if len(pair[0]) == len(pair[1]):
            counts.update(zip(*pair, strict=True))
    aligned = _align([(*words, count) for words, count in counts.items() if len(words[1]) <= _MOST * len(words[0])])
    return Respelling(language, _rules(aligned))


def _align(words: Sequence[tuple[str, str, int]]) -> list[tuple[str, list[str], int]]:
    """Return each word with the letters that stand for each of its letters, and its count."""
    table: dict[str, dict[str, float]] = {}
    found: list[tuple[str, list[str], int]] = []
    for _ in range(_ROUNDS):
        found = [(word, _path(word, other, table), count) for word, other, count in words]
        counts = defaultdict[str, Counter[str]](Counter)
        for word, parts, count in found:
            for letter, part in zip(word, parts, strict=True):
                counts[letter][part] += min(count, 20)
        table = {
            letter: {part: float(np.log(count / own.total())) for part, count in own.items()}
            for letter, own in counts.items()
        }
    return found


def _path(word: str, other: str, table: Mapping[str, Mapping[str, float]]) -> list[str]:
    """Return the likeliest split of `other` into a part for each letter of `word`."""
    size = len(other) + 1
    best, chosen = [0.0] + [-np.inf] * (size - 1), list[list[int]]()
    for i, letter in enumerate(word):
        likely, scores, lengths = table.get(letter), [-np.inf] * size, [0] * size
        for at in range(size):
            if best[at] == -np.inf:
                continue
            for length in range(min(_MOST, size - 1 - at) + 1):
                if likely is None:  # at first: parts of like length, along the diagonal
                    score = -abs(length - 1) - abs((at + length) / max(size - 1, 1) - (i + 1) / len(word))
                else:
                    score = likely.get(other[at : at + length], -12.0)
                if best[at] + score > scores[at + length]:
                    scores[at + length], lengths[at + length] = best[at] + score, length
        best = scores
        chosen.append(lengths)
    parts, at = list[str](), size - 1
    for lengths in reversed(chosen):
        parts.append(other[at - lengths[at] : at])
        at -= lengths[at]
    return parts[::-1]


def _rules(aligned: Iterable[tuple[str, Sequence[str], int]]) -> dict[str, str]:
    """Return the letters for each window; a wider one only where it differs from the narrower one."""
    counts = defaultdict[str, Counter[str]](Counter)
    for word, parts, count in aligned:
        for i, part in enumerate(parts):
            for window in _windows(word, i):
                counts[window][part] += count
    rules: dict[str, str] = {}
    for window in sorted(counts, key=len):
        (part, count), *_ = counts[window].most_common(1)
        before, letter, behind = window.split(".")
        word = before + letter + behind
        narrower = next((rules[one] for one in _windows_within(before, letter, behind) if one in rules), None)
        if (count >= _LEAST or len(word) == 1) and part != narrower:
            rules[window] = part
    return rules


def _read(word: str, rules: Mapping[str, str]) -> str:
    return "".join(
        next((rules[window] for window in reversed(_windows(word, i)) if window in rules), letter)
        for i, letter in enumerate(word)
    )


@lru_cache(maxsize=1 << 17)
def _windows(word: str, at: int) -> list[str]:
    """Return the windows around a letter, from the narrowest to the widest."""
    padded, at = _EDGE * 3 + word + _EDGE * 3, at + 3
    return [f"{padded[at - left : at]}.{padded[at]}.{padded[at + 1 : at + 1 + right]}" for left, right in _WINDOWS]


def _windows_within(before: str, letter: str, behind: str) -> list[str]:
    """Return the narrower windows of one, from the widest to the narrowest."""
    narrower = [(left, right) for left, right in _WINDOWS if left + right < len(before) + len(behind)]
    return [f"{before[len(before) - left :]}.{letter}.{behind[:right]}" for left, right in reversed(narrower)]
