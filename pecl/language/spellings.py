"""Other spellings of a text: as people type it in lower case, without marks or punctuation, or with errors.

`without_marks` leaves out what people of a language leave out. By default that is every mark of a
Latin or Greek letter. The tables below hold what Unicode's decomposition does not: letters such as
ł, digraphs such as German ae, scripts whose marks are part of their letters, and other scripts of a
language.
"""

import random
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence

from pecl.language.languages import LANGUAGES
from pecl.language.mixing import UNSPACED
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
# Languages with tones: every second text loses only these, and keeps other marks, such as the dot
# of Yoruba ọ
TONAL = ("ak", "bm", "dik", "dyu", "ee", "fon", "ig", "kbp", "ln", "nus", "sg", "yo")
_TONES = "\u0300\u0301\u0302\u0304\u030c"
_SHORT_VOWELS = re.compile("[\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06ed]")
_VARIATION_SELECTORS = frozenset(map(chr, range(0xFE00, 0xFE10)))
_POINTS = re.compile("[\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7]")  # of Hebrew: vowels and accents


def _pairs(text: str) -> dict[str, str]:
    return dict(pair.split(":") for pair in text.split())


# Cyrillic and Greek in Latin letters, as people type them
_RUSSIAN = _pairs(
    "а:a б:b в:v г:g д:d е:e ё:yo ж:zh з:z и:i й:y к:k л:l м:m н:n о:o п:p р:r с:s т:t у:u ф:f х:kh ц:ts ч:ch ш:sh "
    "щ:sch ъ: ы:y ь: э:e ю:yu я:ya"
)
_SERBIAN = _pairs(
    "а:a б:b в:v г:g д:d ђ:đ е:e ж:ž з:z и:i ј:j к:k л:l љ:lj м:m н:n њ:nj о:o п:p р:r с:s т:t ћ:ć у:u ф:f х:h ц:c "
    "ч:č џ:dž ш:š"
)
_GREEK = _pairs(
    "α:a β:v γ:g δ:d ε:e ζ:z η:i θ:th ι:i κ:k λ:l μ:m ν:n ξ:x ο:o π:p ρ:r σ:s ς:s τ:t υ:y φ:f χ:ch ψ:ps ω:o"
)
IN_LATIN: dict[str, dict[str, str]] = {
    "ru": _RUSSIAN,
    "be": _RUSSIAN | _pairs("і:i ў:u г:h"),
    "uk": _RUSSIAN | _pairs("г:h ґ:g и:y і:i ї:yi є:ye"),
    "bg": _RUSSIAN | _pairs("х:h щ:sht ъ:a ь:y"),
    "mk": _SERBIAN | _pairs("ѓ:g ќ:k ѕ:dz џ:dz ж:z ч:c ш:s"),
    "mn": _RUSSIAN | _pairs("ө:o ү:u х:h"),
    "kk": _RUSSIAN | _pairs("ә:a ғ:g қ:k ң:n ө:o ұ:u ү:u һ:h і:i"),
    "ky": _RUSSIAN | _pairs("ң:n ө:o ү:u"),
    "tg": _RUSSIAN | _pairs("ғ:g ӣ:i қ:q ӯ:u ҳ:h ҷ:j"),
    "tt": _RUSSIAN | _pairs("ә:a ө:o ү:u җ:j ң:n һ:h"),
    "ba": _RUSSIAN | _pairs("ә:a ө:o ү:u ғ:g ҡ:k ң:n ҙ:z ҫ:s һ:h"),
    "el": _GREEK,
    "sr": _SERBIAN,
}
IN_CYRILLIC: dict[str, dict[str, str]] = {"sr_latn": {latin: letter for letter, latin in _SERBIAN.items()}}

# Rows of keys, each beside its neighbours in the row
_QWERTY = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
_QWERTZ = ("qwertzuiopü", "asdfghjklöä", "yxcvbnm")
_ROWS = {
    "Latn": _QWERTY,
    "Cyrl": ("йцукенгшщзхъ", "фывапролджэ", "ячсмитьбю"),
    "Grek": ("ςερτυθιοπ", "ασδφγηξκλ", "ζχψωβνμ"),
    "Hebr": ("קראטוןםפ", "שדגכעיחלך", "זסבהנמצת"),
    "Arab": ("ضصثقفغعهخحج", "شسيبلاتنمك", "ئءؤرىةوزظ"),
}
_ROWS_OF = {
    **dict.fromkeys(("de", "cs", "sk", "hu", "hr", "sl", "bs", "sr_latn", "lb"), _QWERTZ),
    "fr": ("azertyuiop", "qsdfghjklm", "wxcvbn"),
}
SHARE_OF_ERRORS = 0.1  # of the words
_LEAST_LETTERS = 4  # of a word with an error
_WORD = re.compile(r"[^\W\d_]+")
_MARKS_INSIDE = re.compile(r"(?<=\w)['’-](?=\w)")


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


