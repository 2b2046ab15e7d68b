"""The tokenizer of an E5S1 file.

The tokenizer's normalisation is the table of the file, which is NFKC but for 119 characters, so NFKC does the work,
after the characters that the table drops or reads as a space, and around the one that it keeps although NFKC would not
("～"). Two things go beyond the table's single characters, both as in SentencePiece's own normaliser: NFKC also
composes decomposed accents and Hangul, and reads compatibility characters that are younger than the table (none is a
piece).
"""

import re
import unicodedata
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from tokenizers import Regex, Tokenizer, normalizers, pre_tokenizers, processors
from tokenizers.models import Unigram

from pecl.encoders.loading.e5 import E5Vocabulary
from pecl.errors import not_none
from pecl.files import load_json

# Letters that the vocabulary lacks, such as Tibetan and Tifinagh, and the text that is read for each: without it, whole
# texts would be unknown pieces. `scripts/make_letters.py` writes the file.
LETTERS = Path(__file__).with_name("letters.json")
KEPT = "\uff5e"  # fullwidth tilde; NFKC would make it "~", the table and the vocabulary keep it
PLACEHOLDER = "\ue000"  # a private-use character in the place of KEPT while NFKC runs


class E5Tokenizer:
    """Texts to token ids, with the calls of transformers' tokenizers that a text tower makes."""

    def __init__(self, tokenizer: Tokenizer, special: dict[str, str]) -> None:
        self.backend_tokenizer = tokenizer
        self.special = special  # the pieces of the roles bos, eos, pad and unk
        self.pad_token_id, self.unk_token_id = (tokenizer.token_to_id(special[role]) for role in ("pad", "unk"))

    def __call__(
        self,
        texts: str | Sequence[str],
        *,
        add_special_tokens: bool = True,
        truncation: bool = False,
        max_length: int | None = None,
        verbose: bool = True,
    ) -> dict[str, Any]:
        """Return the `input_ids` of one text, or those of each of several."""
        if truncation and max_length is not None:
            self.backend_tokenizer.enable_truncation(max_length)
        else:
            self.backend_tokenizer.no_truncation()
        several = [texts] if isinstance(texts, str) else list(texts)
        encoded = self.backend_tokenizer.encode_batch_fast(several, add_special_tokens=add_special_tokens)
        ids = [one.ids for one in encoded]
        return {"input_ids": ids[0] if isinstance(texts, str) else ids}

    @property
    def all_special_ids(self) -> list[int]:
        """Ids of the special tokens."""
        return [not_none(self.backend_tokenizer.token_to_id(piece), piece) for piece in self.special.values()]

    def convert_ids_to_tokens(self, ids: Sequence[int]) -> list[str | None]:
        """Return the piece of each id."""
        return [self.backend_tokenizer.id_to_token(one) for one in ids]

    def convert_tokens_to_ids(self, pieces: Sequence[str]) -> list[int | None]:
        """Return the id of each piece."""
        return [self.backend_tokenizer.token_to_id(one) for one in pieces]

    def get_vocab(self) -> dict[str, int]:
        """Return the id of every piece."""
        return self.backend_tokenizer.get_vocab()

    @cached_property
    def in_transformers(self) -> Any:
        """A `PreTrainedTokenizerFast` of the same pieces."""
        from transformers import PreTrainedTokenizerFast  # takes a second

        return PreTrainedTokenizerFast(
            tokenizer_object=self.backend_tokenizer,
            **{f"{role}_token": piece for role, piece in self.special.items()},
            cls_token=self.special["bos"],
            sep_token=self.special["eos"],
        )


def build_tokenizer(vocabulary: E5Vocabulary) -> E5Tokenizer:
    """Return the tokenizer: normalise, collapse spaces, Unigram over words that begin with "▁", `<s>` … `</s>`."""
    special = {role: vocabulary.pieces[i] for role, i in vocabulary.special.items()}
    ids = vocabulary.special
    pairs = list(zip(vocabulary.pieces, vocabulary.scores, strict=True))
    tokenizer = Tokenizer(Unigram(pairs, unk_id=ids["unk"], byte_fallback=False))
    tokenizer.normalizer = build_normalizer(vocabulary.normalization)
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{special['bos']} $A {special['eos']}",
        pair=f"{special['bos']} $A {special['eos']} {special['eos']} $B {special['eos']}",
        special_tokens=[(special[role], ids[role]) for role in ("bos", "eos")],
    )
    tokenizer.add_special_tokens([*special.values()])  # which then are no words of a text, as in transformers
    return E5Tokenizer(tokenizer, special)


def build_normalizer(table: dict[str, str]) -> normalizers.Normalizer:
    """Return the normaliser of a table from characters to text; see the head of this file."""
    changed = {c: text for c, text in table.items() if unicodedata.normalize("NFKC", c) != text}
    read_as = {text: "".join(c for c, own in changed.items() if own == text) for text in ("", " ")}
    steps = [
        *(normalizers.Replace(Regex(f"[{re.escape(own)}]"), text) for text, own in read_as.items() if own),
        normalizers.Replace(KEPT, PLACEHOLDER),
        normalizers.NFKC(),
        normalizers.Replace(PLACEHOLDER, KEPT),
        *(normalizers.Replace(letter, known) for letter, known in load_json(LETTERS).items()),
        normalizers.Replace(Regex(" {2,}"), " "),
    ]
    return normalizers.Sequence(steps)
