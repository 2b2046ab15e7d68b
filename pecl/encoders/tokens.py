"""Token ids of texts in the form that a family of towers takes: special tokens around a text, its end, its padding."""

import copy
from collections.abc import Sequence
from typing import Any

import torch

from pecl.errors import ConfigError

_PROBE = "a"


def around(tokenizer: Any) -> tuple[list[int], list[int]]:
    """Return the special tokens that a tokenizer puts before and behind every text."""
    whole = tokenizer(_PROBE)["input_ids"]
    bare = tokenizer(_PROBE, add_special_tokens=False)["input_ids"]
    start = next(i for i in range(len(whole)) if whole[i : i + len(bare)] == bare)
    return whole[:start], whole[start + len(bare) :]


def beginning_with(tokenizer: Any, token: str) -> Any:
    """Return a copy of NLLB's tokenizer that begins every text with the token of a language.

    Raises:
        ConfigError: it is another tokenizer, whose texts begin with no language.
    """
    if not hasattr(tokenizer, "src_lang"):
        raise ConfigError(f"a {type(tokenizer).__name__} cannot be written for one language: expected NLLB's tokenizer")
    copied = copy.deepcopy(tokenizer)
    copied.src_lang = copied.init_kwargs["src_lang"] = token
    return copied


def cut_behind(row: list[int], end: int) -> list[int]:
    """Return the tokens of a text up to the first `end`, which is among them."""
    return row[: row.index(end) + 1] if end in row else row


def filled_up(row: list[int], length: int, padding: int) -> list[int]:
    """Return the tokens of a text with padding behind them, `length` in all."""
    return row + [padding] * (length - len(row))


def cut_to(input_ids: torch.Tensor, length: int, padding: int, end: Sequence[int]) -> torch.Tensor:
    """Return padded texts (B, L) cut to at most `length` tokens, as a tokenizer cuts them.

    Args:
        input_ids: (B, L) int64; the tokens come first.
        length: below L.
        padding: token of padding.
        end: tokens that end every text; longer texts end in them, too.

    Returns:
        (B, length).
    """
    kept = input_ids[:, :length]
    is_cut = (input_ids[:, length] != padding).unsqueeze(1)  # (B, 1)
    words, last = kept[:, : length - len(end)], kept[:, length - len(end) :]
    return torch.cat([words, torch.where(is_cut, torch.tensor(end, device=kept.device), last)], dim=1)
