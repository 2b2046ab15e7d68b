"""The table of languages: one row says all that pecl knows of a language.

The data sets' own codes are used throughout: Japanese is `jp`, as in XTD10, though ISO 639-1 says `ja`. What a language
lacks is refused where it is needed: a row without a FLORES code has no NLLB translations, and only languages with a
grammar in `pecl.data.scenes` have drawn scenes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from pecl.errors import ConfigError, suggest

ENGLISH = "en"  # the plain towers know it without an adapter
CODE = r"[a-z]{2,3}(_[a-z]{4})?"  # any language's code, perhaps with its script: nl, zh_hant
_FLORES_CODE = r"[a-z]{3}_[A-Z][a-z]{3}"
_ISO_639_1 = """
    aa ab ae af ak am an ar as av ay az ba be bg bi bm bn bo br bs ca ce ch co cr cs cu cv cy da de dv dz ee el en
    eo es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy hz ia id ie ig ii ik io is it iu ja
    jv ka kg ki kj kk kl km kn ko kr ks ku kv kw ky la lb lg li ln lo lt lu lv mg mh mi mk ml mn mr ms mt my na nb
    nd ne ng nl nn no nr nv ny oc oj om or os pa pi pl ps pt qu rm rn ro ru rw sa sc sd se sg sh si sk sl sm sn so
    sq sr ss st su sv sw ta te tg th ti tk tl tn to tr ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo za zh zu
"""
_ISO_639_3 = """
    ace acm acq aeb afr ajp aka als amh apc ara arb ars ary arz asm ast awa ayr azb aze azj bak bam ban bel bem ben
    bho bjn bod bos bug bul cat ceb ces cjk ckb crh cym dan deu dik dyu dzo ell eng epo est eus ewe fao fas fij fin
    fon fra fur fuv gaz gla gle glg grn guj hat hau heb hin hne hrv hun hye ibo ilo ind isl ita jav jpn kab kac kam
    kan kas kat kaz kbp kea khk khm kik kin kir kmb kmr knc kon kor lao lat lav lij lim lin lit lmo ltg ltz lua lug
    luo lus lvs mag mai mal mar min mkd mlt mni mon mos mri msa mya nld nno nob npi nso nus nya oci ory pag pan pap
    pbt pes plt pol por prs quy ron run rus sag san sat scn shn sin slk slv smo sna snd som sot spa sqi srd srp ssw
    sun swa swe swh szl tam taq tat tel tgk tgl tha tir tpi tsn tso tuk tum tur twi tzm uig ukr umb urd uzn vec vie
    war wol xho ydd yor yue zho zsm zul
