"""Queries as embeddings: texts through the adapter of their language, and pictures.

The text tower is loaded once. A language that has an adapter uses it; the plain tower, whose weights are the same in
memory, embeds all other texts. See `pecl.adapters.choice` for the rule.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch

from pecl.data.language_guess import LanguageGuess, guess_languages
from pecl.languages import ENGLISH, any_language_code, language_name

if TYPE_CHECKING:
    from PIL import Image

    from pecl.encoders.image import ImageEncoder

logger = logging.getLogger(__name__)


class QueryLanguage(NamedTuple):
    """The language of a query, and what embeds it.

    Attributes:
        language: its code; None where it is not known.
        confidence: of the guess, 0 to 1; None where the language was named.
        adapter: name of the adapter, see `AdapterChoice`; `none` for the plain tower.
        sentence: the line that a command prints.
    """

    language: str | None
    confidence: float | None
    adapter: str
    sentence: str

    @property
    def embedded_as(self) -> str:
        """The language for `QueryEncoder.encode_text`."""
        return self.language or "none"

    def to_json(self) -> dict[str, str | float | None]:
        """Return the fields that a JSON document has."""
        return {"language": self.language, "confidence": self.confidence, "adapter": self.adapter}


class QueryEncoder:
    """The towers of a profile, and the adapters that are known for it, for queries.

    Args:
        profile: name of the pair of towers.
        adapters: adapters that are added to those that ship with pecl, see `KnownAdapters`.
        device: where the towers are.

    Raises:
        ConfigError: no such profile, device or adapter, or two adapters of one language.
        WeightsError: weights or adapters cannot be used.
    """

    def __init__(self, profile: str, adapters: Iterable[str | Path] = (), device: str = "cpu") -> None:
        from pecl.adapters.banks import Banks
        from pecl.adapters.choice import KnownAdapters
        from pecl.encoders.towers import load_text_encoder

        self.profile = profile
        self.device = device
        self.known = KnownAdapters(profile, list(adapters))
        files = self.known.files()  # a file that cannot be used is refused before the tower is loaded
        self.plain = load_text_encoder(profile, device=device)
        self.banks = Banks(self.plain, files.values())

    @cached_property
    def image_tower(self) -> ImageEncoder:
        """Image tower, loaded when the first picture is searched with."""
        from pecl.encoders.towers import load_image_encoder

        return load_image_encoder(self.profile, device=self.device)

    @property
    def languages(self) -> list[str]:
        """Languages that have an adapter here, and English."""
        return list(dict.fromkeys((ENGLISH, *self.banks.names)))

    def guess_languages(self, texts: Sequence[str]) -> list[LanguageGuess]:
        """Return the likeliest language of each text, among all that lingua knows; see `guess_languages`.

        Raises:
            ConfigError: lingua is not installed.
        """
        return guess_languages(texts, self.languages)

    def language_of(self, text: str, language: str | None = None) -> QueryLanguage:
        """Return the language of a text, the one that is named or else a guess, and what embeds it.

        Raises:
            ConfigError: no such language, or lingua is not installed.
        """
        if language is not None:
            code = any_language_code(language)
            choice = self.known.for_language(code)
            return QueryLanguage(code, None, choice.name, f"language: {language_name(code)}; {choice.sentence}")
        (guess,) = self.guess_languages([text])
        code = guess.language if guess.is_sure else None
        choice = self.known.for_language(code)
        used = "adapter: none (the plain tower)" if code is None else choice.sentence
        sentence = f"language: {guess.sentence}; {used}; --language names another"
        return QueryLanguage(code, guess.confidence, choice.name, sentence)

    def encode_text(self, texts: Sequence[str], language: str | Sequence[str | None] | None = None) -> torch.Tensor:
        """Return the embeddings of N texts, (N, D) float32 of length 1.

        Args:
            texts: N texts.
            language: code or name of the language of all, or of each; None detects it in each text, and `none` leaves
                texts to the plain tower.

        Raises:
            ConfigError: no such language, or not as many as texts.
            DataError: a text is not one.
        """
        from pecl.adapters.banks import of_each
        from pecl.adapters.choice import PLAIN

        names = of_each(language, len(texts))
        codes = [None if name in (None, PLAIN) else any_language_code(name) for name in names]
        if unnamed := [i for i, name in enumerate(names) if name is None]:
            for i, guess in zip(unnamed, self.guess_languages([texts[i] for i in unnamed]), strict=True):
                codes[i] = guess.language if guess.is_sure else None
        for code in sorted({code for code in codes if self.banks.find(code) is None and code != ENGLISH}, key=str):
            logger.debug("%s", self.known.for_language(code).sentence)
        return self.banks.encode_text(texts, codes)

    def encode_image(self, pictures: Sequence[Path | Image.Image]) -> torch.Tensor:
        """Return the embeddings of N pictures, (N, D) float32 of length 1.

        Raises:
            DataError: a picture cannot be read.
        """
        return self.image_tower.encode_image(pictures)
