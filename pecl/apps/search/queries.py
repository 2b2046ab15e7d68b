"""Embeddings of queries: texts with the adapter of their language, and images.

The text tower is loaded once. It embeds texts with the adapter of their language, or as the plain tower if there is no
such adapter. See `pecl.adapters.choice` for the rule.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from pecl.adapters.bank import AdapterBank, of_each
from pecl.adapters.choice import PLAIN, KnownAdapters
from pecl.data.language_guess import LanguageGuess, guess_languages
from pecl.data.languages import ENGLISH, language_code, language_name

if TYPE_CHECKING:
    from PIL import Image

    from pecl.encoders.image import ImageEncoder

logger = logging.getLogger(__name__)

Shares = tuple[tuple[str | None, float], ...]  # codes of languages (None: the plain tower) with shares; their sum is 1


@dataclass(frozen=True)
class QueryLanguage:
    """The language of a query, and its adapter."""

    language: str | None  # its code; None if it is not known
    confidence: float | None  # of the guess, 0 to 1; None if the language was named
    adapter: str  # its name, see `AdapterChoice` for commands and `Models` for servers; the plain tower has a name, too
    sentence: str  # the line that a command prints
    shares: Shares  # languages whose embeddings of the text are mixed; only one if the language is certain
    is_other: bool = False  # whether the person does not speak the detected language

    def to_json(self) -> dict[str, Any]:
        """Return the fields of the JSON document."""
        return {
            "language": self.language,
            "confidence": self.confidence,
            "adapter": self.adapter,
            "mixed": shares_to_json(self.shares),
        }


def shares_to_json(shares: Shares) -> dict[str, float]:
    """Return the shares of mixed languages by code, `none` for the plain tower; {} if there is only one language."""
    return {code or PLAIN: round(share, 3) for code, share in shares} if len(shares) > 1 else {}


def known_shares(guess: LanguageGuess, adapters: AdapterBank | KnownAdapters) -> Shares:
    """Return the shares of a guess; English and the languages without an adapter share one entry, the plain tower."""
    found: dict[str | None, float] = {}
    for code, share in guess.shares:
        code = adapters.find(code)
        found[code] = found.get(code, 0.0) + share
    if len(found) > 1:
        return tuple(sorted(found.items(), key=lambda one: -one[1]))
    return ((guess.language if guess.is_sure else None, 1.0),)  # some plain towers need the language, too


class QueryEncoder:
    """Encoder of queries: the towers of a profile with the adapters that are known for it.

    Args:
        profile: name of the pair of towers.
        adapters: adapters to add to the shipped ones, see `KnownAdapters`.
        device: device of the towers.
        among: codes of the languages among which detection chooses; None for all.

    Raises:
        ConfigError: no such profile, device or adapter, or two adapters of one language.
        WeightsError: weights or adapters cannot be used.
    """

    def __init__(
        self,
        profile: str,
        adapters: Iterable[str | Path] = (),
        device: str = "cpu",
        among: Sequence[str] | None = None,
    ) -> None:
        from pecl.encoders.towers import load_text_encoder

        self.profile = profile
        self.device = device
        self.among = among
        self.known = KnownAdapters(profile, list(adapters))
        self.plain = load_text_encoder(profile, device=device, quick=True)
        self.bank = AdapterBank(self.plain, plain=None)  # of the languages so far
        self.hold(self.known.named)

    def hold(self, languages: Iterable[str]) -> None:
        """Load adapters of `known` into the bank, which starts without them: a query needs few of two hundred."""
        if new := [language for language in languages if language not in self.bank.adapters]:
            self.bank.add_files(self.known.files(new).items())

    @cached_property
    def image_tower(self) -> ImageEncoder:
        """Image tower, loaded at the first query by image."""
        from pecl.encoders.towers import load_image_encoder

        return load_image_encoder(self.profile, device=self.device)

    def guess_languages(self, texts: Sequence[str]) -> list[LanguageGuess]:
        """Return the likeliest language of each text; see `pecl.data.language_guess.guess_languages`."""
        return guess_languages(texts, self.known.preferred, self.among)

    def language_of(self, text: str, language: str | None = None) -> QueryLanguage:
        """Return the language of a text, as named or else detected, and its adapter.

        Raises:
            ConfigError: no such language, or lingua is not installed.
        """
        if language is not None:
            code = self.known.find(language) or language_code(language)
            choice = self.known.for_language(code)
            sentence = f"language: {language_name(code)}; {choice.sentence}"
            return QueryLanguage(code, None, choice.name, sentence, ((code, 1.0),))
        (guess,) = self.guess_languages([text])
        code = guess.language if guess.is_sure else None
        choice = self.known.for_language(code)
        shares = known_shares(guess, self.known)
        used = "adapter: none (the plain tower)" if code is None else choice.sentence
        if len(shares) > 1:
            used = "mixed: " + ", ".join(f"{name} {share:.2f}" for name, share in shares_to_json(shares).items())
        sentence = f"language: {guess.sentence}; {used}; --language names another"
        return QueryLanguage(code, guess.confidence, choice.name, sentence, shares)

    def encode_text(
        self, texts: Sequence[str], language: str | QueryLanguage | Sequence[str | None] | None = None
    ) -> torch.Tensor:
        """Return the embeddings of N texts, (N, D) float32 of length 1.

        Args:
            texts: N texts.
            language: code or name of the language of all texts, or of each; None detects it in each text, and `none`
                uses the plain tower. If the detection is unsure, the embeddings of the likeliest languages are mixed.

        Raises:
            ConfigError: no such language, or the number of languages is not N.
            DataError: an item is not a text.
        """
        if isinstance(language, QueryLanguage):
            shares: list[Shares] = [language.shares] * len(texts)
        else:
            names, find = of_each(language, len(texts)), self.known.find
            shares = [((None if name in (None, PLAIN) else find(name) or language_code(name), 1.0),) for name in names]
            if unnamed := [i for i, name in enumerate(names) if name is None]:
                for i, guess in zip(unnamed, self.guess_languages([texts[i] for i in unnamed]), strict=True):
                    shares[i] = known_shares(guess, self.known)
        found = {code: self.known.find(code) for own in shares for code, _ in own}
        self.hold(dict.fromkeys(name for name in found.values() if name is not None))
        for code in sorted((code for code, name in found.items() if name is None and code != ENGLISH), key=str):
            logger.debug("%s", self.known.for_language(code).sentence)
        return self.bank.encode_text(texts, [dict(own) for own in shares])

    def encode_image(self, pictures: Sequence[Path | Image.Image]) -> torch.Tensor:
        """Return the embeddings of N images, (N, D) float32 of length 1.

        Raises:
            DataError: an image cannot be read.
        """
        return self.image_tower.encode_image(pictures)
