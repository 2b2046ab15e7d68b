"""Which language a query is in, told from its text by lingua among the languages that are searched with."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from pecl.errors import ConfigError
from pecl.languages import LANGUAGES


class Told(NamedTuple):
    """A guess.

    Attributes:
        language: its code.
        confidence: 0 to 1, relative to the other languages that were considered.
    """

    language: str
    confidence: float


def tell_languages(texts: Sequence[str], among: Sequence[str]) -> list[Told]:
    """Return for each text the likeliest of the languages `among`.

    Languages without an ISO 639-1 code, or that lingua does not know, are never told.

    Raises:
        ConfigError: lingua is not installed, or a text has no letter that tells its language; name the language then.
    """
    codes = _codes(tuple(among))
    if len(codes) == 1:
        return [Told(next(iter(codes.values())), 1.0)] * len(texts)
    detector = _detector(tuple(codes))
    found = []
    for text in texts:
        values = detector.compute_language_confidence_values(text)
        best = max(values, key=lambda value: value.value)  # of equal ones the first, in the order of the languages
        if best.value <= 1 / len(codes):  # all are equal: digits, or a script that none of them has
            raise ConfigError(f"language: no language of {', '.join(codes.values())} is told from {text!r}: name it")
        found.append(Told(codes[best.language.iso_code_639_1.name.lower()], float(best.value)))
    return found


def _codes(among: tuple[str, ...]) -> dict[str, str]:
    """Return the languages that lingua can tell, by ISO 639-1 code.

    Raises:
        ConfigError: lingua is not installed.
    """
    lingua = _lingua()
    known = {language.iso_code_639_1.name.lower() for language in lingua.Language.all()}
    codes = {LANGUAGES[code].iso: code for code in among if code in LANGUAGES}
    return {iso: code for iso, code in codes.items() if iso in known}


@lru_cache(maxsize=4)
def _detector(isos: tuple[str, ...]) -> Any:
    lingua = _lingua()
    wanted = [language for language in lingua.Language.all() if language.iso_code_639_1.name.lower() in isos]
    return lingua.LanguageDetectorBuilder.from_languages(*wanted).build()


def _lingua() -> Any:
    try:
        import lingua
    except ImportError as error:
        raise ConfigError(
            "language: expected one, since telling it from the text needs lingua: pip install 'pecl[search]'"
        ) from error
    return lingua