"""  # of FLORES-200 and of lingua; ISO 639-3 has some eight thousand
_EXISTING = frozenset([*_ISO_639_1.split(), *_ISO_639_3.split()])


@dataclass(frozen=True)
class Language:
    """One row of the table.

    Attributes:
        code: its name in data sets, configs and results.
        name: its English name.
        flores: its FLORES-200 code, such as `nld_Latn`: for NLLB models, Flickr30k-200 and, as ISO 639-3, OPUS models.
        iso: its ISO 639-1 code, for M2M100 and OPUS models; None if it has none.
        aliases: other names under which data sets and people know it.
        opus: what OPUS models with several target languages call it, likeliest first; by default its other codes.
    """

    code: str
    name: str
    flores: str | None = None
    iso: str | None = None
    aliases: tuple[str, ...] = ()
    opus: tuple[str, ...] = ()

    @property
    def iso3(self) -> str | None:
        """Its ISO 639-3 code, which the FLORES code begins with."""
        return self.flores and self.flores.partition("_")[0]

    @property
    def opus_codes(self) -> tuple[str, ...]:
        """What OPUS models may call it, likeliest first; empty if nothing is known."""
        return self.opus or tuple(code for code in (self.flores, self.iso3, self.iso) if code)

    def names(self) -> set[str]:
        """Return all names of the language, in small letters."""
        return {name.lower() for name in (self.code, self.name, self.flores, self.iso, *self.aliases) if name}


LANGUAGES: dict[str, Language] = {
    row.code: row
    for row in (
        Language("en", "English", "eng_Latn", "en"),
        Language("de", "German", "deu_Latn", "de"),
        Language("es", "Spanish", "spa_Latn", "es"),
        Language("fr", "French", "fra_Latn", "fr"),
        Language("it", "Italian", "ita_Latn", "it"),
        Language("jp", "Japanese", "jpn_Jpan", "ja"),
        Language("ko", "Korean", "kor_Hang", "ko"),
        Language("pl", "Polish", "pol_Latn", "pl"),
        Language("ru", "Russian", "rus_Cyrl", "ru"),
        Language("tr", "Turkish", "tur_Latn", "tr"),
        Language(
            *("zh", "Chinese", "zho_Hans", "zh"),
            aliases=("zh-cn", "zh-hans"),
            opus=("cmn_Hans", "zho_Hans", "cmn", "zho", "zh"),
        ),
        Language("cs", "Czech", "ces_Latn", "cs", aliases=("cz",)),
    )
}


def register_language(
    code: str,
    name: str,
    *,
    flores: str | None = None,
    iso: str | None = None,
    aliases: Iterable[str] = (),
) -> Language:
    """Add a language to the table, for this process, and return its row.

    Example:
        >>> pecl.register_language("nl", "Dutch", flores="nld_Latn", iso="nl")

    Args:
        code: what data sets and configs call it: two or three small letters, perhaps with a script (`zh_hant`).
        name: its English name.
        flores: its FLORES-200 code, for NLLB models and Flickr30k-200.
        iso: its ISO 639-1 code, for M2M100 models.
        aliases: other names of it.

    Raises:
        ConfigError: a code or name is not formed like one, or another language has it.
    """
    for what, value, form, expected in (
        ("code", code, CODE, "two or three small letters, perhaps with a script, such as nl or zh_hant"),
        ("name", name, r"\S(.*\S)?", "its English name, such as Dutch"),
        ("flores", flores, _FLORES_CODE, "a FLORES-200 code such as nld_Latn"),
        ("iso", iso, r"[a-z]{2}", "an ISO 639-1 code such as nl"),
    ):
        optional = what in ("flores", "iso")
        if not (optional and value is None) and not (isinstance(value, str) and re.fullmatch(form, value)):
            raise ConfigError(f"language {code!r}: {what}: expected {expected}, got {value!r}")
    row = Language(code, name, flores, iso, (aliases,) if isinstance(aliases, str) else tuple(aliases))
    for other in LANGUAGES.values():
        if shared := sorted(row.names() & other.names()):
            raise ConfigError(
                f"language {code!r}: {shared[0]!r} is registered already, for {language_name(other.code)}"
            )
    LANGUAGES[code] = row
    return row


def _code_of(name: str) -> str | None:
    """Return the code of the language that a code, name or alias in small letters stands for."""
    if name in LANGUAGES:
        return name
    return next((row.code for row in LANGUAGES.values() if name in row.names()), None)


def _any_code_of(name: str) -> str | None:
    """Return the code that a name in small letters stands for, or the name itself where it is formed like a code."""
    return _code_of(name) or (name if re.fullmatch(CODE, name) else None)


def language_code(text: str) -> str:
    """Return the code that `text` names: a code, an English name, a FLORES code or a common alias (`ja` is `jp`).

    Raises:
        ConfigError: no such language; the message lists the known ones.
    """
    key = text.strip().lower()
    code = _code_of(key)
    if code is None:
        hint = suggest(key, [*LANGUAGES, *(name for row in LANGUAGES.values() for name in sorted(row.names()))])
        raise ConfigError(f"unknown language {text!r}: expected one of {', '.join(LANGUAGES)}{hint}")
    return code


def any_language_code(text: str) -> str:
    """Return the code that `text` names, as `language_code`, or `text` itself where it is formed like a code (`nl`).

    A table of captions may be in any language.

    Raises:
        ConfigError: it is neither.
    """
    return _any_code_of(text.strip().lower()) or language_code(text)


def existing_language_code(text: str) -> str:
    """Return the code that `text` names, as `any_language_code`, where pecl knows that there is such a language.

    Known are the table's, all of ISO 639-1, and those of ISO 639-3 that FLORES-200 or lingua has.

    Raises:
        ConfigError: it is not known.
    """
    code = any_language_code(text)
    if code not in LANGUAGES and code.partition("_")[0] not in _EXISTING:
        raise ConfigError(f"unknown language {text!r}: expected an ISO 639 code such as de or ceb, or an English name")
    return code


def language_name(code: str) -> str:
    """Return `German (de)` for `de`, and a code without a name as it is."""
    return f"{LANGUAGES[code].name} ({code})" if code in LANGUAGES else code


def find_code(language: str, among: Iterable[str]) -> str:
    """Return the one of `among` that means `language`, such as `ja` for `jp`; `language` where there is none."""
    return next(iter(find_codes(language, among)), language)


def find_codes(language: str, among: Iterable[str]) -> list[str]:
    """Return the members of `among` that mean `language`, such as `ja` and `Japanese` for `jp`.

    If its own code is present, only that is returned; repeated members are returned repeatedly.
    """
    among = list(among)
    same = [code for code in among if (_code_of(code.lower()) or code.lower()) == language]
    return [code for code in same if code == language] or same


def find_name(name: str, among: Iterable[str]) -> str | None:
    """Return the one of `among` that is `name`, or that means the same language (`jp` for `ja`); None if there is none.

    Names in `among` need not be of languages.
    """
    among = list(among)
    if name in among:
        return name
    code = _any_code_of(name.strip().lower())
    return None if code is None else next(iter(find_codes(code, among)), None)


def flores_languages() -> dict[str, str]:
    """Return the FLORES-200 code of each language that has one, by its code."""
    return {code: row.flores for code, row in LANGUAGES.items() if row.flores}
