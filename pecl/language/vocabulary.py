"""Whether a word of a query is a word of a language, such as Hund, or a name, such as Rex or Bodrum.

A word of the language is one that its table of restoring has in lower case (in German, nouns have
capitals there, and names have them in other languages, too), one that is more frequent in the
language than in others (names are about as frequent everywhere), one with an English plural (hotel,
taxi), and a form or a compound of such words.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable
from functools import lru_cache
from importlib.util import find_spec
from itertools import takewhile
from statistics import median

from pecl.language.languages import LANGUAGES
from pecl.language.restoring import shipped_restoration
from pecl.language.spellings import lower

_OTHERS = ("en", "fr", "de", "es", "nl", "pl", "tr", "fi", "it")  # whose frequencies are compared
_WITH_CAPITAL_NOUNS = ("de", "lb")
_WITHOUT_CAPITAL_NOUNS = ("fr", "es", "cs", "pl")  # whose capitals are those of names
_PLURAL = 0.04  # least frequency of an English plural, as a share of that of its singular
_STEM = 5  # letters that a word and another form of it begin with
_ENDING = 3  # most letters after them
_PART = 4  # least letters of a part of a compound
_COMPOUNDING = ("de", "lb", "nl", "da", "nb", "nn", "sv", "is", "fo", "fi", "hu", "et")
_JOINTS = ("", "s", "n", "en", "es", "e", "er")  # between the parts


def is_word(word: str, languages: Iterable[str]) -> bool:
    """Return whether a text without spaces is a word of one of the languages, given by their codes; numbers are."""
    return word.isdecimal() or any(_is_word(lower(word, code), code) for code in languages)


@lru_cache(maxsize=10_000)
def _is_word(word: str, code: str) -> bool:
    """Return whether a text in lower case is a word of a language."""
    if _is_known(word, code):
        return True
    has_evidence = _is_capital(word, code) or word.casefold() in _list(_iso(code))
    return not has_evidence and (_is_form(word, code) or _is_compound(word, code))


def _is_capital(word: str, code: str) -> bool:
    """Return whether the table of restoring has a word with a capital."""
    table = shipped_restoration(code)
    return table is not None and word in table.capitals


def _is_known(word: str, code: str) -> bool:
    """Return whether a word in lower case is itself known as a word of a language."""
    if _has_plural(word):
        return True

    own, others = _frequencies(word, code)
    if _is_capital(word, code):
        if code not in _WITH_CAPITAL_NOUNS:
            return False
        if own is not None and own - median(others) >= 0.5:
            return True
        if any(_is_capital(word, other) for other in _WITHOUT_CAPITAL_NOUNS):
            return False
        return own is None or own >= 4 or not own

    table = shipped_restoration(code)
    if table is not None and word in table.words:
        return True
    if own is None:  # a language without a list of words
        return max(others) < 3
    if own < 3:
        return own > max(others)
    return own - median(others) >= (0.5 if table is None else 1.0)


def _has_plural(word: str) -> bool:
    """Return whether English has a plural of a word, as it has of hotel, and not of Rex."""
    words = _list("en")
    return words.get(f"{word}s", 0.0) > _PLURAL * words.get(word, 1.0)


def _is_form(word: str, code: str) -> bool:
    """Return whether a word differs from a known one, or from an English one with a plural, in its ending."""
    if len(word) <= _STEM:
        return False
    stem = word[: max(_STEM, len(word) - _ENDING)]
    return any(_is_known(other, code) for other in _begin_alike(stem, _iso(code))) or any(
        _has_plural(other) for other in _begin_alike(stem, "en")
    )


def _begin_alike(stem: str, iso: str) -> list[str]:
    """Return the words of a list that have a stem and a short ending."""
    words = _sorted_list(iso)
    start = bisect_left(words, stem)
    begin_alike = takewhile(lambda other: other.startswith(stem), words[start:])
    return [other for other in begin_alike if len(other) <= len(stem) + _ENDING]


def _is_compound(word: str, code: str) -> bool:
    """Return whether a word consists of two known ones, the second perhaps in another form."""
    if code not in _COMPOUNDING:
        return False
    for end in range(_PART, len(word) - _PART + 1):
        first, second = word[:end], word[end:]
        stems = (first.removesuffix(joint) for joint in _JOINTS)
        if any(len(stem) >= _PART and _is_known(stem, code) for stem in stems) and (
            _is_known(second, code) or _is_form(second, code)
        ):
            return True
    return False


def _frequencies(word: str, code: str) -> tuple[float | None, list[float]]:
    """Return the logarithms of a word's occurrences in 10^9 words of a language, and of other languages.

    The former is None for a language without a list, and for all languages without wordfreq.
    """
    own = _iso(code)
    lists = {name: words for name in {*_OTHERS, own} if (words := _list(name))}
    logs = {name: math.log10(1e9 * max(words.get(word.casefold(), 0.0), 1e-9)) for name, words in lists.items()}
    return logs.pop(own, None), list(logs.values()) or [0.0]


def _iso(code: str) -> str:
    return (LANGUAGES[code].iso or "") if code in LANGUAGES else ""


@lru_cache(maxsize=64)
def _list(iso: str) -> dict[str, float]:
    """Return the frequencies of some 30,000 words of a language; none without a list of it, or without wordfreq."""
    if find_spec("wordfreq") is None:
        return {}
    import wordfreq  # a tenth of a second

    return wordfreq.get_frequency_dict(iso, "small") if iso in wordfreq.available_languages("small") else {}


@lru_cache(maxsize=8)
def _sorted_list(iso: str) -> list[str]:
    return sorted(_list(iso))
