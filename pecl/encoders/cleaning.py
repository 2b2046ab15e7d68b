"""Changes that a tower makes to a text before its tokenizer, by name.

`lower` is SigLIP's: lower case. `whitespace` and `canonicalize` are open_clip's own, which mend the encoding, undo HTML
entities and collapse white space; the latter also lowers the case and drops punctuation.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from pecl.errors import WeightsError, unknown

LOWER, WHITESPACE, CANONICALIZE = "lower", "whitespace", "canonicalize"
CLEANINGS = (LOWER, WHITESPACE, CANONICALIZE)


@cache
def cleaning(name: str) -> Callable[[str], str]:
    """Return the function of the cleaning `name`.

    Raises:
        WeightsError: no such cleaning, or open_clip, whose it is, is not installed.
    """
    if name == LOWER:
        return str.lower
    if name not in CLEANINGS:
        raise WeightsError(unknown("cleaning of texts", name, CLEANINGS))
    try:
        from open_clip.tokenizer import get_clean_fn
    except ImportError as error:
        raise WeightsError(
            f"the cleaning {name!r} of texts needs open_clip: pip install 'pecl[openclip]' ({error})"
        ) from error
    return get_clean_fn(name)
