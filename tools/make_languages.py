"""Write the table of languages, `pecl/language/languages.tsv`, from CLDR and ISO 639 by way of `langcodes`.

    pip install langcodes language_data
    python tools/make_languages.py

Rows are the languages and scripts of FLORES-200, of ISO 639-1 and of GATITOS, and a few that data
sets and pretraining name. This script lists the facts that no library has: macrolanguages of ISO
639-3, regions, the languages of CC-100, on which XLM-R was trained (Conneau et al. 2020, appendix
A), and the names in translation models.
"""

from __future__ import annotations

import argparse
import re
from collections import Counter
from pathlib import Path

import langcodes
from transformers.models.m2m_100.tokenization_m2m_100 import FAIRSEQ_LANGUAGE_CODES as M2M100
from transformers.models.nllb.tokenization_nllb import FAIRSEQ_LANGUAGE_CODES as NLLB

from pecl.files import write_text

TABLE = Path(__file__).resolve().parents[1] / "pecl" / "language" / "languages.tsv"
HEAD = (
    *("code", "name", "endonym", "iso", "iso3", "flores", "script", "region", "pretrained", "aliases", "shared"),
    *("m2m100", "opus"),
)

# FLORES-200 as far as it is translated; Santali is written in another script there, and has no text
FLORES = sorted(set(NLLB) - {"sat_Beng"})
ISO_639_1 = """
    aa ab ae af ak am an ar as av ay az ba be bg bi bm bn bo br bs ca ce ch co cr cs cu cv cy da de dv dz ee el en
    eo es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy hz ia id ie ig ii ik io is it iu ja
    jv ka kg ki kj kk kl km kn ko kr ks ku kv kw ky la lb lg li ln lo lt lu lv mg mh mi mk ml mn mr ms mt my na nb
    nd ne ng nl nn nr nv ny oc oj om or os pa pi pl ps pt qu rm rn ro ru rw sa sc sd se sg si sk sl sm sn so sq sr
    ss st su sv sw ta te tg th ti tk tl tn to tr ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo za zh zu
"""  # without `no`, a macrolanguage, and `sh`, which is withdrawn
OTHERS = {"quz": "quz", "sr_latn": "srp", "sat": "sat"}  # of Crossmodal-3600; in CC-100; of NLLB
# Further languages and scripts of GATITOS by the territory of most speakers
GATITOS = {
    "BD": "ctg syl", "BR": "hrx", "CD": "ktu", "CI": "bci", "CL": "arn", "FM": "chk", "GH": "gaa", "GN": "sus",
    "GT": "kek mam quc", "ID": "bbc bew bts btx mad mak", "IN": "brx doi gom kha mni_mtei mwr sat_latn tcy trp",
    "IQ": "aii", "JM": "jam", "LY": "ayl", "MA": "tzm_latn", "ML": "bm_nkoo", "MM": "cnh rhg", "MU": "mfe",
    "MX": "nhe yua zap", "MY": "iba meo ms_arab", "NG": "efi iso pcm tiv", "NP": "new", "PH": "bik hil pam",
    "PK": "bal pa_arab skr", "RO": "rom", "RU": "ady bua chm kbd sah tyv udm", "SC": "crs", "SD": "apd", "SL": "kri",
    "TL": "tet", "TR": "zza", "UG": "ach alz cgg", "UZ": "kaa", "ZW": "dov ndc",
}  # fmt: skip

