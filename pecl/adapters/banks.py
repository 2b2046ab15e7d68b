"""`Banks`: adapters of any specs by name, on one text tower that stays plain; `load_bank`: those that pecl ships.

Adapters of one spec share a bank, so that texts of their languages are embedded in one pass. Each further spec has
its own bank, and so its own pass. All banks share the weights of the tower.
"""

from collections.abc import Iterable, Mapping, Sequence

import torch
import torch.nn.functional as F

from pecl.adapters.bank import AdapterBank, name_of, of_each
from pecl.adapters.formats.files import AdapterFile, load_adapter_file
from pecl.adapters.kind import AdapterConfig
from pecl.adapters.ready import ALL, chosen_adapters
from pecl.adapters.spec import describe, in_order
from pecl.encoders.batches import as_texts
from pecl.encoders.text import MultilingualTextEncoder
from pecl.encoders.towers import load_text_encoder
from pecl.errors import ConfigError, suggest
from pecl.files.reading import without_garbage_collection
from pecl.languages import COMMON, ENGLISH, find_name, listed


class Banks:
    """The plain text tower and named adapters; the name of an adapter is usually its language.

    Args:
        tower: text tower without an adapter; it stays so.
        files: adapters to begin with, see `add`.
        plain: the languages that the plain tower embeds; by default every language without an adapter.
    """

    def __init__(
        self, tower: MultilingualTextEncoder, files: Iterable[AdapterFile] = (), plain: Sequence[str] | None = None
    ) -> None:
        self.tower = tower
        self._plain = plain
        self.banks: list[AdapterBank] = []
        self._bank_of: dict[str, AdapterBank] = {}
        named: dict[str, AdapterFile] = {}
        for file in files:
            named[self._new_name(file, None, named)] = file
        self._add(named)

    @property
    def names(self) -> list[str]:
        """Names of the adapters, in the order in which they were added."""
        return list(self._bank_of)

    @property
    def languages(self) -> list[str]:
        """Names of the adapters, and the languages that the plain tower embeds if they are limited."""
        return [*self._bank_of, *(self._plain or ())]

    @property
    def preferred(self) -> list[str]:
        """The languages that a guess of a text's language prefers: English, and those with an adapter.

        With more adapters than `COMMON` has languages, only languages in `COMMON` count. A guess that preferred all
        would doubt most short texts.
        """
        names = list(self._bank_of)
        if len(names) > len(COMMON):
            names = [name for name in names if name in COMMON]
        return list(dict.fromkeys((ENGLISH, *names)))

    def add(self, file: AdapterFile, name: str | None = None) -> str:
        """Add an adapter and return its name, which is the language of the file unless another is given.

        Raises:
            ConfigError: the name is taken, or the file says no language and no name is given.
            WeightsError: the file was made for another tower, or its parameters do not fit.
        """
        name = self._new_name(file, name)
        self._add({name: file})
        return name

    def _new_name(self, file: AdapterFile, name: str | None, others: Iterable[str] = ()) -> str:
        name = name_of(file, name)
        if find_name(name, [*self._bank_of, *others]) is not None:
            raise ConfigError(f"adapter {name!r} is loaded already: unload it first, or use another name")
        return name

    def _add(self, files: Mapping[str, AdapterFile]) -> None:
        """Add files by name, those of one spec in one step."""
        groups: dict[tuple[AdapterConfig, ...], dict[str, AdapterFile]] = {}
        for name, file in files.items():
            file.check_tower(self.tower)
            groups.setdefault(in_order(file.configs), {})[name] = file
        for configs, group in groups.items():
            bank = next((bank for bank in self.banks if in_order(bank.configs) == configs), None)
            bank = bank or AdapterBank(self.tower, configs)
            bank.add_files(group.items())
            if bank not in self.banks:
                self.banks.append(bank)
            self._bank_of |= dict.fromkeys(group, bank)

    def remove(self, name: str) -> None:
        """Remove an adapter, which frees its memory, or raise ConfigError if it is not loaded."""
        bank = self.bank_of(name)
        del self._bank_of[name]
        bank.remove(name)
        if not len(bank):
            self.banks.remove(bank)

    def find(self, name: str | None) -> str | None:
        """Return the adapter with this name or for this language, by any of its names; None without one."""
        return None if name is None else find_name(name, self._bank_of)

    def specs(self) -> dict[str, str]:
        """Return the spec of each adapter, by name."""
        return {name: describe(bank.configs) for name, bank in list(self._bank_of.items())}

    def bank_of(self, name: str) -> AdapterBank:
        """Return the bank that an adapter is in, or raise ConfigError if it is not loaded."""
        if name not in self._bank_of:
            raise ConfigError(self.missing(name))
        return self._bank_of[name]

    def missing(self, name: str) -> str:
        """Return the sentence for an adapter that is not loaded."""
        known = listed(self.languages) or "none yet"
        return f"expected an adapter that is loaded ({known}), got {name!r}{suggest(name, self.languages)}"

    def encode_text(
        self,
        texts: str | Iterable[str],
        language: str | Sequence[str | None] | None = None,
        batch_size: int = 64,
        *,
        normalize: bool = True,
    ) -> torch.Tensor:
        """Return the embeddings of N texts, (N, D) float32 on the CPU, each with the adapter of its language.

        The plain tower embeds texts of the language None, and of languages without adapter unless they are limited.
        Arguments are those of `AdapterBank.encode_text`.

        Raises:
            ConfigError: there are not as many languages as texts, or a language is neither loaded nor plain.
            DataError: `texts` is neither a text nor several.
        """
        texts = as_texts(texts)
        languages = of_each(language, len(texts))
        names = {one: self._name_of(one) for one in dict.fromkeys(languages)}
        rows: dict[AdapterBank | None, list[int]] = {}
        for i, one in enumerate(languages):
            name = names[one]
            rows.setdefault(None if name is None else self._bank_of[name], []).append(i)
        found = torch.empty(len(texts), self.tower.embedding_dim)  # (N, D)
        for bank, places in rows.items():
            own = [texts[i] for i in places]
            if bank is None:
                token_ids = self.tower.tokenize(own, [languages[i] or ENGLISH for i in places])
                found[places] = self.tower.encode_token_ids(token_ids, batch_size)
            else:
                adapters = [str(names[languages[i]]) for i in places]
                found[places] = bank.encode_text(own, adapters, batch_size, normalize=False)
        return F.normalize(found, dim=1) if normalize else found

    def _name_of(self, language: str | None) -> str | None:
        """Return the adapter that embeds a language; None for the plain tower."""
        found = self.find(language)
        if found is not None or language is None or self._plain is None:
            return found
        if find_name(language, self._plain) is None:
            raise ConfigError(f"language: {self.missing(language)}")
        return None


def load_bank(
    profile: str = "mini",
    languages: str | Iterable[str] = ALL,
    *,
    tower: MultilingualTextEncoder | None = None,
    device: str = "cpu",
) -> Banks:
    """Return the shipped adapters of a profile, by language, on its text tower.

    The plain tower embeds English, under its name like every other language.

    Args:
        profile: a pair of towers; adapters are shipped for `mini`.
        languages: names of languages; `all` for every language with an adapter.
        tower: the profile's text tower, without an adapter; it stays as it is. Loaded unless given.
        device: device of a tower that is loaded.

    Raises:
        ConfigError: no adapters are shipped for the profile, or for a language.
        WeightsError: `tower` is not the one that the adapters were trained on.

    Example:
        >>> bank = pecl.load_bank("mini", ["cs", "sw"])
        >>> bank.encode_text(["pes na pláži", "a dog on the beach"], language=["cs", "en"]).shape
        torch.Size([2, 256])
    """
    paths = chosen_adapters(profile, languages)
    tower = tower or load_text_encoder(profile, device=device)
    with without_garbage_collection():
        return Banks(tower, [load_adapter_file(path, tower) for path in paths], plain=[ENGLISH])
