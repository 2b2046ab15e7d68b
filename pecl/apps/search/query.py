"""`Query`: what a search is for; and the choice of the language of its texts.

The command line, the server and `ImageIndex` each make a `Query`. `choose_language` names or
detects its language, and `pecl.apps.search.encoder.embed_queries` embeds it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pecl.adapters.ready import PLAIN
from pecl.errors import ConfigError, DataError, is_text, not_none, setting
from pecl.language.language_guess import LanguageGuess, guess_languages
from pecl.language.languages import language_code, language_name

if TYPE_CHECKING:
    from PIL import Image

    from pecl.adapters.bank import AdapterBank
    from pecl.adapters.choice import AdapterChoice, KnownAdapters
    from pecl.apps.search.words import Selection

# codes of languages (None: the base encoder) with shares; their sum is 1
Shares = tuple[tuple[str | None, float], ...]


@dataclass(frozen=True)
class QueryLanguage:
    """The language of a query's texts."""

    code: str | None  # None if it is not known
    # languages whose embeddings of a text are mixed; only one if the language is certain
    shares: Shares
    guess: LanguageGuess | None = None  # None if the language was named

    def sentence(self, choice: AdapterChoice) -> str:
        """Return the line that a command prints, given the adapter of the language."""
        if self.guess is None and self.code is None:
            return "adapter: none (the base encoder)"
        if self.guess is None:
            return f"language: {language_name(not_none(self.code, 'code'))}; {choice.sentence}"

        if len(self.shares) > 1:
            adapter_text = "mixed: " + ", ".join(f"{name} {share:.2f}" for name, share in self.mixture().items())
        elif self.code is None:
            adapter_text = "adapter: none (the base encoder)"
        else:
            adapter_text = choice.sentence

        return f"language: {self.guess.sentence}; {adapter_text}; {setting('language')} names another"

    def plain(self) -> QueryLanguage:
        """Return the language for the base encoder, which embeds a text once."""
        return replace(self, shares=((self.code, 1.0),))

    def mixture(self) -> dict[str, float]:
        """Return the shares by code, `none` for the base encoder; {} if there is only one language."""
        if len(self.shares) > 1:
            return {code or PLAIN: round(share, 3) for code, share in self.shares}
        return {}


PLAIN_TOWER = QueryLanguage(None, ((None, 1.0),))


@dataclass(frozen=True)
class TextReading:
    """What is embedded for one text of a query."""

    parts: tuple[tuple[str, str | None, float], ...]  # a text, its language, and its share; the shares sum to 1

    # the texts that are embedded, the largest share first, if one has marks or capitals that were not typed
    read_as: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Query:
    """A search for photographs that resemble a text, an image, or both, and do not resemble `minus`.

    Attributes:
        text: description of the photographs.
        image: an image that they resemble: a file, an open image, or the bytes of a file.
        minus: negative query, whose embedding is subtracted.
        language: name or code of the language of `text` and `minus`, or the result of
            `choose_language`; None detects it.
        after: only photographs that were taken on this day or later, such as 2019-07-14, 2019-07 or 2019.
        before: only photographs that were taken before this day.
        folder: only photographs in this folder, at any depth; relative to the folder of the index's photographs.
        names: whether names of the text count, see `pecl.apps.search.words`.
        not_names: words of the text that do not count as names.
        exactly: whether texts are embedded as they were typed, without the marks and capitals that they lack.
        embedding: embedding (D,) float32 of length 1 of the photographs, if the caller has it already.
        readings: how each of `texts` is read, the result of `read_query`.

    Raises:
        ConfigError: there is neither a text, an image nor an embedding.
    """

    text: str | None = None
    image: Path | Image.Image | bytes | None = None
    minus: str | None = None
    language: str | QueryLanguage | None = None
    after: str | None = None
    before: str | None = None
    folder: str = ""
    names: bool = True
    not_names: tuple[str, ...] = ()
    exactly: bool = False
    embedding: np.ndarray | None = None
    readings: tuple[TextReading, ...] | None = None

    def __post_init__(self) -> None:
        if self.text is None and self.image is None and self.embedding is None:
            raise ConfigError("expected a text, an image or an embedding, got none", field="query")

    @property
    def texts(self) -> tuple[str, ...]:
        """The texts to embed, which have one language."""
        return tuple(text for text in (self.text, self.minus) if text is not None)

    @property
    def is_text(self) -> bool:
        """Whether the query is a text and nothing else. Only then hubs are corrected, see `pecl.retrieval.hubs`."""
        return self.text is not None and self.image is None and self.embedding is None and self.minus is None

    @property
    def is_embedding(self) -> bool:
        """Whether the query is embedded already."""
        return self.embedding is not None and self.image is None and not self.texts

    @property
    def read_as(self) -> list[str]:
        """The texts that are embedded for those of `texts` that lack marks or capitals."""
        return [text for reading in self.readings or () for text in reading.read_as]

    @property
    def sentence(self) -> str:
        """The line on the readings of all texts that a command prints; empty if all are embedded as they were typed."""
        return f"read as {' and '.join(self.read_as)}" if self.read_as else ""

    @property
    def shares(self) -> Shares:
        """The shares of the languages of the texts; TypeError if the language has not been chosen."""
        if not isinstance(self.language, QueryLanguage):
            raise TypeError(f"call choose_language first: the language of the query is {self.language!r}")
        return self.language.shares

    def without_dates(self, selection: Selection) -> Query:
        """Return the query without the dates by which `selection` chose photographs."""
        return self if self.text is None else replace(self, text=selection.text)


