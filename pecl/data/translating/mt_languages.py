"""The names by which each family of translation models knows languages."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from pecl.errors import ConfigError, WeightsError
from pecl.languages import LANGUAGES, find_name, language_name


@dataclass(frozen=True)
class LanguageSettings:
    """Settings with which a model of a family translates in one direction."""

    family: str
    prefix: str = ""  # text to put before every sentence
    first_token_id: int | None = None  # id of the token that every translation must begin with


def language_settings(tokenizer: Any, source: str, target: str) -> LanguageSettings:
    """Set the tokenizer of a model to the source language, and return the settings for the target language.

    Raises:
        ConfigError: the model does not translate in this direction.
        WeightsError: the tokenizer is of no known family.
    """
    for base in type(tokenizer).__mro__:
        if base.__name__ in _FAMILIES:
            return _FAMILIES[base.__name__](tokenizer, source, target)
    known = ", ".join(sorted(_FAMILIES))
    raise WeightsError(f"tokenizer of the translation model: expected one of {known}, got {type(tokenizer).__name__}")


def _marian(tokenizer: Any, source: str, target: str) -> LanguageSettings:
    for side, wanted in (("source", source), ("target", target)):
        stated = getattr(tokenizer, f"{side}_lang", None)
        if stated is not None and find_name(stated, LANGUAGES) not in (None, wanted):  # None: a group such as `roa`
            raise ConfigError(
                f"the model's {side} language is {stated!r}, but {wanted!r} was asked for: choose another"
            )
    codes = tokenizer.supported_language_codes  # such as ">>kor<<"; none if there is one target language
    if not codes:
        return LanguageSettings("marian")
    known = [code.strip("><") for code in codes]
    chosen = _first_known(LANGUAGES[target].opus_codes, known, target)
    return LanguageSettings("marian", prefix=f">>{chosen}<< ")


def _m2m100(tokenizer: Any, source: str, target: str) -> LanguageSettings:
    known = tokenizer.lang_code_to_id
    codes = {code: LANGUAGES[code].m2m100 or LANGUAGES[code].iso for code in (source, target)}
    tokenizer.src_lang = _first_known([codes[source]], known, source)
    return LanguageSettings("m2m100", first_token_id=known[_first_known([codes[target]], known, target)])


def _nllb(tokenizer: Any, source: str, target: str) -> LanguageSettings:
    known = tokenizer.get_vocab()
    tokenizer.src_lang = _first_known([LANGUAGES[source].flores], known, source)
    return LanguageSettings("nllb", first_token_id=known[_first_known([LANGUAGES[target].flores], known, target)])


_FAMILIES: dict[str, Callable[[Any, str, str], LanguageSettings]] = {  # by the class of the tokenizer
    "MarianTokenizer": _marian,
    "M2M100Tokenizer": _m2m100,
    "NllbTokenizer": _nllb,
}


def _first_known(candidates: Iterable[str | None], known: Iterable[str], language: str) -> str:
    """Return the first of `candidates`, codes of `language`, that the model knows."""
    codes = [code for code in candidates if code is not None]
    for code in codes:
        if code in known:
            return code
    if not codes:
        raise ConfigError(
            f"{language_name(language)} has no code for this family of models: name it with pecl.register_language, "
            "or choose another model"
        )
    raise ConfigError(f"the model does not know {LANGUAGES[language].name} ({', '.join(codes)}): choose another model")
