"""The table of languages, `languages.tsv`: one row holds all facts of a language, or of a language in one script.

The code of a row is its ISO 639-1 code, or else its ISO 639-3 code, with a script if two rows need
one: `sw`, `ceb`, `zh_hant`. Japanese is `jp`, as in XTD10. Every command also takes all other
names, tags and locales: `swa`, `swh_Latn`, `Swahili`, `Kiswahili`, `sw-KE`, `sw_KE.UTF-8`.
Names come from CLDR and ISO 639.
"""

import csv
import re
import unicodedata
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from pecl.errors import ConfigError, command, nearest
from pecl.options import Registry

ENGLISH = "en"  # the base encoders embed it without an adapter
COMMON = ("en", "cs", "de", "es", "fr", "it", "jp", "ko", "pl", "ru", "tr", "zh")  # more likely than others
# The next most likely: those of Crossmodal-3600 (Thapliyal et al., EMNLP 2022) except the ones
# above and Quechua
WIDESPREAD = (
    "ar", "bn", "da", "el", "fa", "fi", "he", "hi", "hr", "hu", "id", "mi",
    "nb", "nl", "pt", "ro", "sv", "sw", "te", "th", "tl", "uk", "vi",
)  # fmt: skip
CODE = r"[a-z]{2,3}(_[a-z]{4})?"  # any language's code, perhaps with its script: nl, zh_hant
# A tag of BCP 47, or a locale: language, script, region, variants, extension, encoding and modifier
_TAG = re.compile(
    r"([a-z]{2,3})(?:_([a-z]{4}))?(?:_([a-z]{2}|\d{3})(?:\.\w+)?)?(?:_(?:[a-z\d]{5,8}|\d[a-z\d]{3}))*(?:_[a-z]_\w+)?"
    r"(?:\.utf_?8)?(?:@(\w+))?"
)
_SCRIPT_OF = {"latin": "latn", "cyrillic": "cyrl", "devanagari": "deva"}  # of a locale's modifier
COLUMN_WORDS = frozenset(("id", "no", "is", "to", "as", "or", "am"))  # codes that are also common names of columns


@dataclass(frozen=True)
class Language:
    """One row of the table."""

    code: str  # its name in data sets, configs and results
    name: str  # in English
    # FLORES-200 code (`nld_Latn`): for NLLB, Flickr30k-200 and, as ISO 639-3, OPUS models
    flores: str | None = None
    # ISO 639-1 code, for M2M100 and OPUS models; None if it has none, or another row uses it
    iso: str | None = None
    aliases: tuple[str, ...] = ()  # other names that data sets and people use
    # its names in OPUS models of several target languages, if they are not its codes
    opus: tuple[str, ...] = ()
    endonym: str = ""  # its name in the language itself; empty if CLDR has none
    iso3: str | None = None  # ISO 639-3 code
    script: str = ""  # ISO 15924 code, such as `Latn`
    region: str = ""  # the part of the world that most of its speakers live in
    # whether CC-100 has text in it, with which XLM-R and so the tower of `mini` were trained
    pretrained: bool = False
    shared: tuple[str, ...] = ()  # codes that name this row and others, such as `no`
    m2m100: str | None = None  # M2M100's code, if that is not `iso`

    @cached_property
    def names(self) -> frozenset[str]:
        """All names of the language, normalised by `_key`."""
        exact = None if "_" in self.code else self.iso3
        texts = (self.code, self.name, self.endonym, self.flores, self.iso, exact, *self.aliases)
        return frozenset(_key(name) for name in texts if name)


def _key(text: str) -> str:
    """Normalise a name of a language for comparisons: lower case, and `_` before a script."""
    return unicodedata.normalize("NFC", text).strip().lower().replace("-", "_")


def _row(texts: dict[str, str]) -> Language:
    row: dict[str, Any] = texts | {name: texts[name] or None for name in ("flores", "iso", "m2m100")}
    row |= {name: tuple(texts[name].split()) for name in ("opus", "shared")}
    row |= {"aliases": tuple(filter(None, texts["aliases"].split(";"))), "pretrained": texts["pretrained"] == "yes"}
    return Language(**row)