def choose_language(
    query: Query, adapters: AdapterBank | KnownAdapters, among: Sequence[str] | None
) -> QueryLanguage | None:
    """Return the language of a query's texts, as named or else detected; None for a query without text.

    Args:
        query: the query.
        adapters: the known adapters.
        among: codes of the languages that the person speaks, among which detection chooses; None
            for all languages.

    Raises:
        ConfigError: no such language, or lingua is not installed.
    """
    if not query.texts:
        return None
    if isinstance(query.language, QueryLanguage):
        return query.language

    if query.language is not None:
        code = adapters.find(query.language) or language_code(query.language)
        return QueryLanguage(code, ((code, 1.0),))

    (guess,) = guess_languages([" ".join(query.texts)], adapters.preferred, among)
    code = guess.language if guess.is_sure else None
    return QueryLanguage(code, known_shares(guess, adapters), guess)


def read_query(query: Query, bank: AdapterBank) -> Query:
    """Return a query with the readings of its texts in the languages that `choose_language` has chosen."""
    if not query.texts or query.readings is not None:
        return query

    readings: list[TextReading] = []
    for text in query.texts:
        of_languages = bank.read([text] * len(query.shares), [code for code, _ in query.shares], exactly=query.exactly)
        parts = [
            (written, code, share * part)
            for reading, (code, share) in zip(of_languages, query.shares, strict=True)
            for written, part in reading.shares
        ]
        parts.sort(key=lambda part: -part[2])
        is_changed = any(reading.read_as for reading in of_languages)
        readings.append(
            TextReading(tuple(parts), tuple(dict.fromkeys(written for written, *_ in parts)) if is_changed else ())
        )

    return replace(query, readings=tuple(readings))


def known_shares(guess: LanguageGuess, adapters: AdapterBank | KnownAdapters) -> Shares:
    """Return the shares of a guess; English and the languages without an adapter share one entry, the base encoder."""
    shares: dict[str | None, float] = {}
    for language, share in guess.shares:
        code = adapters.find(language)
        shares[code] = shares.get(code, 0.0) + share
    if len(shares) > 1:
        return tuple(sorted(shares.items(), key=lambda entry: -entry[1]))

    # some base encoders need the language, too
    return ((guess.language if guess.is_sure else None, 1.0),)


def make_queries(
    queries: Any,
    width: int,
    language: str | Sequence[str | None] | None,
    minus: Any,
) -> list[Query]:
    """Return the Q queries that the arguments of `ImageIndex.search` describe; embeddings have the width `width`.

    Raises:
        ConfigError: there are not as many languages or negative queries as queries.
        DataError: a query has another type, or embeddings have the wrong shape or NaN.
    """
    contents = _items(queries, width)
    languages = [language] * len(contents) if language is None or isinstance(language, str) else list(language)
    if len(languages) != len(contents):
        raise ConfigError(f"{len(languages)} languages for {len(contents)} queries: expected one, or one per query")

    minuses = [minus] * len(contents) if minus is None or isinstance(minus, str) else list(minus)
    if len(minuses) != len(contents):
        raise ConfigError(f"expected one text, or {len(contents)} as the queries, got {len(minuses)}", field="minus")

    return [
        _make_query(number, content, named_language(name), negative)
        for number, (content, name, negative) in enumerate(zip(contents, languages, minuses, strict=True))
    ]


def named_language(name: str | None) -> str | QueryLanguage | None:
    """Return the language of a `Query`, given the name of a language, or `none` for the base encoder."""
    return PLAIN_TOWER if name == PLAIN else name


def _make_query(
    number: int,
    content: Any,
    language: str | QueryLanguage | None,
    minus: str | None,
) -> Query:
    from PIL import Image

    for text in (content, minus):
        if isinstance(text, str) and not is_text(text):
            raise DataError(f"expected text in UTF-8 at position {number}, got {text!r}", field="queries")

    if isinstance(content, str):
        return Query(text=content, minus=minus, language=language)
    if isinstance(content, Path | Image.Image):
        return Query(image=content, minus=minus, language=language)
    if isinstance(content, np.ndarray):
        return Query(embedding=content, minus=minus, language=language)
    raise DataError(f"expected a text or a picture at position {number}, got {type(content).__name__}", field="queries")


def _items(queries: Any, width: int) -> list[Any]:
    """Return the queries one by one, embeddings (D,) scaled to length 1; zeros stay zeros."""
    if hasattr(queries, "detach"):
        queries = queries.detach().cpu().float().numpy()

    if isinstance(queries, np.ndarray):
        if queries.ndim != 2 or queries.shape[1] != width or not np.isfinite(queries).all():
            raise DataError(f"expected finite embeddings of shape (Q, {width}), got {queries.shape}", field="queries")
        embeddings = queries.astype(np.float32)
        return list(embeddings / np.maximum(np.linalg.norm(embeddings, axis=1, keepdims=True), 1e-12))

    if isinstance(queries, str | Path) or not isinstance(queries, Iterable):
        return [queries]

    items = []
    for query in queries:
        if isinstance(query, np.ndarray) or hasattr(query, "detach"):
            items += _items(query[None], width)
        else:
            items.append(query)
    return items
