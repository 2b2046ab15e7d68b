"""Changes that a tower makes to a text before its tokenizer, by name.

`lower` is SigLIP's: lower case. `whitespace` and `canonicalize` are open_clip's own, which mend the encoding, undo HTML
entities and collapse white space; the latter also lowers the case and drops punctuation.
"""

import copy
import re
import string
from collections.abc import Callable
from functools import cache
from typing import Any

from tokenizers import Regex, normalizers

from pecl.errors import ConfigError, WeightsError, install, unknown

LOWER, WHITESPACE, CANONICALIZE = "lower", "whitespace", "canonicalize"
CLEANINGS = (LOWER, WHITESPACE, CANONICALIZE)


@cache
def cleaning(name: str) -> Callable[[str], str]:
    """Return the function of the cleaning `name`; open_clip's own need that package."""
    if name == LOWER:
        return str.lower
    if name not in CLEANINGS:
        raise WeightsError(unknown("cleaning of texts", name, CLEANINGS))
    try:
        from open_clip.tokenizer import get_clean_fn
    except ImportError as error:
        raise WeightsError(
            f"the cleaning {name!r} of texts needs open_clip: {install('openclip')} ({error})"
        ) from error
    return get_clean_fn(name)


def with_cleaning(tokenizer: Any, name: str) -> Any:
    """Return a copy of a tokenizer that cleans texts itself, for files that are used without pecl.

    It does all of the cleaning `name` but open_clip's mending of encodings and HTML entities. Only tokenizers of the
    tokenizers library can be changed.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise ConfigError(
            f"a {type(tokenizer).__name__} cannot be written with the cleaning {name!r}: expected a fast tokenizer"
        )
    copied = copy.deepcopy(tokenizer)
    before = [*_STEPS[name], *([backend.normalizer] if backend.normalizer is not None else [])]
    copied.backend_tokenizer.normalizer = normalizers.Sequence(before)
    return copied


_SPACES = (normalizers.Replace(Regex(r"\s+"), " "), normalizers.Strip())
_PUNCTUATION = (normalizers.Replace("_", " "), normalizers.Replace(Regex(f"[{re.escape(string.punctuation)}]"), ""))
_STEPS = {
    LOWER: (normalizers.Lowercase(),),
    WHITESPACE: _SPACES,
    CANONICALIZE: (*_PUNCTUATION, normalizers.Lowercase(), *_SPACES),
}
