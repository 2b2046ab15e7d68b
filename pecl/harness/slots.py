"""One text tower for many languages: those of a bank in their slots, every other by the plain tower."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import torch

from pecl.adapters.bank import AdapterBank
from pecl.adapters.formats.files import load_adapter_file
from pecl.encoders.text import MultilingualTextEncoder


class SlottedText:
    """A text tower that embeds each language with its adapter, where it has one, and otherwise as it is.

    Args:
        tower: text tower without an adapter; it stays so.
        adapters: adapter files; or files by language, for an adapter that serves another than it was trained for.

    Raises:
        WeightsError: a file cannot be used on `tower`.
        ConfigError: two files of one language, or of different configurations.
    """

    def __init__(
        self, tower: MultilingualTextEncoder, adapters: Iterable[str | Path] | Mapping[str, str | Path] = ()
    ) -> None:
        self.tower = tower
        self.bank: AdapterBank | None = None
        if not adapters:
            return
        if not isinstance(adapters, Mapping):
            self.bank = AdapterBank.from_files(tower, adapters)
            return
        for language, path in adapters.items():
            file = load_adapter_file(path, tower)
            self.bank = self.bank or AdapterBank(tower, file.configs)
            self.bank.add(str(language), file)

    @property
    def languages(self) -> list[str]:
        """The languages that have an adapter."""
        return [] if self.bank is None else self.bank.languages

    def encode_text(self, texts: Iterable[str], language: str | None) -> torch.Tensor:
        """Return the embeddings (N, D) of texts of one language, None being one that is not known."""
        if self.bank is not None and language is not None and language in self.bank:
            return self.bank.encode_text(texts, language)
        return self.tower.encode_text(texts)