with Path(__file__).with_name("languages.tsv").open(encoding="utf-8", newline="") as _file:
    LANGUAGES = Registry("language", {row["code"]: _row(row) for row in csv.DictReader(_file, delimiter="\t")})


def register_language(
    code: str,
    name: str,
    *,
    flores: str | None = None,
    iso: str | None = None,
    aliases: Iterable[str] = (),
) -> Language:
    """Add a language to the table, for this process, and return its row; a known language gets the new aliases.

    Example:
        >>> pecl.register_language("hsb", "Upper Sorbian", aliases=["hornjoserbsce"])

    Args:
        code: its code in data sets and configs: two or three lower-case letters, perhaps with a script (`zh_hant`).
        name: its English name.
        flores: its FLORES-200 code, for NLLB models and Flickr30k-200.
        iso: its ISO 639-1 code, for M2M100 models.
        aliases: other names of it.

    Raises:
        ConfigError: a code or name is malformed, or another language has it.
    """
    for field, value, form, expected in (
        ("code", code, CODE, "two or three small letters, perhaps with a script, such as nl or zh_hant"),
        ("name", name, r"\S(.*\S)?", "its English name, such as Dutch"),
        ("flores", flores, r"[a-z]{3}_[A-Z][a-z]{3}", "a FLORES-200 code such as nld_Latn"),
        ("iso", iso, r"[a-z]{2}", "an ISO 639-1 code such as nl"),
    ):
        optional = field in ("flores", "iso")
        if not (optional and value is None) and not (isinstance(value, str) and re.fullmatch(form, value)):
            raise ConfigError(f"language {code!r}: {field}: expected {expected}, got {value!r}")

    other_names = (aliases,) if isinstance(aliases, str) else tuple(aliases)
    row = Language(code, name, flores, iso, other_names, iso3=flores and flores.partition("_")[0])
    existing = LANGUAGES.get(code)
    is_same = False
    if existing is not None:
        is_same = {_key(spelling) for spelling in (name, flores, iso) if spelling} <= existing.names
        if is_same:
            row = replace(existing, aliases=(*existing.aliases, *other_names))

    for spelling in sorted(row.names):
        owner = _named(spelling)
        if owner is not None and not (is_same and owner == code):
            raise ConfigError(f"language {code!r}: {spelling!r} is registered already, for {language_name(owner)}")

    LANGUAGES.put(code, row)
    return row


def _named(key: str) -> str | None:
    global _codes
    if _codes[0] is not LANGUAGES.state:
        _codes = LANGUAGES.state, {name: row.code for row in reversed([*LANGUAGES.values()]) for name in row.names}
    return _codes[1].get(key)


_codes: tuple[Any, dict[str, str]] = (None, {})  # the table's state, and the code of each name in it


def _code_of(name: str) -> str | None:
    """Return the code of the language with a code, name or alias, or None; a code may have the row's script."""
    key = _key(name)
    code = _named(key)
    if code:
        return code
    base, _, script = key.partition("_")
    code = _named(base) if script else None
    return code if code is not None and LANGUAGES[code].script.lower() == script else None


def _code_of_tag(name: str) -> str | None:
    """Return the code of the language in a tag or locale, or None; a region counts if a row has it (`zh-TW`)."""
    tag = _TAG.fullmatch(_key(name))
    if tag is None:
        return None

    base, script, region, modifier = tag.groups()
    script = script or _SCRIPT_OF.get(modifier)
    if script:
        return _code_of(f"{base}_{script}")
    return _named(f"{base}_{region}") or _named(base)


def _any_code_of(name: str) -> str | None:
    """Return the code of the language with a name, or the name itself if it has the form of a code, or None."""
    return _code_of(name) or (_key(name) if re.fullmatch(CODE, _key(name)) else None)


def language_code(text: str) -> str:
    """Return the code that `text` names: a code, a name, a FLORES code, an alias (`ja` is `jp`), a tag or a locale.

    Raise ConfigError if there is no such language; the message names the nearest.
    """
    code = _code_of(text) or _code_of_tag(text)
    if code is None:
        names = {name for row in LANGUAGES.values() for name in (row.name, row.endonym, *row.aliases)}
        near = nearest(text.strip(), names) if len(text.strip()) > 3 else None  # three letters are another code
        raise ConfigError(
            f"unknown language {text!r}: expected a code such as sw, swa or swh_Latn, or a name such as Swahili "
            f"(`pecl languages` lists all){f'; did you mean {near!r}?' if near else ''}"
        )

    return code


