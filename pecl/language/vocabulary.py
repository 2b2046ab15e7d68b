"""Whether a word of a query is a word of a language, such as Hund, or a name, such as Rex or Bodrum.

A word of the language is one that its table of restoring has in lower case (in German, nouns have
capitals there), or one that is more frequent in the language than in others: names are about as
frequent everywhere.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from importlib.util import find_spec
from statistics import median

from pecl.language.languages import LANGUAGES
from pecl.language.restoring import shipped_restoration
from pecl.language.spellings import lower

_OTHERS = ("en", "fr", "de", "es", "nl", "pl", "tr", "fi", "it")  # whose frequencies are compared
_WITH_CAPITAL_NOUNS = ("de", "lb")


def is_word(word: str, languages: Iterable[str]) -> bool:
    """Return whether a text without spaces is a word of one of the languages, given by their codes; numbers are."""
    return word.isdecimal() or any(_is_word(lower(word, code), code) for code in languages)


def _is_word(word: str, code: str) -> bool:
    """Return whether a text in lower case is a word of a language."""
    table = shipped_restoration(code)
    own, others = _frequencies(word, code)
    if table is not None and word in table.capitals:
        return code in _WITH_CAPITAL_NOUNS and (own is None or own >= 4 or own - median(others) >= 0.5)
    if table is not None and word in table.words:
        return True
    if own is None:  # a language without a list of words
        return max(others) < 3
    if own < 3:
        return own > max(others)
    return own - median(others) >= (0.5 if table is None else 1.0)


def _frequencies(word: str, code: str) -> tuple[float | None, list[float]]:
    """Return the logarithms of a word's occurrences in 10^9 words of a language, and of other languages.

    The former is None for a language without a list, and for all languages without wordfreq.
    """
    if find_spec("wordfreq") is None:
        return None, [0.0]
    import wordfreq  # a tenth of a second

    iso = LANGUAGES[code].iso if code in LANGUAGES else None
    names = {*_OTHERS, iso} & wordfreq.available_languages("small").keys()
    lists = {name: wordfreq.get_frequency_dict(name, "small") for name in names}
    logs = {name: math.log10(1e9 * max(words.get(word, 0.0), 1e-9)) for name, words in lists.items()}
    return logs.pop(iso, None), list(logs.values())
