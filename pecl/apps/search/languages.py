"""The languages that a person speaks: named ones, or those of the system or of a browser."""

import os
import re
from collections.abc import Iterable, Mapping

from pecl.errors import ConfigError, install
from pecl.language.language_guess import can_guess
from pecl.language.languages import ENGLISH, LANGUAGES, find_name, language_code

MOST_LANGUAGES = 16  # that a person may name
_MOST_SPOKEN = 8  # most languages that are taken from a browser or a system
_LONGEST = 1024  # characters of a header that are read
_VARIABLES = ("LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG")  # in the order in which gettext reads them


def named_languages(names: Iterable[str]) -> tuple[str, ...]:
    """Return the codes of languages, given any names.

    Raises:
        ConfigError: an unknown language, more than `MOST_LANGUAGES`, or lingua is not installed.
    """
    codes = tuple(dict.fromkeys(language_code(name.strip()) for name in names))
    if len(codes) > MOST_LANGUAGES:
        raise ConfigError(
            f"expected at most {MOST_LANGUAGES} that one person speaks, got {len(codes)}", field="languages"
        )
    if not can_guess():
        raise ConfigError(f"detecting them needs lingua and wordfreq: {install('search')}", field="languages")
    return codes


def system_languages(environment: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """Return the codes of the system's languages, and English; only English if the locale is `C` or not set."""
    text = next((environment[name] for name in _VARIABLES if environment.get(name)), "")
    return _known([*text.split(":"), ENGLISH])


def accepted_languages(header: str | None) -> tuple[str, ...]:
    """Return the codes in (the beginning of) an `Accept-Language` header, most wanted first; none without a header."""
    weighted_names: list[tuple[float, str]] = []
    for part in (header or "")[:_LONGEST].split(","):
        name, _, quality = part.strip().partition(";")
        match = re.fullmatch(r"\s*q=([01](?:\.\d{0,3})?)\s*", quality or "q=1")
        if match:
            weighted_names.append((float(match[1]), name.strip()))

    weighted_names.sort(key=lambda weighted: -weighted[0])
    return _known(name for weight, name in weighted_names if weight > 0)


def _known(names: Iterable[str]) -> tuple[str, ...]:
    """Return the codes of languages named as de, de-AT or de_AT.ISO-8859-1; unknown names are dropped."""
    codes = [find_name(re.sub(r"\.[^@]*", "", name), LANGUAGES) for name in names]
    return tuple(dict.fromkeys(filter(None, codes)))[:_MOST_SPOKEN]