def any_language_code(text: str) -> str:
    """Return the code that `text` names, as `language_code`, or `text` itself if it has the form of a code (`hsb`).

    A table of captions may be in any language.
    """
    return _any_code_of(text) or language_code(text)


def shared_code(text: str) -> str | None:
    """Return a sentence for a code that names several languages or scripts, such as `no`; None for any other."""
    rows = [row for row in LANGUAGES.values() if _key(text) in row.shared]
    code = _code_of(text)
    if code is None or len(rows) < 2:
        return None
    other_codes = ", ".join(f"{row.code} ({row.name})" for row in rows if row.code != code)
    return f"{text.strip()} is taken as {language_name(code)}, {LANGUAGES[code].script}; other codes name {other_codes}"


def language_name(code: str) -> str:
    """Return `German (de)` for `de`, and a code without a name as it is."""
    return f"{LANGUAGES[code].name} ({code})" if code in LANGUAGES else code


def preferred(adapters: Collection[str]) -> list[str]:
    """Return the languages that language detection prefers: English, and those with an adapter.

    With more adapters than `COMMON` has languages, only languages in `COMMON` count: if all were
    preferred, most short texts would remain in doubt.
    """
    names = adapters
    if len(adapters) > len(COMMON):
        names = [name for name in adapters if name in COMMON]
    return list(dict.fromkeys((ENGLISH, *names)))


def listed(codes: Collection[str]) -> str:
    """Return codes joined by commas, or their number if they are too many to read in a line."""
    return ", ".join(codes) if len(codes) <= 12 else f"{len(codes)} languages"


def way_to_adapter(code: str, profile: str | None = None, dataset: str | None = None) -> str:
    """Return the clause with the command that makes an adapter of a language, for a pair of towers if one is named.

    It measures on `dataset`, or else on one that has the language.
    """
    has_text = code in LANGUAGES and LANGUAGES[code].flores is not None
    name = dataset or ("xtd200" if has_text else "test.csv")
    tables = "" if has_text else " of tables of yours"
    flags = {} if profile is None else {"profile": profile}
    flags |= {"language": code, "dataset": name, "text": "flickr30k200" if has_text else "pairs.tsv"}
    return f"{command('distil', **flags)} makes an adapter{tables}"


def find_code(language: str, among: Iterable[str]) -> str:
    """Return the member of `among` that means `language`, such as `ja` for `jp`; `language` if there is none."""
    return next(iter(find_codes(language, among)), language)


def find_codes(language: str, among: Iterable[str]) -> list[str]:
    """Return the members of `among` that mean `language`, such as `ja` and `Japanese` for `jp`.

    If its own code is present, only that is returned; repeated members are returned repeatedly. But
    a code that often names a column, such as `id`, is returned only if there is no other name.
    """
    same = [code for code in among if (_code_of(code) or code.lower()) == language]
    exact = [code for code in same if code == language]
    other_codes = [code for code in same if code != language]
    return (other_codes or exact) if language in COLUMN_WORDS else (exact or other_codes)


def find_name(name: str, among: Iterable[str], *, tags: bool = True) -> str | None:
    """Return the member of `among` that is `name` or means the same language (`jp` for `ja`); None if there is none.

    With `tags`, `name` may also be a tag or a locale: `de-AT` means `de`, unless `among` has it.
    Names in `among` need not be of languages.
    """
    among = list(among)
    if name in among:
        return name

    code = _any_code_of(name)
    if code is None and tags:
        same = [candidate for candidate in among if _key(candidate) == _key(name)]
        if same:
            return same[0]
        code = _code_of_tag(name)

    return None if code is None else next(iter(find_codes(code, among)), None)


def flores_languages() -> dict[str, str]:
    """Return the FLORES-200 code of each language that has one, by its code."""
    return {code: row.flores for code, row in LANGUAGES.items() if row.flores}
