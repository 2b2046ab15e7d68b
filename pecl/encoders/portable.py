"""The tokenizer of a text tower for files that are used without pecl: one class for all, which keeps what is written.

transformers' own classes of some models build their normalizer anew when they are loaded, so what pecl adds to it is
lost. `PreTrainedTokenizerFast` loads `tokenizer.json` as it is.
"""

import copy
import json
from collections.abc import Sequence
from typing import Any

from tokenizers import Tokenizer, normalizers, processors
from transformers import PreTrainedTokenizerFast

from pecl.encoders.cleaning import CANONICALIZE, normalizer_of
from pecl.encoders.tokenizing import Tokenizing, around
from pecl.errors import ConfigError

_PROBES = ("a", "1 a", "A b.")
_ROLES = ("bos_token", "eos_token", "pad_token", "unk_token", "cls_token", "sep_token", "mask_token")


def portable_tokenizer(tower: Tokenizing, *, with_prefix: bool = False) -> PreTrainedTokenizerFast:
    """Return a tokenizer that gives the tower's tokens: it cleans texts, and begins them with the language's token.

    The language is that of `tower.speaking`. `with_prefix` adds the tower's prefix, as tokens before every text.
    Raise ConfigError for a tokenizer that does not allow it.
    """
    plain = getattr(tower.tokenizer, "in_transformers", tower.tokenizer)
    if not hasattr(plain, "backend_tokenizer"):
        raise ConfigError(
            f"the tokenizer of text tower {tower.name} cannot be written by itself: expected a fast tokenizer of "
            f"transformers, got a {type(plain).__name__}"
        )
    backend = _cleaning(plain.backend_tokenizer, tower.clean) if tower.clean else copy.deepcopy(plain.backend_tokenizer)
    special = {role: token for role in _ROLES if (token := getattr(plain, role)) is not None}
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        model_input_names=["input_ids", "attention_mask"],
        padding_side="right",
        split_special_tokens=tower.clean == CANONICALIZE,  # which leaves no text that spells one
        **special,
    )
    before, after = around(plain)
    first = before
    if tower.names_languages and tower.language is not None:
        first = [tower.language_token(tower.language), *before[1:]]
    prefix = _prefix_tokens(tower) if with_prefix and tower.text_prefix else []
    if [*first, *prefix] != before:
        tokenizer.backend_tokenizer.post_processor = _template(plain, [*first, *prefix], after)
    if prefix:
        _check_prefix(tokenizer, tower, first, before)
    return tokenizer


def _cleaning(backend: Any, clean: str) -> Any:
    """Return a copy of a tokenizer's backend that cleans a text, and only then looks for special tokens in it."""
    document = json.loads(backend.to_str())
    if clean != CANONICALIZE:  # there a special token would be cleaned, too, and found in words
        for token in document["added_tokens"]:
            token["normalized"] = True
    copied = Tokenizer.from_str(json.dumps(document))
    own = [] if copied.normalizer is None else [copied.normalizer]
    copied.normalizer = normalizers.Sequence([*normalizer_of(clean), *own])
    return copied


def _prefix_tokens(tower: Tokenizing) -> list[int]:
    text = _PROBES[0]
    whole, own = (tower.tokenizer(t, add_special_tokens=False)["input_ids"] for t in (tower.text_prefix + text, text))
    return whole[: len(whole) - len(own)]


def _template(plain: Any, before: Sequence[int], after: Sequence[int]) -> processors.TemplateProcessing:
    groups = {name: list(ids) for name, ids in (("before", before), ("after", after)) if ids}
    single = [f"[{name}]" if name in groups else name for name in ("before", "$A", "after") if name in {*groups, "$A"}]
    return processors.TemplateProcessing(
        single=single,
        special_tokens=[
            {"id": f"[{name}]", "ids": ids, "tokens": plain.convert_ids_to_tokens(ids)} for name, ids in groups.items()
        ],
    )


def _check_prefix(tokenizer: Any, tower: Tokenizing, first: Sequence[int], before: Sequence[int]) -> None:
    for probe in _PROBES:
        expected = tower.whole(probe)
        if tokenizer(probe)["input_ids"] != [*first, *expected[len(before) :]]:
            raise ConfigError(
                f"the tokenizer of text tower {tower.name} cannot be written by itself: no template puts "
                f"{tower.text_prefix!r} before a text as the tower does, such as before {probe!r}"
            )
