"""Reading: from what a person typed to the texts that a tower embeds for it.

A text gets its normal form, and then the marks and capitals that it lacks. Where what was typed is
itself likely, both readings are embedded, and the query is their weighted mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pecl.language.languages import LANGUAGES, find_name
from pecl.language.normalization import DOTLESS_I, normalize_text
from pecl.language.restoring import has_no_marks, shipped_restoration


@dataclass(frozen=True)
class Reading:
    """How a text is read: one text, or two of which the mean of the embeddings is taken."""

    typed: str  # what was typed, in normal form
    shares: tuple[tuple[str, float], ...]  # the texts that are embedded, the likeliest first; the shares sum to 1

    @property
    def restored(self) -> str:
        """The text with all marks and capitals that it may lack."""
        return self.shares[-1][0]

    @property
    def read_as(self) -> tuple[str, ...]:
        """The texts that are embedded, if one differs from what was typed; else none."""
        texts = tuple(text for text, _ in self.shares)
        return () if texts == (self.typed,) else texts


def read_texts(texts: Sequence[str], languages: Sequence[str], *, exactly: bool = False) -> list[Reading]:
    """Return the reading of each of N texts, (N,).

    Args:
        texts: N texts, as they were typed.
        languages: the language of each, (N,), by any of its names. Texts of a language without a
            table of restoring get their normal form.
        exactly: whether texts get only their normal form.
    """
    codes = {name: find_name(name, LANGUAGES) for name in set(languages)}
    restorations = {
        name: None if exactly or code is None else shipped_restoration(code) for name, code in codes.items()
    }

    readings = list[Reading]()
    for text, name in zip(texts, languages, strict=True):
        code = codes[name]
        # BIR KOPEK was typed without the dots of BİR KÖPEK: its I is that of other languages
        is_without_dots = not exactly and code in DOTLESS_I and has_no_marks(text, code)
        typed = normalize_text(text, None if is_without_dots else code)
        restore = restorations[name]
        shares = ((typed, 1.0),) if restore is None else restore.read(typed)
        readings.append(Reading(typed, shares))

    return readings
