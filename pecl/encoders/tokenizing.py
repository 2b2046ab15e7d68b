"""`Tokenizing`: the part of a text tower that turns texts into token ids, as its family takes them."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import torch

from pecl.encoders.batches import TokenIds, as_texts
from pecl.encoders.cleaning import cleaning
from pecl.encoders.families import TextFamily, family_of, first_position, longest_sequence
from pecl.encoders.lock import Lock
from pecl.errors import ConfigError, DataError
from pecl.language.languages import LANGUAGES, find_name, language_name
from pecl.language.normalization import normalize_text
from pecl.language.transliteration import Transliteration, shipped_transliteration

if TYPE_CHECKING:
    from transformers import PreTrainedModel

logger = logging.getLogger(__name__)

_MOST_UNKNOWN = 0.1  # share of pieces


class Tokenizing:
    """Tokenisation of a text tower; see `MultilingualTextEncoder` for the attributes."""

    backbone: PreTrainedModel
    tokenizer: Any
    text_prefix: str
    max_length: int
    clean: str
    language: str | None  # of texts whose language is not given; None for the tokenizer's default
    name: str
    # whether texts in some scripts are first written in another one, see `pecl.language.transliteration`
    transliterates: bool
    lock: Lock

    @property
    def family(self) -> TextFamily | None:
        """The family of the backbone; None for an encoder that pecl runs only as a whole."""
        return family_of(self.backbone.config)

    @property
    def positions(self) -> int:
        """Number of positions that the backbone has for tokens."""
        return longest_sequence(self.backbone.config)

    def tokenize(
        self,
        texts: str | Iterable[str],
        language: str | Sequence[str] | None = None,
    ) -> TokenIds:
        """Return the token ids of each text `as_read`, with the prefix and special tokens, cut to `max_length`.

        Warnings are logged for texts that were cut, and for a large share of pieces that the
        tokenizer does not have.

        Args:
            texts: one text or N texts.
            language: the language of all texts, or of each, (N,), by any of its names. It changes
                nothing unless the tower has language tokens or transliterates the language's script. None
                is the tower's own: that of an adapter that was merged into it, or else the
                tokenizer's default, which is English.

        Raises:
            DataError: `texts` is neither a text nor several, or there are not as many languages.
            ConfigError: the tower has no token for a language.
        """
        texts = as_texts(texts)
        if not texts:
            return []

        languages = self._languages(len(texts), language or self.language)
        texts = self.as_read(texts, languages)
        prefixed = self._prefixed(texts)
        with self.lock:  # the limit is a setting of the tokenizer
            rows = self.tokenizer(prefixed, truncation=True, max_length=self.max_length)["input_ids"]

        self._warn_of_unknown(rows)
        token_ids = [self._shaped(row) for row in rows]
        if self.names_languages and languages is not None:
            first = {name: self.language_token(name) for name in set(languages)}
            token_ids = [[first[name], *row[1:]] for name, row in zip(languages, token_ids, strict=True)]

        cut = len(self.whole_lengths(texts, token_ids))
        if cut:
            logger.warning("%d of %d texts are longer than %d tokens and were cut", cut, len(texts), self.max_length)
        return token_ids

    def _languages(self, number: int, language: str | Sequence[str] | None) -> Sequence[str] | None:
        """Return the language of each of `number` texts; None if none is known."""
        if language is None:
            return None
        if isinstance(language, str):
            return [language] * number
        if len(language) != number or not all(isinstance(name, str) for name in language):
            raise DataError(f"expected a language for each of {number} texts, got {language!r}", field="language")
        return language

    def transliteration(self, language: str) -> Transliteration | None:
        """Return the map through which the tower reads texts of `language`; None if it reads their own letters."""
        code = find_name(language, LANGUAGES) if self.transliterates else None
        return None if code is None else shipped_transliteration(code)

    def as_read(self, texts: Sequence[str], languages: Sequence[str] | None = None) -> list[str]:
        """Return texts as the tower reads them: see `normalize_text`, and in the letters of another script if it needs.

        `languages` has the language of each text, (N,); None if none is known.
        """
        if languages is None:
            return [normalize_text(text) for text in texts]

        codes = {name: find_name(name, LANGUAGES) for name in set(languages)}
        maps = {name: self.transliteration(name) for name in codes}

        spellings = list[str]()
        for text, name in zip(texts, languages, strict=True):
            text = normalize_text(text, codes[name])
            write_in_other_script = maps[name]
            spellings.append(text if write_in_other_script is None else write_in_other_script(text))

        return spellings

    def _warn_of_unknown(self, rows: Sequence[Sequence[int]]) -> None:
        """Warn of a large share of unknown pieces: the tokenizer was not made for the script."""
        unknown = sum(row.count(self.tokenizer.unk_token_id) for row in rows)
        total = sum(map(len, rows))
        if unknown > _MOST_UNKNOWN * total:
            logger.warning(
                "%.0f %% of the pieces of %d texts are not in the vocabulary of %s: the tower cannot "
                "distinguish these words, perhaps those of the whole script",
                *(100 * unknown / total, len(rows), self.name),
            )

    @property
    def shapes_texts(self) -> bool:
        """Whether the tower cuts texts after the end-of-text token, or pads them to all positions."""
        return self.family is not None and (self.family.causal or self.family.is_fixed)

    @property
    def counts_padding(self) -> bool:
        """Whether transformers numbers this encoder's positions by counting the tokens that are not padding."""
        count = first_position if self.family is None else self.family.first_position
        return count(self.backbone.config) > 0

    @property
    def names_languages(self) -> bool:
        """Whether the first token of a text names its language."""
        return self.family is not None and self.family.names_languages

    def language_token(self, language: str) -> int:
        """Return the token id that begins texts of `language` (any name of it). Raise ConfigError if there is none."""
        row = LANGUAGES.get(find_name(language, LANGUAGES) or language)
        flores = None if row is None else row.flores
        token = None if flores is None else self.tokenizer.convert_tokens_to_ids(flores)
        if token is None or token == self.tokenizer.unk_token_id:
            raise ConfigError(
                f"the text tower {self.name!r} has no token for {language_name(language)} "
                f"({flores or 'no FLORES-200 code is known'}): expected a language of NLLB, or another text tower",
                field="language",
            )
        return token

    def whole_lengths(self, texts: Sequence[str], token_ids: TokenIds) -> dict[int, int]:
        """Return the uncut number of tokens of each text (`as_read`) that `tokenize` cut, by the text's index."""
        is_padded = self.family is not None and self.family.is_fixed
        padding = self.tokenizer.pad_token_id
        sizes = (len(row) - (row.count(padding) if is_padded else 0) for row in token_ids)
        lengths = {i: len(self.whole(texts[i])) for i, size in enumerate(sizes) if size == self.max_length}
        return {i: length for i, length in lengths.items() if length > self.max_length}

    def whole(self, text: str) -> list[int]:
        """Return the token ids of a text, with the prefix and special tokens, without a limit of length."""
        # `tokenize` warns itself
        with self.lock:
            return self.tokenizer(self._prefixed([text])[0], verbose=False)["input_ids"]

    def _prefixed(self, texts: Sequence[str]) -> list[str]:
        clean = cleaning(self.clean) if self.clean else str
        return [clean(self.text_prefix + text) for text in texts]

    def _shaped(self, row: list[int]) -> list[int]:
        """Return a text's tokens as the family takes them: cut after the end of text, or padded to all positions."""
        family = self.family
        if family is not None and family.causal and (end := self.backbone.config.eos_token_id) in row:
            row = row[: row.index(end) + 1]
        if family is not None and family.is_fixed:
            row = row + [self.tokenizer.pad_token_id] * (self.positions - len(row))
        return row


def around(tokenizer: Any) -> tuple[list[int], list[int]]:
    """Return the ids of the special tokens that a tokenizer puts before and after every text."""
    sequence = tokenizer("a")["input_ids"]
    letter_ids = tokenizer("a", add_special_tokens=False)["input_ids"]
    start = next(i for i in range(len(sequence)) if sequence[i : i + len(letter_ids)] == letter_ids)
    return sequence[:start], sequence[start + len(letter_ids) :]


def cut_to(input_ids: torch.Tensor, length: int, padding: int, end: Sequence[int]) -> torch.Tensor:
    """Cut padded texts (B, L) to `length` < L tokens, as a tokenizer does: a cut text ends in the tokens `end`."""
    cut_ids = input_ids[:, :length]
    is_cut = (input_ids[:, length] != padding).unsqueeze(1)  # (B, 1)
    words = cut_ids[:, : length - len(end)]
    last = cut_ids[:, length - len(end) :]
    return torch.cat([words, torch.where(is_cut, torch.tensor(end, device=cut_ids.device), last)], dim=1)
