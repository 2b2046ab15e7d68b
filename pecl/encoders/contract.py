"""The promise of every export: its own package, which opens it as docs/interop.md shows, gives the tower's embeddings.

`texts_for` is the list of texts that each export is compared on when it is written. These are not promised:

- HTML entities and text in a wrong encoding, where the tower has open_clip's cleaning, which mends them.
- open_clip and immich clean every text: they embed it as the tower embeds the cleaned text.
- A text that spells the token of padding, where the package tells padding by its token.
- An empty text and one that begins with a special token, where a prefix is part of the tokenizer: the tower has one
  more token behind the prefix.
"""

import importlib.util
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from pecl.encoders.tokenizing import Tokenizing
from pecl.errors import PeclError, RunError, one_line

logger = logging.getLogger(__name__)

TOLERANCE = 1e-5  # of each number of an embedding of length 1
EMPTY, LONG = "empty", "500 words"
TEXTS: dict[str, str] = {
    "plain": "a dog on the beach",
    "capitals": "A DOG, A CAT!",
    "punctuation": 'two (red) boats; "no_one\'s" - 50 %?',
    "spaces": "  two  spaces ",
    "tabs": "a\tdog\t\ton",
    "line breaks": "a dog\non the\r\nbeach\n",
    "no-break space": "a\u00a0dog\u2003on\u3000it",
    "decomposed": "pe\u0301s na pla\u0301z\u030ci",
    "full width": "ＡＢ１２！ ｶﾞ",
    "quotes": "“dog” and ‘cat’s’ ﬁn",
    "emoji": "🐕 on 👨‍👩‍👧 🏖️",
    "Arabic": "كلبٌ على الشاطئ",
    "Thai": "สุนัขบนชายหาด",
    "Japanese": "犬が走る",
    "Greek": "ΣΟΦΟΣ, ὈΔΥΣΣΕΎΣ ΣΑΣ.",
    "Turkish": "İSTANBUL'DA IŞIK",
    EMPTY: "",
    LONG: "word " * 500,
}

Embed = Callable[[Sequence[str]], Any]  # texts -> (N, D), of length 1


def texts_for(tower: Tokenizing, *, has_prefix: bool = False, pads_by_token: bool = False) -> dict[str, str]:
    """Return the texts that an export of a tower is compared on, by name.

    Args:
        tower: the tower, whose tokenizer has the special tokens.
        has_prefix: whether the tower's prefix, if it has one, is part of the export's tokenizer.
        pads_by_token: whether the package takes every token of padding for padding, also within a text.
    """
    tokenizer = getattr(tower.tokenizer, "in_transformers", tower.tokenizer)
    padding, end = tokenizer.pad_token, tokenizer.eos_token or tokenizer.sep_token
    texts = dict(TEXTS)
    if has_prefix and tower.text_prefix:
        del texts[EMPTY]
    elif end is not None:
        texts["end of text first"] = f"{end} a dog"
    if end is not None:
        texts["end of text"] = f"a dog {end} b {end.upper()} c"
    if not pads_by_token:
        texts["padding"] = f"a dog {padding} b {padding.upper()} c {padding}"
        texts |= {} if has_prefix and tower.text_prefix else {"padding first": f"{padding} a dog"}
    return texts


def check(package: str, found: Embed, expected: Embed, texts: Mapping[str, str]) -> None:
    """Raise RunError, which shows the text, if embeddings of `texts`, by name, differ by more than `TOLERANCE`."""
    name, difference = next(iter(differences(found, expected, texts).items()))
    if not difference <= TOLERANCE:
        raise RunError(
            f"{package} would embed the text {texts[name][:40]!r} ({name}) otherwise than the tower, by "
            f"{difference:.1e}: expected at most {TOLERANCE:.0e}; nothing was written"
        )


def differences(found: Embed, expected: Embed, texts: Mapping[str, str]) -> dict[str, float]:
    """Return the largest difference between both embeddings of each text, largest first; infinity for no number."""
    with _without_warnings():
        theirs, ours = (torch.as_tensor(embed(list(texts.values()))).cpu() for embed in (found, expected))  # (N, D)
    if theirs.shape != ours.shape:
        return dict.fromkeys(texts, float("inf"))
    rows = (theirs - ours).abs().nan_to_num(float("inf")).amax(1)  # (N,)
    return dict(sorted(zip(texts, rows.tolist(), strict=True), key=lambda one: -one[1]))


def is_there(package: str, module: str) -> bool:
    """Return whether a package is installed; without it a warning says that nothing was compared."""
    if importlib.util.find_spec(module) is not None:
        return True
    logger.warning("%s is not installed: its embeddings were not compared with the tower's", package)
    return False


@contextmanager
def opening(package: str) -> Iterator[None]:
    """Raise RunError for whatever a package raises on a folder that it should open."""
    try:
        yield
    except PeclError:
        raise
    except Exception as error:  # of any class, since any package is run here
        raise RunError(f"{package} cannot open it ({one_line(error)[:300]}); nothing was written") from error


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Silence the tower on texts that are cut, or of unknown letters, which are so on purpose."""
    tokenizing = logging.getLogger("pecl.encoders.tokenizing")
    before, tokenizing.disabled = tokenizing.disabled, True
    try:
        yield
    finally:
        tokenizing.disabled = before
