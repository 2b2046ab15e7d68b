"""The Unigram tokenizer of an E5S1 file, as a transformers tokenizer.

Its normalisation is the table of the file. That is NFKC but for 119 characters, so NFKC does the work, after the
characters that the table drops or reads as a space, and around the one that it keeps although NFKC would not ("～").
Two things go beyond the table's single characters, both as in SentencePiece's own normaliser: NFKC also composes
decomposed accents and Hangul, and reads compatibility characters that are younger than the table (none is a piece).
"""

import re
import unicodedata
from typing import Any

from tokenizers import Regex, Tokenizer, normalizers, pre_tokenizers, processors
from tokenizers.models import Unigram
from transformers import PreTrainedTokenizerFast

from pecl.encoders.loading.e5 import E5Vocabulary

KEPT = "\uff5e"  # fullwidth tilde; NFKC would make it "~", the table and the vocabulary keep it
PLACEHOLDER = "\ue000"  # a private-use character in the place of KEPT while NFKC runs


class _Own:
    """A tokenizer that nothing else uses, so that transformers, which copies its arguments, takes it without a copy."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer

    def __deepcopy__(self, memo: dict[int, Any]) -> Tokenizer:
        return self.tokenizer


def build_tokenizer(vocabulary: E5Vocabulary) -> PreTrainedTokenizerFast:
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
    return PreTrainedTokenizerFast(
        tokenizer_object=_Own(tokenizer),  # a copy of its 250,000 pieces would take .7 s
        **{f"{role}_token": piece for role, piece in special.items()},
        cls_token=special["bos"],
        sep_token=special["eos"],
    )


def build_normalizer(table: dict[str, str]) -> normalizers.Normalizer:
    """Return the normaliser of a table from characters to text; see the head of this file for its additions."""
    changed = {c: text for c, text in table.items() if unicodedata.normalize("NFKC", c) != text}
    dropped = "".join(c for c, text in changed.items() if text == "")
    spaces = "".join(c for c, text in changed.items() if text == " ")
    steps = []
    if dropped:
        steps.append(normalizers.Replace(Regex(f"[{re.escape(dropped)}]"), ""))
    if spaces:
        steps.append(normalizers.Replace(Regex(f"[{re.escape(spaces)}]"), " "))
    steps += [
        normalizers.Replace(KEPT, PLACEHOLDER),
        normalizers.NFKC(),
        normalizers.Replace(PLACEHOLDER, KEPT),
        normalizers.Replace(Regex(" {2,}"), " "),
    ]
    return normalizers.Sequence(steps)
