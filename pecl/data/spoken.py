"""The languages that a person speaks: those that are named, or those of the system or of a browser."""

import os
import re
from collections.abc import Iterable, Mapping

from pecl.data.language_guess import can_guess
from pecl.data.languages import ENGLISH, LANGUAGES, language_code
from pecl.errors import ConfigError, install

MOST = 8  # languages that are taken of a browser or a system
_LONGEST = 1024  # characters of a header that are read
_LOCALE = re.compile(r"[A-Za-z]{2,3}(?=[_.@-]|$)")
_VARIABLES = ("LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG")  # in the order in which gettext asks them


def named_languages(names: Iterable[str]) -> tuple[str, ...]:
    """Return the codes of languages by any of their names; ConfigError for an unknown one, or without detection."""
    codes = tuple(dict.fromkeys(language_code(name.strip()) for name in names))
    if not can_guess():
        raise ConfigError(f"languages: detecting them needs lingua and wordfreq: {install('search')}")
    return codes


def system_languages(environment: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """Return the codes of the system's languages, and English; only English where the locale is not set or `C`."""
    text = next((environment[name] for name in _VARIABLES if environment.get(name)), "")
    return _known([*text.split(":"), ENGLISH])


def accepted_languages(header: str | None) -> tuple[str, ...]:
    """Return the codes of the languages of an `Accept-Language` header, the most wanted first.

    Empty where there is none; of a long header only the beginning is read.
    """
    wanted: list[tuple[float, str]] = []
    for part in (header or "")[:_LONGEST].split(","):
        name, _, quality = part.strip().partition(";")
        found = re.fullmatch(r"\s*q=([01](?:\.\d{0,3})?)\s*", quality) if quality else None
        if not quality or found:
            wanted.append((float(found[1]) if found else 1.0, name.strip()))
    return _known(name for weight, name in sorted(wanted, key=lambda one: -one[0]) if weight > 0)


def _known(names: Iterable[str]) -> tuple[str, ...]:
    """Return the codes of languages named as de, de-AT or de_AT.UTF-8, without those that nobody knows."""
    codes: dict[str, None] = {}
    for name in names:
        found = _LOCALE.match(name)
        try:
            code = language_code(found[0]) if found else None
        except ConfigError:
            continue
        if code is not None:
            codes[code] = None
    return tuple(codes)[:MOST]


def stop_words(codes: Iterable[str]) -> frozenset[str]:
    """Return the words of languages that name nothing, such as "with"; none of a language without a list."""
    import stopwordsiso  # takes a tenth of a second

    isos = {LANGUAGES[code].iso for code in codes if code in LANGUAGES}
    return frozenset(stopwordsiso.stopwords([iso for iso in isos if iso and stopwordsiso.has_lang(iso)]))
