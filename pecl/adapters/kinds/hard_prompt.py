"""Hard prompt: a text in front of every text. It has no parameters.

The release calls it a textual prefix. Its tokens are inserted into the sequence after the tower's own prefix, so texts
may be tokenised before or after the adapter is attached; the embeddings are those of prefix + prompt + text.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from pecl.adapters.kind import HARD_PROMPT, AdapterConfig, Placement
from pecl.adapters.slots import SlotPrompt, SlotRows, insert
from pecl.encoders.memory import to_device
from pecl.encoders.row_adapter import PromptedInputs
from pecl.encoders.text import MultilingualTextEncoder
from pecl.errors import ConfigError
from pecl.options import option


@dataclass(frozen=True)
class HardPromptConfig(AdapterConfig):
    """A text in front of every text."""

    kind: ClassVar[str] = "hard_prompt"
    level: ClassVar[int] = HARD_PROMPT
    text: str = option("Language: ", "the text, with a space at its end")

    @property
    def text_prompt(self) -> str:
        """Text that a merged tower puts before every text."""
        return self.text

    def placements(self, tower: MultilingualTextEncoder) -> list[Placement]:
        """Return the prompt, at the word embeddings."""
        ids, position = prompt_tokens(tower, self.text)
        return self.at_roles(tower, ("word_embeddings",), lambda base, rows: SlotHardPrompt(base, rows, ids, position))


def prompt_tokens(tower: MultilingualTextEncoder, text: str) -> tuple[list[int], int]:
    """Return the token ids of `text` between the tower's prefix and any text, and the position of the first.

    Tokenizers treat spaces in their own ways, so both are found with two trial texts after the prompt. Raise
    ConfigError if the prompt has no tokens, or its tokens depend on the text after it.
    """
    probes = ("x", "z")
    without_prompt = [tower.whole(probe) for probe in probes]
    with_prompt = [tower.whole(text + probe) for probe in probes]
    if without_prompt[0] == without_prompt[1]:
        raise ConfigError(f"hard_prompt: the tokenizer of {tower.name!r} does not distinguish {' and '.join(probes)}")

    position = next(i for i, pair in enumerate(zip(*without_prompt, strict=False)) if len(set(pair)) > 1)
    length = len(with_prompt[0]) - len(without_prompt[0])
    token_ids = with_prompt[0][position : position + length]
    if not token_ids:
        raise ConfigError(f"hard_prompt: text {text!r} has no tokens")
    if with_prompt != [row[:position] + token_ids + row[position:] for row in without_prompt]:
        raise ConfigError(f"hard_prompt: text {text!r} runs into the text after it: end it with a space")

    return token_ids, position


class SlotHardPrompt(SlotPrompt):
    """Word embeddings with the tokens of one text, the same for all slots."""

    def __init__(self, base: nn.Module, rows: SlotRows, token_ids: list[int], position: int) -> None:
        super().__init__(base, rows)
        self.token_ids = token_ids
        self.length = len(token_ids)
        self.position = position

    def reset_slot(self, slot: int, generator: torch.Generator) -> None:
        """Do nothing: there are no parameters."""

    def extend(self, inputs: PromptedInputs) -> PromptedInputs:
        """Insert the text's tokens after the tower's prefix."""
        ids = to_device(torch.tensor(self.token_ids), inputs.embeddings.device).unsqueeze(0)  # (1, P)
        return insert(inputs, self(ids), self.position, pooled=True)

    def merged(self, slot: int) -> nn.Module:
        """Return the plain word embeddings: a merged tower puts the prompt before every text as text."""
        return self.plain_base(slot)
