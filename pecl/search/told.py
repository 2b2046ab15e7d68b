"""Which language a query is in, told from its text among the languages that are searched with."""

from __future__ import annotations

from collections.abc import Sequence

from pecl.data.told import Told, can_tell, guesses, tellable
from pecl.errors import ConfigError


def tell_languages(texts: Sequence[str], among: Sequence[str]) -> list[Told]:
    """Return for each text the likeliest of the languages `among`.

    Languages without an ISO 639-1 code, or that lingua does not know, are never told.

    Raises:
        ConfigError: lingua is not installed, or a text has no letter that tells its language; name the language then.
    """
    if not can_tell():
        raise ConfigError(
            "language: expected one, since telling it from the text needs lingua: pip install 'pecl[search]'"
        )
    found = []
    for text, told in zip(texts, guesses(texts, among), strict=True):
        if told is None:
            names = ", ".join(tellable(among).values())
            raise ConfigError(f"language: no language of {names} is told from {text!r}: name it")
        found.append(told)
    return found
