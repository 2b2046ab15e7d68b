"""Changes that a tower makes to a text before its tokenizer, by name.

`lower` is SigLIP's: lower case. The others are open_clip's: they repair the encoding, decode HTML
entities and collapse white space. `whitespace_lower`, which open_clip calls `lower`, also lowers
the case. `canonicalize` lowers the case and drops punctuation.
"""

import re
import string
import unicodedata
from collections.abc import Callable
from functools import cache

from tokenizers import Regex, normalizers

from pecl.errors import WeightsError, install, unknown
from pecl.language.normalization import CONTROLS, FULL_WIDTH, HALF_WIDTH, INVISIBLE, JOINERS, WITH_JOINERS

LOWER = "lower"
WHITESPACE = "whitespace"
WHITESPACE_LOWER = "whitespace_lower"
CANONICALIZE = "canonicalize"
CLEANINGS = (LOWER, WHITESPACE, WHITESPACE_LOWER, CANONICALIZE)


@cache
def cleaning(name: str) -> Callable[[str], str]:
    """Return the cleaning `name`, text to text. Raise WeightsError if it is unknown or needs the missing open_clip."""
    if name == LOWER:
        return str.lower
    if name not in CLEANINGS:
        raise WeightsError(unknown("cleaning of texts", name, CLEANINGS))

    try:
        from open_clip.tokenizer import get_clean_fn
    except ImportError as error:
        raise WeightsError(f"the cleaning {name!r} needs open_clip: {install('openclip')} ({error})") from error

    return get_clean_fn("lower" if name == WHITESPACE_LOWER else name)


def normal_letters(prefix: str = "") -> list[normalizers.Normalizer]:
    """Return the steps of a tokenizer's normalizer that do what `pecl.language.normalization.normalize_letters` does.

    Texts in capitals stay in capitals: a normalizer has no step for a condition on a whole text. `prefix` is the
    tower's, which keeps its last space if it comes with the text, and the text is empty.
    """
    unusual_width = [letter for i in range(0x10000) if _UNUSUAL_WIDTH.match(letter := chr(i))]
    anything, with_joiners = "(?m:.*)", WITH_JOINERS.pattern
    joiners = rf"{JOINERS.pattern}(?!{anything}{with_joiners})(?<!{with_joiners}{anything})"
    return [
        *(normalizers.Replace(letter, unicodedata.normalize("NFKC", letter)) for letter in unusual_width),
        normalizers.Replace(Regex(CONTROLS.pattern), " "),
        normalizers.Replace(Regex(INVISIBLE.pattern), ""),
        normalizers.Replace(Regex(joiners), ""),
        normalizers.Replace(Regex(r"\s+"), " "),
        normalizers.Replace(Regex(rf"\A | (?<!\A{re.escape(prefix)})\z"), ""),
        normalizers.NFC(),
    ]


def normalizer_of(name: str) -> list[normalizers.Normalizer]:
    """Return the steps of a tokenizer's normalizer that clean a text as `cleaning(name)` does.

    HTML entities and wrongly decoded text stay as they are: no normalizer can repair them.
    """
    punctuation = _PUNCTUATION if name == CANONICALIZE else ()
    lower = () if name == WHITESPACE else _lower()
    return [*lower] if name == LOWER else [*_mend(), *punctuation, *lower, *_SPACES]


def _lower() -> list[normalizers.Normalizer]:
    """Return the steps of `str.lower`, which, unlike `Lowercase`, writes a sigma at the end of a word as ς."""
    ignored, cased = r"\p{Case_Ignorable}", r"[\p{Cased}&&[^\p{Case_Ignorable}]]"
    final = rf"(?<={cased}{ignored}*)\u03a3(?!{ignored}*{cased})"
    return [normalizers.Replace(Regex(final), "\u03c2"), normalizers.Lowercase()]


def _mend() -> list[normalizers.Normalizer]:
    """Return the steps of ftfy's `fix_text` that need no context: letter forms, quotes, control characters."""
    from ftfy import chardata

    forms = {chr(i): plain for table in (chardata.LIGATURES, chardata.WIDTH_MAP) for i, plain in table.items()}
    controls = "".join(map(re.escape, map(chr, chardata.CONTROL_CHARS)))
    return [
        *(normalizers.Replace(form, plain) for form, plain in forms.items()),
        normalizers.Replace(Regex(chardata.SINGLE_QUOTE_RE.pattern), "'"),
        normalizers.Replace(Regex(chardata.DOUBLE_QUOTE_RE.pattern), '"'),
        normalizers.Replace(Regex(r"\x1b\[[\d;]*[a-zA-Z]"), ""),  # colours of a terminal
        normalizers.Replace(Regex(f"[{controls}]"), ""),
        normalizers.NFC(),
    ]


_UNUSUAL_WIDTH = re.compile(f"{FULL_WIDTH.pattern}|{HALF_WIDTH.pattern}")
_SPACES = (normalizers.Replace(Regex(r"\s+"), " "), normalizers.Strip())
_PUNCTUATION = (normalizers.Replace("_", " "), normalizers.Replace(Regex(f"[{re.escape(string.punctuation)}]"), ""))