# FLORES code -> code in the table, where neither ISO 639-1 nor ISO 639-3 decides
WRITTEN = {
    "jpn_Jpan": "jp", "zho_Hans": "zh", "zho_Hant": "zh_hant", "ace_Arab": "ace_arab", "bjn_Arab": "bjn_arab",
    "kas_Deva": "ks_deva", "knc_Arab": "kr_arab", "knc_Latn": "kr", "taq_Tfng": "taq_tfng",
    "prs_Arab": "prs", "tgl_Latn": "tl", "pbt_Arab": "ps", "quy_Latn": "qu", "fuv_Latn": "ff",
    "dik_Latn": "dik", "gaz_Latn": "om", "twi_Latn": "tw",
}  # fmt: skip
# CLDR has another, or none
SCRIPT_OF = {"rhg": "Latn", "sr_latn": "Latn", "aii": "Syrc", "ayl": "Arab", "ctg": "Beng"}
NAMES = {
    "tl": "Tagalog", "prs": "Dari", "ku": "Northern Kurdish", "ckb": "Central Kurdish", "sr_latn": "Serbian (Latin)",
    "luo": "Luo", "to": "Tongan", "quz": "Cusco Quechua", "dik": "Southwestern Dinka", "ii": "Sichuan Yi",
    "ach": "Acholi", "gaa": "Gã", "bua": "Buryat", "chm": "Meadow Mari", "ktu": "Kituba", "mfe": "Mauritian Creole",
    "rom": "Romani",
    "bn": "Bengali", "sat": "Santali", "ilo": "Ilocano", "lus": "Mizo", "kac": "Jingpho", "tw": "Twi", "fa": "Persian",
}  # fmt: skip
SCRIPTS = {
    "Arab": "Arabic", "Deva": "Devanagari", "Tfng": "Tifinagh", "Hant": "Traditional", "Latn": "Latin",
    "Mtei": "Meitei", "Nkoo": "N'Ko",
}  # fmt: skip
ALIASES = {
    "cs": "cz", "zh": "zh_cn zh_hans cmn", "zh_hant": "zh_tw zh_hk zh_mo", "tl": "fil Filipino", "he": "iw",
    "yi": "ji", "ro": "mo mol Moldovan", "nb": "no nor Norwegian", "nn": "Nynorsk", "ny": "Chewa", "my": "Myanmar",
    "or": "Oriya", "fa": "Farsi", "nl": "Flemish", "ku": "Kurmanji Kurdish", "ckb": "Sorani", "ps": "Pushto",
    "el": "gr", "es": "Castilian", "ca": "Valencian", "si": "Sinhalese", "ht": "Haitian", "ky": "Kirghiz",
    "ug": "Uighur", "km": "Cambodian", "dv": "Maldivian", "ilo": "Iloko", "kac": "Kachin", "mni": "Meitei",
    "bn": "Bangla", "kr": "kau", "et": "ekk", "ak": "fat", "chm": "mhr Mari", "pa_arab": "pa_pk",
}  # fmt: skip
SHARED = {  # codes that name several rows: those of a macrolanguage, or a language in two scripts
    "no nor": "nb nn", "zh zho chi": "zh zh_hant yue", "sr srp": "sr sr_latn", "fa fas per": "fa prs",
    "ar ara": "ar acm acq aeb ajp apc ars ary arz", "az aze": "az azb", "ku kur": "ku ckb",
    "lv lav": "lv ltg", "ms msa may": "ms ms_arab id min bjn", "ks kas": "ks ks_deva", "kr kau": "kr kr_arab",
    "ace": "ace ace_arab", "bjn": "bjn bjn_arab", "taq": "taq taq_tfng", "qu que": "qu quz",
    "ak aka": "ak tw", "bm bam": "bm bm_nkoo", "mni": "mni mni_mtei", "pa pan": "pa pa_arab", "sat": "sat sat_latn",
    "tzm": "tzm tzm_latn",
}  # fmt: skip
CC_100 = """
    af am ar as az be bg bn br bs ca cs cy da de el en eo es et eu fa fi fr fy ga gd gl gu ha he hi hr hu hy id is it
    jp jv ka kk km kn ko ku ky la lo lt lv mg mk ml mn mr ms my ne nl nb om or pa pl ps pt ro ru sa sd si sk sl so sq
    sr sr_latn su sv sw ta te th tl tr ug uk ur uz vi xh yi zh zh_hant
"""
M2M100_NAMES = {"nso": "ns", "nb": "no", "nn": "no", "zh_hant": "zh"}
OPUS_NAMES = {"zh": "cmn_Hans zho_Hans cmn zho zh", "zh_hant": "cmn_Hant zho_Hant cmn zho zh"}