def without_marks(text: str, language: str, *, tones_only: bool = False) -> str:
    """Return a text as people of the language type it without its marks; the same text if it has none of these.

    Args:
        text: a text in normal form, see `normalize_text`.
        language: its code.
        tones_only: for languages in `TONAL`: keep other marks.
    """
    script = _script(language)
    if script in _UNMARKED:
        return _UNMARKED[script](text, language)
    if script not in ("Latn", "Grek"):
        return text

    if tones_only and language in TONAL:
        letters = (character for character in unicodedata.normalize("NFD", text) if character not in _TONES)
        return unicodedata.normalize("NFC", "".join(letters))

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


def without_punctuation(text: str) -> str:
    """Return a text without punctuation, except apostrophes and hyphens inside words."""
    inside = {match.start() for match in _MARKS_INSIDE.finditer(text)}
    letters = (
        character if i in inside or unicodedata.category(character)[0] != "P" else " "
        for i, character in enumerate(text)
    )
    return " ".join("".join(letters).split())


def in_other_script(text: str, language: str) -> str | None:
    """Return a text in the other script in which people write the language; None if there is none."""
    if language in IN_CYRILLIC:
        return _replaced(text, IN_CYRILLIC[language])
    return _replaced(text, IN_LATIN[language]) if language in IN_LATIN else None


def _replaced(text: str, letters: dict[str, str]) -> str:
    """Replace letters, the longest first; a capital's replacement begins with a capital."""
    if letters is _GREEK:
        text = without_marks(text, "el")
    replacements = letters | {letter.capitalize(): replacement.capitalize() for letter, replacement in letters.items()}
    pattern = "|".join(map(re.escape, sorted(replacements, key=len, reverse=True)))
    return re.sub(pattern, lambda match: replacements[match.group()], text)


def with_errors(
    text: str,
    language: str,
    draws: random.Random,
    share: float = SHARE_OF_ERRORS,
) -> str:
    """Return a text with a typing error in a share of its words of four letters or more.

    An error is a neighbouring key, two letters swapped, or one left out. Scripts without spaces
    between words, which people type in another way, do not change.
    """
    if _script(language) in UNSPACED:
        return text
    return _WORD.sub(
        lambda match: _mistyped(match.group(), language, draws) if draws.random() < share else match.group(), text
    )


def with_one_error(text: str, language: str, draws: random.Random) -> str:
    """Return a text with a typing error in one of its words; the same text if none has four letters."""
    words = [match for match in _WORD.finditer(text) if len(match.group()) >= _LEAST_LETTERS]
    if not words or _script(language) in UNSPACED:
        return text
    word = draws.choice(words)
    return text[: word.start()] + _mistyped(word.group(), language, draws) + text[word.end() :]


def _mistyped(word: str, language: str, draws: random.Random) -> str:
    if len(word) < _LEAST_LETTERS:
        return word

    position = draws.randrange(1, len(word) - 1)  # people seldom err in the first letter
    error = draws.choice(("neighbour", "swapped", "left out"))
    if error == "neighbour":
        keys = _neighbours(word[position].lower(), language)
        if keys:
            return word[:position] + draws.choice(keys) + word[position + 1 :]
    if error == "swapped" and word[position] != word[position + 1]:
        return word[:position] + word[position + 1] + word[position] + word[position + 2 :]
    return word[:position] + word[position + 1 :]


def _neighbours(letter: str, language: str) -> list[str]:
    """Return the keys beside a letter's key, and those above and below it."""
    rows = _ROWS_OF.get(language) or _ROWS.get(_script(language), ())
    for number, row in enumerate(rows):
        column = row.find(letter)
        if column >= 0:
            around = [row[i] for i in (column - 1, column + 1) if 0 <= i < len(row)]
            adjacent_rows = [rows[i] for i in (number - 1, number + 1) if 0 <= i < len(rows)]
            return around + [adjacent_row[column] for adjacent_row in adjacent_rows if column < len(adjacent_row)]

    return []


def _script(language: str) -> str:
    row = LANGUAGES.get(language)
    return "" if row is None else row.script


SHARES = {"lower": 0.6, "marks": 0.6, "punctuation": 0.3, "script": 0.25, "errors": 0.5}  # of respelled texts


def respell(texts: Sequence[str], language: str) -> Iterator[str]:
    """Yield each text in another spelling; equal calls give the same spellings.

    Each spelling is a draw: lower case, without marks, without punctuation, in another script and
    with errors, each with its share in `SHARES`, and so also several at once.
    """
    draws = random.Random(0)
    for text in texts:
        changes = {name for name, share in SHARES.items() if draws.random() < share}
        if "lower" in changes:
            text = lower(text, language)

        if "marks" in changes:
            text = without_marks(text, language, tones_only=draws.random() < 0.5)

        if "punctuation" in changes:
            text = without_punctuation(text) or text

        if "script" in changes:
            text = in_other_script(text, language) or text

        if "errors" in changes:
            text = with_errors(text, language, draws)
        yield text


AS_WRITTEN = "as written"
# How people type a text, for tests: name -> function of the text and its language's code
SPELLINGS: dict[str, Callable[[str, str], str]] = {
    AS_WRITTEN: lambda text, language: text,
    "lower case": lower,
    "capitals": upper,
    "no marks": without_marks,
    "lower case, no marks": lambda text, language: without_marks(lower(text, language), language),
    "one error": lambda text, language: with_one_error(text, language, random.Random(text)),
}
