"""Soft prompt on slots: P trained vectors before the first word of every text.

Lester et al., "The Power of Scale for Parameter-Efficient Prompt Tuning", EMNLP 2021, as in the method's release: the
vectors enter as word embeddings after `<s>`, so they get positions like words and shift those of the words after them.
A prompt is not the identity, even at the start.
"""

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch
from torch import nn

from pecl.adapters.kind import SOFT_PROMPT, AdapterConfig, Placement
from pecl.adapters.slots import SlotPrompt, SlotRows, innermost, insert, normal
from pecl.encoders.row_adapter import PromptedInputs
from pecl.encoders.text import MultilingualTextEncoder
from pecl.encoders.tokenizing import around
from pecl.errors import ConfigError
from pecl.options import option

DEFAULT_TOKENS = 4


@dataclass(frozen=True)
class SoftPromptConfig(AdapterConfig):
    """Trained vectors in the input sequence."""

    kind: ClassVar[str] = "soft_prompt"
    level: ClassVar[int] = SOFT_PROMPT
    num_virtual_tokens: int | None = option(
        None, f"number P of vectors (default: {DEFAULT_TOKENS}, or one for each token of init_text)", low=1
    )
    init_text: str | None = option(None, "start at the word embeddings of this text's tokens instead of N(0, 0.02^2)")
    pool_prompt: bool = option(True, "include the vectors in the mean over tokens, as the method's release does")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.init_text is not None and self.num_virtual_tokens is not None:
            raise ConfigError("soft_prompt: init_text sets the number of vectors, so leave num_virtual_tokens out")

    def placements(self, tower: MultilingualTextEncoder) -> list[Placement]:
        """Return the prompt, at the word embeddings."""
        token_ids = None
        if self.init_text is not None:
            token_ids = tower.tokenizer(self.init_text, add_special_tokens=False)["input_ids"]
            if not token_ids:
                raise ConfigError(f"soft_prompt: init_text {self.init_text!r} has no tokens")
        p = len(token_ids) if token_ids else self.num_virtual_tokens or DEFAULT_TOKENS
        position = 1 if tower.tokenizer is None else len(around(tower.tokenizer)[0])  # known only by its shape
        make = partial(SlotSoftPrompt, p=p, position=position, token_ids=token_ids, pool_prompt=self.pool_prompt)
        return self.at_roles(tower, ("word_embeddings",), make)


class SlotSoftPrompt(SlotPrompt):
    """Word embeddings with S prompts: prompt (S, P, d)."""

    cannot_merge = "the vectors of a soft prompt are part of the input sequence"

    def __init__(
        self, base: nn.Module, rows: SlotRows, p: int, position: int, token_ids: list[int] | None, pool_prompt: bool
    ) -> None:
        super().__init__(base, rows)
        self.length = p
        self.position = position
        self.token_ids = token_ids
        self.pool_prompt = pool_prompt
        words = innermost(base).weight  # (V, d)
        self.prompt = self.slot_parameter(p, words.shape[1], like=words)

    def reset_slot(self, slot: int, generator: torch.Generator) -> None:
        """Fill with the word embeddings of the initial text, or draw from N(0, 0.02^2)."""
        if self.token_ids is not None:
            words = innermost(self.base)
            self.prompt.data[slot] = words(torch.tensor(self.token_ids, device=self.prompt.device)).detach()
        else:
            self.prompt.data[slot] = normal(self.prompt.shape[1:], 0.02, generator)

    def extend(self, inputs: PromptedInputs) -> PromptedInputs:
        """Put the prompt of each row's slot before the first word."""
        return insert(inputs, self.rows.take(self.prompt), self.position, self.pool_prompt)
