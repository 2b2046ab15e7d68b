"""Write `pecl/encoders/loading/letters.json`: letters that XLM-R's vocabulary lacks, and the text read for them.

    python scripts/make_letters.py

A letter is read as the sound in its Unicode name, which never changes: TIBETAN LETTER KA as k, TIFINAGH LETTER YAB as
b. So Tibetan is much as in Wylie's transliteration, without the vowel that its letters imply. Arabic letters of
Acehnese, Banjar and Kashmiri are read as the letter that they are made from, such as AIN WITH THREE DOTS ABOVE as AIN.
"""

import unicodedata

from pecl.encoders.loading import e5
from pecl.files import write_json

_TIBETAN, _TIFINAGH, _ARABIC = range(0x0F00, 0x1000), range(0x2D30, 0x2D80), "ڠڬڽݢۄۏ"
_DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def known_letters() -> dict[str, str]:
    """Return the text that is read for each such character, after NFKC."""
    scripts = [chr(codepoint) for script in (_TIBETAN, _TIFINAGH) for codepoint in script]
    whole = [one for one in (*scripts, *_ARABIC) if unicodedata.normalize("NFKC", one) == one]
    known = {one: _known(unicodedata.name(one, "")) for one in whole}
    return {one: text for one, text in known.items() if text}


def _known(name: str) -> str:
    """Return the text for the character of a Unicode name; nothing for one that stays as it is."""
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
