"""Write `pecl/encoders/loading/letters.json`: letters that XLM-R's vocabulary lacks, with replacements.

    python tools/make_letters.py

A letter is replaced by the sound in its Unicode name, which is stable: TIBETAN LETTER KA as k,
TIFINAGH LETTER YAB as b, THAANA LETTER NOONU as n, CANADIAN SYLLABICS PE as pe. The result for
Tibetan is close to Wylie's transliteration, without the vowel that its letters imply. N'Ko is close
to Bambara in Latin letters. Arabic letters of Acehnese, Banjar and Kashmiri are replaced by their
base letter, such as AIN WITH THREE DOTS ABOVE by AIN.
"""

import argparse
import re
import unicodedata

from pecl.encoders.loading import e5
from pecl.files import write_json

_SCRIPTS = (  # code points
    range(0x0780, 0x07C0),  # Thaana
    range(0x07C0, 0x0800),  # N'Ko
    range(0x0F00, 0x1000),  # Tibetan
    range(0x1401, 0x1680),  # Canadian syllabics
    range(0x2D30, 0x2D80),  # Tifinagh
    range(0xABC0, 0xAC00),  # Meitei
)
_ARABIC = "ڠڬڽݢۄۏ"
_DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_NKO_VOWELS = {"ee": "e", "e": "ɛ", "oo": "o", "o": "ɔ"}
_KINDS = {"MAYEK", "LETTER", "JONA"}  # in names, before the letter's own
_SILENT = {"ALIFU", "AINU", "SUKUN", "IYEK", "DAGBASINNA", "TONE", "DOUBLE"}  # in names: no sound, or a tone


def known_letters() -> dict[str, str]:
    """Return the replacement of each such character; NFKC precedes it."""
    scripts = [chr(codepoint) for script in _SCRIPTS for codepoint in script]
    whole = [letter for letter in (*scripts, *_ARABIC) if unicodedata.normalize("NFKC", letter) == letter]
    known = {letter: _known(unicodedata.name(letter, "")) for letter in whole}
    return {letter: text for letter, text in known.items() if text is not None}


def _known(name: str) -> str | None:
    """Return the replacement of the character with a Unicode name; None if it stays unchanged."""
    script, *words = name.split() or ["NONE", "NONE"]
    sound = words[-1].lower()
    match script:
        case _ if words[-2:-1] == ["DIGIT"]:
            return str(_DIGITS.index(sound))
        case "ARABIC":
            return unicodedata.lookup(name.partition(" WITH ")[0])
        case "TIFINAGH" if words[0] == "LETTER":  # ya is a, yab b, yu u, yey e
            return {"yey": "e"}.get(sound, sound[1:].removeprefix("a") or "a")
        case "TIBETAN" if "LETTER" in words:  # ka is k, -a is ', a is a
            return sound.removesuffix("a").replace("-", "'") or "a"
        case "TIBETAN" if "VOWEL" in words:
            return sound
        case "TIBETAN" if "SHAD" in words:  # the end of a sentence
            return ","
        case "TIBETAN" if "TSHEG" in words:  # the end of a syllable
            return " "
        case "CANADIAN" if len(words) == 2:  # those of Inuktitut; each letter takes time in every text
            if re.fullmatch("(?:[ptkcmnlsyrfqh]|n?ng|lh)?(?:ii?|oo?|aa?)?", sound):
                return sound
            return None
        case "THAANA" | "NKO" | "MEETEI" if _SILENT & set(words):
            return "'" if sound == "apostrophe" else ""
        case "THAANA" if words[0] != "LETTER":  # aabaafili is aa, ibifili i
            return sound.partition("b")[0]
        case "MEETEI" if "VOWEL" in words:  # inap is i, sounap ou, nung ng
            return {"nung": "ng"}.get(sound, re.sub("^[^aeiou]+|nap$", "", sound))
        case "NKO" if "NASALIZATION" in words:
            return "n"
        case "THAANA" | "NKO" | "MEETEI" if "LETTER" in words:  # noonu is n, shaviyani sh, kok k
            word_of_letter = next(word for word in words if word not in _KINDS).lower()
            sound = re.findall("[^aeiou]+|[aeiou]+", word_of_letter)[0]
            return _NKO_VOWELS.get(sound, sound) if script == "NKO" else sound
        case _:
            return None


def main() -> None:
    """Write the letters."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    write_json(e5.LETTERS, known_letters())


if __name__ == "__main__":
    main()
