"""One form of a text, before anything else reads it: detection, a tokenizer, or a language's map of letters.

People paste and type the same text in many forms. `normalize_text` returns one of them: composed
letters (NFC), single spaces, no invisible characters, and lower case for a text that is all in
capitals. Well-formed text does not change.
"""

import re
import unicodedata

NORMALIZATION = 1  # version of the normal form: caches of token ids depend on it
LONGEST_ABBREVIATION = 4  # capitals; a text with more is read in lower case
DOTLESS_I = ("az", "crh", "tr")  # languages whose I is the capital of ı, and İ that of i
# Latin letters as wide as Chinese characters
FULL_WIDTH = re.compile("[\uff21-\uff3a\uff41-\uff5a]+")
HALF_WIDTH = re.compile("[\uff66-\uff9f]+")  # narrow Japanese letters
CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f]+")
INVISIBLE = re.compile("[\u00ad\u061c\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff]+")
JOINERS = re.compile("[\u200b-\u200d]+")  # the space, the non-joiner and the joiner, each of width 0
# Scripts whose spelling has joiners: Arabic to Myanmar, Khmer, Mongolian, later ones of India; and emoji
WITH_JOINERS = re.compile(
    "[\u0600-\u109f\u1700-\u1cff\u2600-\u27bf\ua800-\ua8ff\ua980-\uabff\U00010a00-\U00011fff\U0001f000-\U0001faff]"
)
_TURKIC = str.maketrans({"I": "ı", "İ": "i"})
_BESIDE_CAPITALS = "ßªº"  # letters that are no capitals, and that a text in capitals may have


def normalize_text(text: str, language: str | None = None) -> str:
    """Return the normal form of a text.

    Letters are composed (NFC), and full-width Latin and half-width Japanese letters get their usual
    width. White space of any kind and control characters become one space between words. Soft
    hyphens and marks of direction are dropped, and joiners of width 0 where the script has no use
    for them. A text becomes lower case if capitals are its only letters, and more than
    `LONGEST_ABBREVIATION`. So abbreviations in other scripts, such as GPS in Chinese, stay.

    Args:
        text: any text.
        language: its code, whose rules of lower case apply. If it is None, İ shows that I is the
            capital of ı.

    Example:
        >>> normalize_text("EIN  HUND")
        'ein hund'
        >>> normalize_text("KIZ SAHİLDE", "tr")
        'kız sahilde'
    """
    text = normalize_letters(text)
    return _lower(text, language) if _is_shouted(text) else text


def normalize_letters(text: str) -> str:
    """Return a text with the letters and spaces of its normal form, in the case in which it is written.

    `pecl.encoders.cleaning.normal_letters` has the same steps for the tokenizers of other packages.
    """
    text = HALF_WIDTH.sub(_usual_width, FULL_WIDTH.sub(_usual_width, text))
    text = INVISIBLE.sub("", CONTROLS.sub(" ", text))
    if not WITH_JOINERS.search(text):
        text = JOINERS.sub("", text)
    return unicodedata.normalize("NFC", " ".join(text.split()))


def _usual_width(letters: re.Match[str]) -> str:
    return unicodedata.normalize("NFKC", letters.group())


def _is_shouted(text: str) -> bool:
    """Return whether a text is in capitals: they are its only letters, and more than those of an abbreviation."""
    if text == text.lower():
        return False
    letters = [letter for letter in text if letter.isalpha() and letter not in _BESIDE_CAPITALS]
    if any(unicodedata.category(letter) not in ("Lu", "Lt", "Lm") for letter in letters):
        return False
    # Cherokee is usually written in capitals only, which Unicode's case folding keeps
    return sum(letter != letter.casefold() for letter in letters) > LONGEST_ABBREVIATION


def _lower(text: str, language: str | None) -> str:
    """Return a text in lower case. Python's rules include the final sigma of Greek, and ẞ."""
    has_dotless_i = "İ" in text if language is None else language in DOTLESS_I
    if has_dotless_i:
        text = text.translate(_TURKIC)
    return unicodedata.normalize("NFC", text.replace("İ", "i").lower())
