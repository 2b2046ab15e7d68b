"""Token ids of texts in the form that a family of towers takes: special tokens around a text, its end, its padding."""

import copy
from collections.abc import Sequence
from typing import Any

import torch

from pecl.errors import ConfigError


def around(tokenizer: Any) -> tuple[list[int], list[int]]:
    """Return the special tokens that a tokenizer puts before and behind every text."""
    whole = tokenizer("a")["input_ids"]
    bare = tokenizer("a", add_special_tokens=False)["input_ids"]
    start = next(i for i in range(len(whole)) if whole[i : i + len(bare)] == bare)
    return whole[:start], whole[start + len(bare) :]


def beginning_with(tokenizer: Any, token: str) -> Any:
    """Return a copy of NLLB's tokenizer, no other, that begins every text with the token of a language."""
    if not hasattr(tokenizer, "src_lang"):
        raise ConfigError(f"a {type(tokenizer).__name__} cannot be written for one language: expected NLLB's tokenizer")
    copied = copy.deepcopy(tokenizer)
    copied.src_lang = copied.init_kwargs["src_lang"] = token
    return copied


def cut_to(input_ids: torch.Tensor, length: int, padding: int, end: Sequence[int]) -> torch.Tensor:
    """Return padded texts (B, L) cut to `length` < L, as a tokenizer cuts them: longer ones end in the tokens `end`."""
    kept = input_ids[:, :length]
    is_cut = (input_ids[:, length] != padding).unsqueeze(1)  # (B, 1)
    words, last = kept[:, : length - len(end)], kept[:, length - len(end) :]
    return torch.cat([words, torch.where(is_cut, torch.tensor(end, device=kept.device), last)], dim=1)
