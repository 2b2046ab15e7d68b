"""Write `pecl/encoders/loading/letters.json`: letters that XLM-R's vocabulary lacks, with replacements.

    python scripts/make_letters.py

A letter is replaced by the sound in its Unicode name, which is stable: TIBETAN LETTER KA as k, TIFINAGH LETTER YAB as
b. The result for Tibetan is close to Wylie's transliteration, without the vowel that its letters imply. Arabic letters
of Acehnese, Banjar and Kashmiri are replaced by their base letter, such as AIN WITH THREE DOTS ABOVE by AIN.
"""

import unicodedata

from pecl.encoders.loading import e5
from pecl.files import write_json

_TIBETAN, _TIFINAGH, _ARABIC = range(0x0F00, 0x1000), range(0x2D30, 0x2D80), "ڠڬڽݢۄۏ"
_DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def known_letters() -> dict[str, str]:
    """Return the replacement of each such character; NFKC precedes it."""
    scripts = [chr(codepoint) for script in (_TIBETAN, _TIFINAGH) for codepoint in script]
    whole = [one for one in (*scripts, *_ARABIC) if unicodedata.normalize("NFKC", one) == one]
    known = {one: _known(unicodedata.name(one, "")) for one in whole}
    return {one: text for one, text in known.items() if text}


def _known(name: str) -> str:
    """Return the replacement of the character with a Unicode name; empty if it stays unchanged."""
    script, *words = name.split() or ["NONE", "NONE"]
    sound = words[-1].lower()
    match script:
        case "ARABIC":
            return unicodedata.lookup(name.partition(" WITH ")[0])
        case "TIFINAGH" if words[0] == "LETTER":  # ya is a, yab b, yu u, yey e
            return {"yey": "e"}.get(sound, sound[1:].removeprefix("a") or "a")
        case "TIBETAN" if "LETTER" in words:  # ka is k, -a is ', a is a
            return sound.removesuffix("a").replace("-", "'") or "a"
        case "TIBETAN" if "VOWEL" in words:
            return sound
        case "TIBETAN" if words[:-1] == ["DIGIT"]:
            return str(_DIGITS.index(sound))
        case "TIBETAN" if "SHAD" in words:  # the end of a sentence
            return ","
        case "TIBETAN" if "TSHEG" in words:  # the end of a syllable
            return " "
        case _:
            return ""


if __name__ == "__main__":
    write_json(e5.LETTERS, known_letters())
