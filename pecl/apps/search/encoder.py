"""`embed_queries`: the embeddings of queries; and `QueryEncoder`, which loads what they need.

The text tower is loaded once. It embeds texts with the adapter of their language, or as the base
encoder if there is no such adapter. See `pecl.adapters.choice` for the rule.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch
import torch.nn.functional as F

from pecl.adapters.bank import AdapterBank, mixed, of_each
from pecl.adapters.choice import KnownAdapters
from pecl.apps.search.query import Query, QueryLanguage, TextReading, choose_language, named_language, read_query
from pecl.backends import set_backend
from pecl.language.language_guess import LanguageGuess, guess_languages
from pecl.language.languages import ENGLISH
from pecl.machine import AUTO

if TYPE_CHECKING:
    from PIL import Image

    from pecl.encoders.image import ImageEncoder

logger = logging.getLogger(__name__)

T = TypeVar("T")
# Embed R texts in the language of each, None for the base encoder; or N images. Return (R, D) or (N,
# D) of any length.
EmbedTexts = Callable[[list[str], list[str | None]], Awaitable[torch.Tensor]]
EmbedImages = Callable[[list[Any]], Awaitable[torch.Tensor]]


async def embed_queries(
    queries: Sequence[Query],
    embed_texts: EmbedTexts,
    embed_images: EmbedImages,
) -> torch.Tensor:
    """Return the embeddings of Q queries, (Q, D) float32 of length 1: text plus image minus negative query.

    Texts and images weigh equally. If the language of a text or its marks are doubtful, its embedding is the
    mean over the likeliest languages and readings, weighted by their shares.

    Args:
        queries: at least one query; `read_query` has read its texts.
        embed_texts: embeds all texts exactly as given; a text of several languages or readings is given once for each.
        embed_images: embeds all images.
    """
    images = [(number, query.image) for number, query in enumerate(queries) if query.image is not None]
    embeddings = [(number, query.embedding) for number, query in enumerate(queries) if query.embedding is not None]
    texts: list[tuple[int, TextReading]] = []
    minuses: list[tuple[int, TextReading]] = []
    for number, query in enumerate(queries):
        if query.readings is None and query.texts:
            raise TypeError(f"call read_query first: the texts {query.texts} have not been read")
        for reading, is_minus in zip(query.readings or (), (query.text is None, True), strict=False):
            (minuses if is_minus else texts).append((number, reading))

    rows: list[torch.Tensor] = []
    if images:
        rows.append(await embed_images([image for _, image in images]))

    if embeddings:
        rows.append(torch.from_numpy(np.stack([embedding for _, embedding in embeddings])))

    if texts or minuses:
        rows.append(await _embed_readings([reading for _, reading in (*texts, *minuses)], embed_texts))

    added = [number for number, *_ in (*images, *embeddings, *texts)]
    subtracted = [number for number, *_ in minuses]
    signs = [1.0] * len(added) + [-1.0] * len(subtracted)
    return F.normalize(mixed(torch.cat(rows), added + subtracted, signs), dim=1)


async def _embed_readings(readings: Sequence[TextReading], embed_texts: EmbedTexts) -> torch.Tensor:
    """Return the embeddings (T, D) of T texts; each is the mean over its parts, weighted by their shares.

    A text that occurs twice in a language is embedded once: minus itself, it is exactly zero.
    """
    parts = [(number, *part) for number, reading in enumerate(readings) for part in reading.parts]
    distinct = list(dict.fromkeys((text, code) for _, text, code, _ in parts))
    row_of = {text_and_code: row for row, text_and_code in enumerate(distinct)}

    rows = await embed_texts([text for text, _ in distinct], [code for _, code in distinct])  # (R, D)
    rows = rows[[row_of[text, code] for _, text, code, _ in parts]]
    return mixed(rows, [number for number, *_ in parts], [share for *_, share in parts])


def complete(coroutine: Coroutine[Any, Any, T]) -> T:
    """Return the result of a coroutine that never waits, such as `embed_queries` with towers of this process."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value
    coroutine.close()
    raise RuntimeError("the coroutine waits: it needs an event loop")