TERRITORIES = {  # of languages without a territory in CLDR, or with one far from most speakers
    "acm": "IQ", "acq": "YE", "ajp": "PS", "apc": "SY", "azb": "IR", "bjn": "ID", "bjn_arab": "ID", "cjk": "AO",
    "dik": "SS", "lus": "IN", "pbt": "AF", "prs": "AF", "quy": "PE", "quz": "PE", "taq": "ML", "taq_tfng": "ML",
    "kbp": "TG", "kr": "NG", "kr_arab": "NG", "tw": "GH", "sat": "IN", "ace": "ID", "ace_arab": "ID", "pt": "PT",
    "ae": "IR", "cu": "RU", "pi": "IN", "sa": "IN", "yi": "IL", "umb": "AO", "eo": "001", "ia": "001", "ie": "001",
    "io": "001", "vo": "001", "ydd": "IL", "ar": "SA", "en": "GB",
}  # fmt: skip
REGIONS = {
    "Africa": "AO BF BI BJ BW CD CF CG CI CM CV DZ EG ER ET GH GN KE LS LY MA MG ML MW MZ NA NE NG RW SD SN SO SS SZ "
    "TG TN TZ UG ZA ZM ZW SL LR GA LY MU SC",
    "Americas": "AW BO BR CA CL CW EC GL GT HT JM MX PE PY US",
    "East Asia": "CN HK JP KR MN TW",
    "Europe": "AD AL AT BA BE BG BY CH CY CZ DE DK EE ES FI FO FR GB GR HR HU IE IM IS IT LI LT LU LV MD ME MK MT NL "
    "NO PL PT RO RS RU SE SI SK UA VA",
    "Middle East and Central Asia": "AF AM AZ GE IL IQ IR JO KG KZ PS SA SY TJ TM TR UZ YE LB",
    "Pacific": "FJ FM GU MH NR NZ PF PG TO VU WS",
    "South Asia": "BD BT IN LK MV NP PK",
    "Southeast Asia": "ID KH LA MM MY PH SG TH TL VN",
    "constructed": "001",
}


