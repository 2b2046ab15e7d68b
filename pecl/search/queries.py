"""Queries as embeddings: texts through the adapter of their language, pictures, and what is to be left out.

The text tower is loaded once. Languages of the bank go through their slots; English, and every language that the bank
lacks, goes through the plain tower, whose weights are the same in memory.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from pecl.errors import ConfigError
from pecl.languages import ENGLISH, LANGUAGES, any_language_code
from pecl.search.told import Told, tell_languages

if TYPE_CHECKING:
    from PIL import Image

    from pecl.adapters.bank import AdapterBank
    from pecl.encoders.image import ImageEncoder
    from pecl.encoders.text import MultilingualTextEncoder

logger = logging.getLogger(__name__)


class QueryEncoder:
    """The towers of a profile, and a bank of adapters, for queries.

    Args:
        profile: name of the pair of towers.
        adapters: adapter files, one a language, in place of the ready ones of the profile.
        device: where the towers are.

    Raises:
        ConfigError: no such profile or device, or two files of one language or of different configurations.
        WeightsError: weights or adapters cannot be used.
    """

    def __init__(self, profile: str, adapters: Iterable[str | Path] = (), device: str = "cpu") -> None:
        from pecl.adapters.bank import AdapterBank
        from pecl.adapters.formats.files import load_adapter_file
        from pecl.adapters.ready import ready_adapters
        from pecl.encoders.towers import load_text_encoder

        self.profile = profile
        self.device = device
        files = list(adapters)
        for path in files:
            load_adapter_file(path)  # what is wrong with a file is said before the tower is loaded
        files = files or list(ready_adapters(profile).values())
        self.plain: MultilingualTextEncoder = load_text_encoder(profile, device=device)
        self.bank: AdapterBank | None = AdapterBank.from_files(self.plain, files) if files else None

    @cached_property
    def image_tower(self) -> ImageEncoder:
        """Image tower, loaded when the first picture is searched with."""
        from pecl.encoders.towers import load_image_encoder

        return load_image_encoder(self.profile, device=self.device)

    @property
    def languages(self) -> list[str]:
        """Languages that have an adapter here, and English."""
        return [ENGLISH, *(code for code in (self.bank.languages if self.bank else ()) if code != ENGLISH)]

    def tell(self, texts: Sequence[str]) -> list[Told]:
        """Return the language of each text, as told from it, among `languages` (all known ones without a bank).

        Raises:
            ConfigError: lingua is not installed, or the language of a text cannot be told.
        """
        return tell_languages(texts, self.languages if self.bank else list(LANGUAGES))

    def encode_text(self, texts: Sequence[str], language: str | Sequence[str] | None = None) -> torch.Tensor:
        """Return the embeddings of N texts, (N, D) float32 of length 1.

        Args:
            texts: N texts.
            language: code or name of the language of all, or of each; None tells it from each text.

        Raises:
            ConfigError: no such language, or not as many as texts.
            DataError: a text is not one.
        """
        if language is None:
            codes = [told.language for told in self.tell(texts)]
        elif isinstance(language, str):
            codes = [any_language_code(language)] * len(texts)
        else:
            codes = [any_language_code(one) for one in language]
        if len(codes) != len(texts):
            raise ConfigError(f"{len(codes)} languages for {len(texts)} texts: expected one language, or one a text")
        in_bank = [i for i, code in enumerate(codes) if self.bank and code != ENGLISH and code in self.bank]
        plain = [i for i in range(len(texts)) if i not in set(in_bank)]
        if without := sorted({codes[i] for i in plain} - {ENGLISH}):
            logger.info("no adapter for %s: the plain tower embeds it", ", ".join(without))
        found = torch.empty(len(texts), self.plain.embedding_dim)  # (N, D)
        if plain:
            found[plain] = self.plain.encode_text([texts[i] for i in plain])
        if in_bank and self.bank:
            found[in_bank] = self.bank.encode_text([texts[i] for i in in_bank], [codes[i] for i in in_bank])
        return F.normalize(found, dim=1)

    def encode_image(self, pictures: Sequence[Path | Image.Image]) -> torch.Tensor:
        """Return the embeddings of N pictures, (N, D) float32 of length 1.

        Raises:
            DataError: a picture cannot be read.
        """
        return self.image_tower.encode_image(pictures, normalize=True)