class QueryEncoder:
    """Encoder of queries: the towers of a profile with the adapters that are known for it.

    Args:
        profile: name of the pair of towers.
        adapters: adapters to add to the shipped ones, see `KnownAdapters`.
        device: device of the towers.
        among: codes of the languages among which detection chooses; None for all.
        backend: package that computes the towers' layers, see `pecl.backends`.
        precision: arithmetic of the towers, see `pecl.load_towers`.

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
        backend: str = AUTO,
        precision: str = AUTO,
    ) -> None:
        from pecl.encoders.towers import load_text_encoder

        self.profile = profile
        self.device = device
        self.among = among
        self.backend = backend
        self.precision = precision
        self.known = KnownAdapters(profile, list(adapters))
        self.plain = load_text_encoder(profile, device=device, quick=True)
        set_backend(self.plain, backend, precision)
        self.bank = AdapterBank(self.plain, plain=None)  # of the languages so far
        self.load_adapters(self.known.named)

    def load_adapters(self, languages: Iterable[str]) -> None:
        """Load adapters of `known` into the bank, which starts without them: a query needs few of two hundred."""
        with self.plain.lock:  # queries in other threads may need the same adapters
            new = [language for language in languages if language not in self.bank.adapters]
            if new:
                self.bank.add_files(self.known.files(new).items())

    @cached_property
    def image_tower(self) -> ImageEncoder:
        """Image tower, loaded at the first query by image."""
        from pecl.encoders.towers import load_image_encoder

        tower = load_image_encoder(self.profile, device=self.device)
        set_backend(tower, self.backend, self.precision)
        return tower

    def guess_languages(self, texts: Sequence[str]) -> list[LanguageGuess]:
        """Return the likeliest language of each text; see `pecl.language.language_guess.guess_languages`."""
        return guess_languages(texts, self.known.preferred, self.among)

    def language_of(self, query: Query) -> QueryLanguage | None:
        """Return the language of a query, see `choose_language`."""
        return choose_language(query, self.known, self.among)

    def embed(self, queries: Sequence[Query]) -> torch.Tensor:
        """Return the embeddings of Q queries, (Q, D) float32 of length 1, see `embed_queries`.

        Raises:
            ConfigError: no such language, or lingua is not installed.
            DataError: a text is not a text, or an image cannot be read.
        """
        if not queries:
            return torch.empty(0, self.plain.embedding_dim)
        return complete(embed_queries([self.read(query) for query in queries], self._embed_texts, self._embed_images))

    def read(self, query: Query) -> Query:
        """Return a query with its language and the readings of its texts, see `choose_language` and `read_query`."""
        query = replace(query, language=self.language_of(query))
        if query.texts:
            self._load_for([code for code, _ in query.shares])
        return read_query(query, self.bank)

    def encode_text(
        self,
        texts: str | Sequence[str],
        language: str | Sequence[str | None] | None = None,
    ) -> torch.Tensor:
        """Return the embeddings of N texts, (N, D) float32 of length 1.

        Args:
            texts: N texts, or one.
            language: code or name of the language of all texts, or of each; None detects it in each
                text, and `none` uses the base encoder. If the detection is unsure, the embeddings of
                the likeliest languages are mixed.

        Raises:
            ConfigError: no such language, or the number of languages is not N.
            DataError: an item is not a text.
        """
        texts = [texts] if isinstance(texts, str) else texts
        names = of_each(language, len(texts))
        return self.embed([Query(text, language=named_language(name)) for text, name in zip(texts, names, strict=True)])

    def encode_image(self, pictures: Sequence[Path | Image.Image]) -> torch.Tensor:
        """Return the embeddings of N images, (N, D) float32 of length 1.

        Raises:
            DataError: an image cannot be read.
        """
        return self.image_tower.encode_image(pictures)

    def _load_for(self, languages: Sequence[str | None]) -> None:
        adapters = {code: self.known.find(code) for code in dict.fromkeys(languages)}
        self.load_adapters([name for name in adapters.values() if name is not None])
        for code, name in adapters.items():
            if name is None and code != ENGLISH:
                logger.debug("%s", self.known.for_language(code).sentence)

    async def _embed_texts(self, texts: list[str], languages: list[str | None]) -> torch.Tensor:
        self._load_for(languages)
        return self.bank.encode_text(texts, languages, normalize=False, exactly=True)

    async def _embed_images(self, images: list[Any]) -> torch.Tensor:
        return self.encode_image(images)
