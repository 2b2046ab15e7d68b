"""Which language a text is in, told by lingua; and what is strange about the languages of parallel text."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from importlib.util import find_spec
from typing import Any, NamedTuple

from pecl.languages import LANGUAGES

LOOKED_AT = 100  # pairs of a source, evenly spread, whose language is told
_FEWEST = 10  # of fewer nothing is said
_SURE = 0.5  # confidence of a guess that counts: phrases of two words seldom reach it
_MOST_STRANGE = 0.5  # share of them that may seem to be of another language


class Told(NamedTuple):
    """A guess.

    Attributes:
        language: its code.
        confidence: 0 to 1, relative to the other languages that were considered.
    """

    language: str
    confidence: float


def can_tell() -> bool:
    """Say whether lingua is installed."""
    return find_spec("lingua") is not None


def tellable(among: Sequence[str]) -> dict[str, str]:
    """Return those of the languages `among` that lingua knows: ISO 639-1 code -> pecl's.

    Raises:
        ImportError: lingua is not installed.
    """
    import lingua

    known = {language.iso_code_639_1.name.lower() for language in lingua.Language.all()}
    codes = {LANGUAGES[code].iso: code for code in among if code in LANGUAGES}
    return {iso: code for iso, code in codes.items() if iso in known}


def guesses(texts: Sequence[str], among: Sequence[str]) -> list[Told | None]:
    """Return for each text the likeliest of the languages `among`; None where no letter tells one from another.

    Languages without an ISO 639-1 code, or that lingua does not know, are never told.

    Raises:
        ImportError: lingua is not installed.
    """
    codes = tellable(among)
    if len(codes) == 1:
        return [Told(next(iter(codes.values())), 1.0)] * len(texts)
    detector, found = _detector(tuple(codes)), list[Told | None]()
    for text in texts:
        values = detector.compute_language_confidence_values(text)
        best = max(values, key=lambda value: value.value)  # of equal ones the first, in the order of the languages
        told = Told(codes[best.language.iso_code_639_1.name.lower()], float(best.value))
        found.append(told if best.value > 1 / len(codes) else None)  # all are equal: digits, or a script of none
    return found


@lru_cache(maxsize=4)
def _detector(isos: tuple[str, ...]) -> Any:
    import lingua

    wanted = [language for language in lingua.Language.all() if language.iso_code_639_1.name.lower() in isos]
    return lingua.LanguageDetectorBuilder.from_languages(*wanted).build()


def strange_languages(targets: Sequence[str], english: Sequence[str], language: str) -> str | None:
    """Return what is strange about the languages of parallel text, a clause with counts; None where nothing is.

    `LOOKED_AT` pairs are looked at. Columns that are swapped, or one that is mostly in another language, are strange.
    Without lingua, for a language that it does not know, or in a handful of pairs, nothing is looked at.

    Args:
        targets: texts that should be in `language`.
        english: their English translations.
        language: code of the language.
    """
    if language == "en" or len(targets) < _FEWEST or not can_tell() or not tellable([language]):
        return None
    places = range(0, len(targets), max(len(targets) // LOOKED_AT, 1))[:LOOKED_AT]
    sides = []
    for texts, expected in ((targets, language), (english, "en")):
        told = guesses([texts[i] for i in places], tuple(LANGUAGES))
        others = [one.language for one in told if one and one.language != expected and one.confidence > _SURE]
        likeliest = max(sorted(set(others)), key=others.count, default=expected)
        sides.append((len(others) > _MOST_STRANGE * len(places), likeliest, others.count(likeliest)))
    (is_other, target, of_target), (is_other_english, source, of_english) = sides
    count, name = len(places), LANGUAGES[language].name
    if is_other and is_other_english and (target, source) == ("en", language):
        return (
            f"of {count} pairs looked at, {of_target} have English where {name} is expected and {of_english} have "
            f"{name} where English is: are the two swapped?"
        )
    for is_strange, found, number, expected in (
        (is_other, target, of_target, name),
        (is_other_english, source, of_english, "English"),
    ):
        if is_strange:
            seen = LANGUAGES[found].name
            return (
                f"of {count} pairs looked at, {number} have {seen} where {expected} is expected: is it the right file?"
            )
    return None
