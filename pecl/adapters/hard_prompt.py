"""Hard prompt: a text in front of every text. It has no parameters.

The release calls it a textual prefix. Its tokens are put into the sequence behind the tower's own prefix, so texts may
be tokenised before or after the adapter is attached; the embeddings are those of prefix + prompt + text as long as the
tokenizer does not join the prompt's last token with the text's first, which the space at its end prevents.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from pecl.adapters.base import HARD_PROMPT, AdapterConfig, Placement
from pecl.adapters.options import option
from pecl.adapters.slots import SlotPrompt, SlotRows, insert
from pecl.encoders.text import MultilingualTextEncoder, PromptedInputs
from pecl.errors import ConfigError


@dataclass(frozen=True)
class HardPromptConfig(AdapterConfig):
    """A text in front of every text."""

    kind: ClassVar[str] = "hard_prompt"
    level: ClassVar[int] = HARD_PROMPT
    text: str = option("Language: ", "the text, with the space that ends it")

    @property
    def text_prompt(self) -> str:
        """What a merged tower puts before every text."""
        return self.text

    def placements(self, tower: MultilingualTextEncoder) -> list[Placement]:
        """Return the prompt, at the word embeddings.

        Raises:
            ConfigError: the text has no tokens.
        """
        token_ids, tower_prefix = (
            tower.tokenizer(text, add_special_tokens=False)["input_ids"] if text else []
            for text in (self.text, tower.text_prefix)
        )
        if not token_ids:
            raise ConfigError(f"hard_prompt: text {self.text!r} has no tokens")
        place = 1 + len(tower_prefix)  # behind the first special token and the tower's prefix
        return self.at_roles(
            tower, ("word_embeddings",), lambda base, rows: SlotHardPrompt(base, rows, token_ids, place)
        )


class SlotHardPrompt(SlotPrompt):
    """Word embeddings with the tokens of one text, the same for all slots."""

    def __init__(self, base: nn.Module, rows: SlotRows, token_ids: list[int], place: int) -> None:
        super().__init__(base, rows)
        self.token_ids = token_ids
        self.length = len(token_ids)
        self.place = place

    def reset_slot(self, slot: int, generator: torch.Generator) -> None:
        """Do nothing: there are no parameters."""

    def extend(self, inputs: PromptedInputs) -> PromptedInputs:
        """Put the text's tokens behind the tower's prefix."""
        ids = torch.tensor(self.token_ids, device=inputs.embeddings.device).unsqueeze(0)  # (1, P)
        return insert(inputs, self(ids), self.place, pooled=True)

    def merged(self, slot: int) -> nn.Module:
        """Return the word embeddings: a merged tower puts the text itself before every text."""
        return self.plain_base(slot)
