"""Other spellings of a text: as people type it in lower case, in capitals, or without marks.

`without_marks` leaves out what people of a language leave out. By default that is every mark of a
Latin or Greek letter. The tables below hold what Unicode's decomposition does not: letters such as
ł, digraphs such as German ae, and scripts whose marks are part of their letters.
"""

import re
import unicodedata
from collections.abc import Callable
from functools import cache

from pecl.language.languages import LANGUAGES
from pecl.language.normalization import DOTLESS_I

Translation = dict[int, str]  # as in `str.translate`

APOSTROPHES = str.maketrans(dict.fromkeys("ʻʼ‘’ʽ", "'"))
# Latin letters that Unicode does not decompose, in the letters of a keyboard without them
_LETTERS = str.maketrans(
    dict(zip("đłøıħŧðɓɗƙƴɛɔəŋɖƒɣɩʋĸ", "dloihtdbdkyeoendfgivk", strict=True))
    | dict(zip("ĐŁØĦŦÐƁƊƘƳƐƆƏŊƉƑƔƖƲ", "DLOHTDBDKYEOENDFGIV", strict=True))
    | {"ß": "ss", "æ": "ae", "Æ": "Ae", "œ": "oe", "Œ": "Oe", "þ": "th", "Þ": "Th"}
    | APOSTROPHES
)
# What people of a language type for a letter, where that is not the letter without its mark
_GERMAN = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss", "Ä": "Ae", "Ö": "Oe", "Ü": "Ue"})
_DANISH = str.maketrans({"æ": "ae", "ø": "oe", "å": "aa", "Æ": "Ae", "Ø": "Oe", "Å": "Aa"})
_ARABIC = str.maketrans({**dict.fromkeys("أإآٱ", "ا"), "ؤ": "و", "ئ": "ي", "ة": "ه", "ى": "ي", "ء": "", "ـ": ""})
# Languages other than Arabic in its script. Most write ی and ک, for which an Arabic keyboard has ي and ك
_OTHER_ARABIC = str.maketrans({**dict.fromkeys("أإآٱ", "ا"), "ؤ": "و", "ة": "ه", "ۀ": "ه", "\u200c": " "})
_PERSIAN = _OTHER_ARABIC | str.maketrans({"ي": "ی", "ك": "ک"})
_CYRILLIC = str.maketrans({"ё": "е", "Ё": "Е", "ґ": "г", "Ґ": "Г", "ѐ": "е", "ѝ": "и"})
_DEVANAGARI = str.maketrans({"\u093c": "", "\u0901": "\u0902"})  # nukta, chandrabindu
TYPED: dict[str, Translation] = {
    **dict.fromkeys(("de", "lb"), _GERMAN),
    **dict.fromkeys(("da", "nb", "nn", "fo"), _DANISH),
}
# Languages whose marks are tones, next to others such as the dot of Yoruba ọ
TONAL = ("ak", "bm", "dik", "dyu", "ee", "fon", "ig", "kbp", "ln", "nus", "sg", "yo")
_SHORT_VOWELS = re.compile("[\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06ed]")
_VARIATION_SELECTORS = frozenset(map(chr, range(0xFE00, 0xFE10)))
_POINTS = re.compile("[\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7]")  # of Hebrew: vowels and accents


def lower(text: str, language: str) -> str:
    """Return a text in lower case by the language's rules."""
    if language in DOTLESS_I:
        text = text.replace("I", "ı").replace("İ", "i")
    return text.lower()


def upper(text: str, language: str) -> str:
    """Return a text in capitals by the language's rules; German ß becomes SS."""
    if language in DOTLESS_I:
        text = text.replace("i", "İ")
    return text.upper()


def without_marks(text: str, language: str) -> str:
    """Return a text as people of the language type it without its marks; the same text if it has none of these.

    Args:
        text: a text in normal form, see `normalize_text`.
        language: its code.
    """
    script = _script(language)
    if script in _UNMARKED:
        return _UNMARKED[script](text, language)
    if script not in ("Latn", "Grek"):
        return text

    return _plain(text, TYPED.get(language, {}))


def typed_forms(word: str, language: str) -> set[str]:
    """Return what people of the language type for a word without marks: schoen and schon for German schön."""
    forms = {without_marks(word, language)}
    if language in TYPED:
        forms.add(_plain(word, {}))
    return forms


def _plain(text: str, letters: Translation) -> str:
    """Return a text in Latin or Greek letters without marks; `letters` are replaced first."""
    text = text.translate(letters).translate(_LETTERS).replace("İ", "I")
    bases = (character for character in unicodedata.normalize("NFD", text) if not _is_mark(character))
    return unicodedata.normalize("NFC", "".join(bases))


@cache
def _is_mark(character: str) -> bool:
    """Return whether a character is the mark of a letter; a variation selector, as of an emoji, is none."""
    return unicodedata.category(character) == "Mn" and character not in _VARIATION_SELECTORS


def _arabic(text: str, language: str) -> str:
    table = _PERSIAN
    if language in _OF_ARABIC:
        table = _ARABIC
    elif language in _WITH_ARABIC_LETTERS:
        table = _OTHER_ARABIC

    return " ".join(_SHORT_VOWELS.sub("", text).translate(table).split())


_OF_ARABIC = ("ar", "ary", "arz", "apc", "apd", "ajp", "acm", "acq", "aeb", "ars", "ayl")
# Other languages that write ي: in their published text it is more frequent than ی
_WITH_ARABIC_LETTERS = ("ace_arab", "bjn_arab", "kr_arab", "ms_arab", "sd", "ug")
_UNMARKED: dict[str, Callable[[str, str], str]] = {
    "Arab": _arabic,
    "Hebr": lambda text, _: _POINTS.sub("", text),
    "Cyrl": lambda text, _: text.replace("\u0301", "").translate(_CYRILLIC),
    "Deva": lambda text, _: text.translate(_DEVANAGARI),
}


def _script(language: str) -> str:
    row = LANGUAGES.get(language)
    return "" if row is None else row.script