def main() -> None:
    """Write the table."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    rows = [row_of_flores(code) for code in FLORES]
    there = {row["code"] for row in rows} | {"ja"}
    rows += [row_of(code, code) for code in ISO_639_1.split() if code not in there]
    rows += [row_of(code, iso3) for code, iso3 in OTHERS.items()]
    for code in " ".join(GATITOS.values()).split():
        base, _, script = code.partition("_")
        rows.append(row_of(code, base) | ({"script": script.title()} if script else {}))

    rows.sort(key=lambda row: row["code"])
    add_names(rows)
    lines = ["\t".join(row.get(column, "") for column in HEAD) for row in rows]
    write_text(TABLE, "\n".join(["\t".join(HEAD), *lines]) + "\n")
    print(f"{len(rows)} rows, {Counter(row['region'] for row in rows)}")


def row_of_flores(flores: str) -> dict[str, str]:
    """Return the row of a FLORES code, without its names."""
    iso3 = flores.partition("_")[0]
    standard = langcodes.standardize_tag(iso3, macro=True)
    code = WRITTEN.get(flores) or (standard if re.fullmatch("[a-z]{2}", standard) else iso3)
    return row_of(code, iso3) | {"flores": flores, "script": flores.partition("_")[2]}


def row_of(code: str, tag: str) -> dict[str, str]:
    """Return the row of a language that has this code, without its names; `tag` is any ISO code of it."""
    base = {"jp": "ja"}.get(code, code.partition("_")[0])
    language = langcodes.Language.get(base)
    likely = language.maximize()
    named = TERRITORIES | {code: territory for territory, codes in GATITOS.items() for code in codes.split()}
    territory = named.get(code) or named.get(tag) or likely.territory or ""
    regions = [region for region, members in REGIONS.items() if territory in members.split()]
    if len(regions) != 1:
        raise SystemExit(f"{code}: no region of {territory!r}")

    return {
        "code": code,
        "iso": base if len(base) == 2 and "_" not in code else "",
        "iso3": tag if len(tag) == 3 else langcodes.Language.get(tag, normalize=False).to_alpha3(),
        "script": SCRIPT_OF.get(code) or likely.script or "",
        "region": regions[0],
        "pretrained": "yes" if code in CC_100.split() else "",
        "shared": " ".join(codes for codes, members in SHARED.items() if code in members.split()),
        "m2m100": M2M100_NAMES.get(code, code if len(base) == 3 and code in M2M100["m2m100"] else ""),
        "opus": OPUS_NAMES.get(code, ""),
    }


def add_names(rows: list[dict[str, str]]) -> None:
    """Add English names, names in the language, and aliases; no name belongs to two rows."""
    for row in rows:
        code = row["code"]
        base = {"jp": "ja"}.get(row["code"], row["code"].partition("_")[0])
        name = re.sub(r" \((?!Latin)[^)]*\)", "", langcodes.Language.get(base, normalize=False).display_name())
        script = row["script"] if "_" in code and code != "sr_latn" else ""
        row["name"] = NAMES.get(code) or (f"{name} ({SCRIPTS[script]})" if script else name)

    taken = Counter(name for row in rows for name in primary(row))
    twice = [name for name, count in taken.items() if count > 1]
    if twice:
        raise SystemExit(f"names of two rows: {twice}")

    for row in rows:
        row["endonym"] = own_name(row, taken)
        codes = [] if "_" in row["code"] else other_codes(row)
        aliases = [*codes, *ALIASES.get(row["code"], "").split()]
        row["aliases"] = ";".join(alias for alias in dict.fromkeys(aliases) if alias.lower() not in taken)
        taken.update(alias.lower() for alias in row["aliases"].split(";") if alias)

    twice = [name for name, count in taken.items() if name and count > 1]
    if twice:
        raise SystemExit(f"names of two rows: {twice}")


def primary(row: dict[str, str]) -> set[str]:
    """Return the names that only this row may have."""
    exact = "" if "_" in row["code"] else row["iso3"]
    return {name.lower() for name in (row["code"], row["name"], row["iso"], row.get("flores", ""), exact) if name}


def own_name(row: dict[str, str], taken: Counter[str]) -> str:
    """Return a language's own name from CLDR; empty if CLDR has none, or if another row has the same name."""
    base = {"jp": "ja"}.get(row["code"], row["code"].partition("_")[0])
    tag = {"zh_hant": "zh-Hant", "sr_latn": "sr-Latn"}.get(row["code"], base)
    english = langcodes.Language.get(tag).display_name()
    autonym = langcodes.Language.get(tag).autonym()
    is_known = row["code"] == "en" or (autonym != english and "[" not in autonym)
    if not is_known or ("_" in row["code"] and tag == base):
        return ""
    if autonym.lower() in taken and autonym.lower() not in primary(row):
        return ""

    taken.update({autonym.lower()} - primary(row))
    return autonym


def other_codes(row: dict[str, str]) -> list[str]:
    """Return the ISO 639-2 and 639-3 codes of a language and its macrolanguage, and the name of its ISO 639-3 code."""
    codes = []
    if row["iso"]:
        language = langcodes.Language.get(row["iso"], normalize=False)
        codes = [language.to_alpha3(), language.to_alpha3(variant="B")]
    exact = langcodes.Language.get(row["iso3"], normalize=False).display_name()
    return [*codes, *([exact] if "(" not in exact and "[" not in exact else [])]


if __name__ == "__main__":
    main()
