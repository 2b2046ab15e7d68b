"""Hard prompt: a text put before every text. It has no parameters.

The release calls it a textual prefix. It works when texts are tokenised: tokenise after the adapter is attached.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from pecl.adapters.base import AdapterConfig, Placement
from pecl.adapters.options import option
from pecl.encoders.text import MultilingualTextEncoder


@dataclass(frozen=True)
class HardPromptConfig(AdapterConfig):
    """A text before every text, behind the tower's own prefix."""

    kind: ClassVar[str] = "hard_prompt"
    text: str = option("Language: ", "the text, with the space that ends it")

    @property
    def text_prompt(self) -> str:
        """The text."""
        return self.text

    def placements(self, tower: MultilingualTextEncoder) -> list[Placement]:
        """Return nothing: no layer changes."""
        return []
