"""Codes and names of the languages of XTD10 and Multi30K, and the aliases under which other sets know them.

The data sets' own codes are used throughout: Japanese is `jp`, as in XTD10, though ISO 639-1 says `ja`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from pecl.errors import ConfigError, suggest

CODE = r"[a-z]{2,3}(_[a-z]{4})?"  # any language's code, perhaps with its script: nl, zh_hant

LANGUAGES: dict[str, str] = {
    "en": "English",
    "de": "German",
    "es": "Spanish",
    "fr": "French",
    "it": "Italian",
    "jp": "Japanese",
    "ko": "Korean",
    "pl": "Polish",
    "ru": "Russian",
    "tr": "Turkish",
    "zh": "Chinese",
    "cs": "Czech",
}

# FLORES-200 codes, as the Flickr30k-200 files and the NLLB models name the same languages.
FLORES: dict[str, str] = {
    "en": "eng_Latn",
    "de": "deu_Latn",
    "es": "spa_Latn",
    "fr": "fra_Latn",
    "it": "ita_Latn",
    "jp": "jpn_Jpan",
    "ko": "kor_Hang",
    "pl": "pol_Latn",
    "ru": "rus_Cyrl",
    "tr": "tur_Latn",
    "zh": "zho_Hans",
    "cs": "ces_Latn",
}

_ALIASES: dict[str, str] = (
    {name.lower(): code for code, name in LANGUAGES.items()}
    | {flores.lower(): code for code, flores in FLORES.items()}
    | {"ja": "jp", "cz": "cs", "zh-cn": "zh", "zh-hans": "zh"}
)


def language_code(text: str) -> str:
    """Return the code that `text` names: a code, an English name, a FLORES code or a common alias (`ja` is `jp`).

    Raises:
        ConfigError: no such language; the message lists the known ones.
    """
    key = text.strip().lower()
    code = _ALIASES.get(key, key)
    if code not in LANGUAGES:
        hint = suggest(key, [*LANGUAGES, *_ALIASES])
        raise ConfigError(f"unknown language {text!r}: expected one of {', '.join(LANGUAGES)}{hint}")
    return code


def any_language_code(text: str) -> str:
    """Return the code that `text` names, as `language_code`, or `text` itself where it is formed like a code (`nl`).

    One's own data may be in any language.

    Raises:
        ConfigError: it is neither.
    """
    key = text.strip().lower()
    return key if key not in _ALIASES and re.fullmatch(CODE, key) else language_code(text)


def language_name(code: str) -> str:
    """Return `German (de)` for `de`, and a code without a name as it is."""
    return f"{LANGUAGES[code]} ({code})" if code in LANGUAGES else code


def find_code(language: str, among: Iterable[str]) -> str:
    """Return the one of `among` that means `language`, such as `ja` for `jp`; `language` where there is none."""
    among = list(among)
    same = (code for code in among if _ALIASES.get(code.lower(), code.lower()) == language)
    return language if language in among else next(same, language)
