"""A tokenizer that needs no tower: the prefix of every text is part of its template of special tokens."""

import copy

from tokenizers import processors
from transformers import PreTrainedTokenizerFast

from pecl.encoders.text import MultilingualTextEncoder
from pecl.encoders.tokenizing import around
from pecl.errors import ConfigError

_PROBES = ("a", "1 a", "A b.")
_ROLES = ("bos_token", "eos_token", "pad_token", "unk_token", "cls_token", "sep_token", "mask_token")


def with_prefix(text: MultilingualTextEncoder) -> PreTrainedTokenizerFast:
    """Return the tower's tokenizer with its prefix in the template that puts special tokens around a text.

    Raise ConfigError if tokens of prefix and text depend on each other, so that no template gives the same.
    """
    plain = text.written_tokenizer()
    special = {role: token for role in _ROLES if (token := getattr(plain, role)) is not None}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=copy.deepcopy(plain.backend_tokenizer), **special)
    if not text.text_prefix:
        return tokenizer
    before, after = around(plain)
    bare = plain(text.text_prefix + _PROBES[0], add_special_tokens=False)["input_ids"]
    own = plain(_PROBES[0], add_special_tokens=False)["input_ids"]
    prefix = bare[: len(bare) - len(own)]
    groups = {name: ids for name, ids in (("before", [*before, *prefix]), ("after", after)) if ids}
    template = [f"[{name}]" if name != "$A" else name for name in ("before", "$A", "after") if name in {*groups, "$A"}]
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single=template,
        special_tokens=[
            {"id": f"[{name}]", "ids": ids, "tokens": plain.convert_ids_to_tokens(ids)} for name, ids in groups.items()
        ],
    )
    for probe in _PROBES:
        if tokenizer(probe)["input_ids"] != plain(text.text_prefix + probe)["input_ids"]:
            raise ConfigError(
                f"the tokenizer of text tower {text.name} cannot be written by itself: no template puts "
                f"{text.text_prefix!r} before a text as the tower does, such as before {probe!r}"
            )
    return tokenizer
