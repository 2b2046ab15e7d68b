"""`AdapterBank`: the adapters of many languages on one frozen text tower, one slot each.

A batch of mixed languages is embedded in one pass. The bank shares the tower's weights, and holds a few parameters per
language.
"""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from pecl.adapters.adapter import attach, check_finite, check_state
from pecl.adapters.formats.files import AdapterFile, load_adapter_file, save_adapter
from pecl.adapters.kind import AdapterConfig
from pecl.adapters.merge import merge_slot, second_tower
from pecl.adapters.spec import describe, in_order, parse_adapter
from pecl.encoders.batches import as_texts
from pecl.encoders.text import MultilingualTextEncoder
from pecl.errors import ConfigError, suggest
from pecl.languages import find_name


@dataclass(frozen=True)
class BankReport:
    """The cost of the languages of a bank."""

    tower_bytes: int  # of the frozen tower's weights
    bytes_per_language: int
    seconds: dict[str, float]  # to add each language, including the reading of files

    @property
    def share(self) -> float:
        """Memory of all languages' parameters, relative to the tower's."""
        return len(self.seconds) * self.bytes_per_language / self.tower_bytes


class AdapterBank:
    """Adapters of one configuration, by language, on one tower.

    A language has every name that `pecl.languages.any_language_code` reads: `ja`, `Japanese` and `jp` are one.

    Args:
        tower: text tower without an adapter. It stays as it is: the bank works on a view that shares its weights.
        adapter: spec or configs that all languages share.

    Attributes:
        tower: the view, with the bank's adapter on it.
        adapter: the adapter, with one slot per language.

    Raises:
        ConfigError: the spec is wrong, does not fit the tower, or the tower has an adapter already.

    Example:
        >>> bank = AdapterBank(load_mini_text(), "lora")
        >>> bank.load("de.safetensors"), bank.load("cs.safetensors")
        ('de', 'cs')
        >>> bank.encode_text(["ein Hund", "pes"], language=["de", "cs"]).shape
        torch.Size([2, 256])
    """

    def __init__(self, tower: MultilingualTextEncoder, adapter: str | Sequence[AdapterConfig]) -> None:
        configs = parse_adapter(adapter) if isinstance(adapter, str) else in_order(adapter)
        self.tower = second_tower(tower)
        self.adapter = attach(self.tower, configs, seeds=())
        self._seconds: dict[str, float] = {}  # by language, in the order of the slots

    @classmethod
    def from_files(cls, tower: MultilingualTextEncoder, paths: Iterable[str | Path]) -> "AdapterBank":
        """Return a bank of the adapters in `paths`, each under the language that its file names.

        Raises:
            WeightsError: a file cannot be used on `tower`.
            ConfigError: no paths, two files of one language, or of different configurations.
        """
        files = [load_adapter_file(path, tower) for path in paths]
        if not files:
            raise ConfigError("files: expected at least one adapter file, got none")
        bank = cls(tower, files[0].configs)
        bank.add_files((name_of(file), file) for file in files)
        return bank

    @property
    def languages(self) -> list[str]:
        """The languages of the bank, in the order in which they were added."""
        return list(self._seconds)

    @property
    def configs(self) -> tuple[AdapterConfig, ...]:
        """The configuration that all languages share."""
        return self.adapter.configs

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(adapter={describe(self.configs)!r}, languages={self.languages}, "
            f"parameters_per_language={self.adapter.num_parameters():_}, tower={self.tower.name!r}, "
            f"device={str(self.tower.device)!r})"
        )

    def __len__(self) -> int:
        return len(self._seconds)

    def __contains__(self, language: str) -> bool:
        return find_name(language, self._seconds) is not None

    def add(self, language: str, adapter: AdapterFile | Mapping[str, torch.Tensor] | str | Path) -> None:
        """Add a language: a file, its path, or the parameters themselves (`Adapter.slot_state`).

        Raises:
            ConfigError: the bank has the language already, or the file's configuration is another.
            WeightsError: the parameters do not fit, or the file cannot be used on this tower.
        """
        self.add_files([(language, adapter)])

    def add_files(self, adapters: Iterable[tuple[str, AdapterFile | Mapping[str, torch.Tensor] | str | Path]]) -> None:
        """Add languages with their adapters in one step: memory grows once.

        Raises:
            ConfigError, WeightsError: as `add`; no language is added.
        """
        start = time.perf_counter()
        states: dict[str, Mapping[str, torch.Tensor]] = {}
        held = self.adapter.held()
        for language, adapter in adapters:
            if isinstance(adapter, str | Path):
                adapter = load_adapter_file(adapter)
            self._check_new(language, [*self._seconds, *states])
            if isinstance(adapter, AdapterFile):  # its values were checked when it was read
                self._check_file(adapter)
                adapter = adapter.state
            else:
                check_finite(adapter)
            check_state(adapter, held)
            states[language] = adapter
        first = len(self)
        self.adapter.rearrange(range(first), new=len(states))
        self.adapter.put_slot_states(dict(enumerate(states.values(), first)))
        seconds = (time.perf_counter() - start) / max(len(states), 1)
        self._seconds |= dict.fromkeys(states, seconds)

    def load(self, path: str | Path, language: str | None = None) -> str:
        """Add the adapter in a file under its own language or `language`, and return the language."""
        file = load_adapter_file(path)
        language = name_of(file, language)
        self.add(language, file)
        return language

    def save(self, language: str, path: str | Path) -> Path:
        """Write the adapter of one language to a file."""
        state = self.adapter.slot_state(self.slot(language))
        return save_adapter(path, state, self.configs, language, self.tower)

    def remove(self, language: str) -> None:
        """Take a language out of the bank; its memory is freed."""
        slot = self.slot(language)
        self.adapter.rearrange([other for other in range(len(self)) if other != slot])
        del self._seconds[self.languages[slot]]

    def rename(self, language: str, new: str) -> None:
        """Give a language another name."""
        slot = self.slot(language)
        self._check_new(new, self.languages[:slot] + self.languages[slot + 1 :])
        self._seconds = {new if i == slot else name: self._seconds[name] for i, name in enumerate(self.languages)}

    def slot(self, language: str) -> int:
        """Return the slot of `language`.

        Raises:
            ConfigError: it is not in the bank; the message lists those that are.
        """
        name = find_name(language, self._seconds)
        if name is None:
            known, hint = ", ".join(self.languages) or "none yet", suggest(language, self.languages)
            raise ConfigError(f"language: expected one in the bank ({known}), got {language!r}{hint}")
        return self.languages.index(name)

    def encode_text(
        self,
        texts: str | Iterable[str],
        language: str | Sequence[str],
        batch_size: int = 64,
        progress: str | None = None,
        *,
        normalize: bool = True,
    ) -> torch.Tensor:
        """Return the embeddings of `texts`: (N, D), float32 on the CPU, without gradients.

        Args:
            texts: one text (N = 1) or N texts.
            language: language of all texts, or of each, by any of its names.
            batch_size: texts in one pass. Languages are mixed within it, except those that fill passes of their own.
            progress: name of a progress bar, or None for no bar.
            normalize: whether each embedding is scaled to length 1, see `MultilingualTextEncoder.encode_text`.

        Raises:
            ConfigError: a language is not in the bank, or there are not as many languages as texts.
            DataError: `texts` is neither a text nor several.
        """
        texts = as_texts(texts)
        names = of_each(language, len(texts))
        slot_of = {name: self.slot(name) for name in dict.fromkeys(names)}
        slots = torch.tensor([slot_of[name] for name in names], dtype=torch.long)  # (N,)
        token_ids = self.tower.tokenize(texts, names)  # all at once: one warning says how many were cut
        embeddings = torch.empty(len(texts), self.tower.embedding_dim)  # (N, D)
        for places in _together(slots, batch_size):
            own = [token_ids[i] for i in places.tolist()]
            embeddings[places] = self.tower.encode_token_ids(own, batch_size, slots[places], progress)
        return F.normalize(embeddings, dim=1) if normalize else embeddings

    def merge(self, language: str) -> MultilingualTextEncoder:
        """Return a plain tower for one language, without the adapter's overhead.

        Raises:
            ConfigError: the language is not in the bank.
            WeightsError: an adapter of this kind cannot be merged; the message says why.
        """
        return merge_slot(self.adapter, self.slot(language))

    def memory_report(self) -> BankReport:
        """Return the memory of the languages, and the time to add each."""
        own = {id(tensor): tensor for _, tensor in self.adapter.named_tensors()}
        size = sum(one.nbytes for one in [*self.tower.parameters(), *self.tower.buffers()] if id(one) not in own)
        each = sum(tensor.element_size() * tensor.shape[1:].numel() for tensor in own.values())
        return BankReport(size, each, dict(self._seconds))

    def close(self) -> None:
        """Remove all languages, which frees their memory."""
        self.adapter.rearrange([])
        self._seconds = {}

    def _check_new(self, language: str, others: Iterable[str]) -> None:
        if (name := find_name(language, others)) is not None:
            as_name = "" if name == language else f", as {name!r}"
            raise ConfigError(
                f"language {language!r} is in the bank already{as_name}; remove it first or use another name"
            )

    def _check_file(self, file: AdapterFile) -> None:
        file.check_tower(self.tower)
        if in_order(file.configs) != in_order(self.configs):
            raise ConfigError(
                f"adapter {file.path} is {describe(file.configs)}, but the bank holds {describe(self.configs)}: "
                "the languages of one bank share one configuration"
            )


def name_of(file: AdapterFile, name: str | None = None) -> str:
    """Return `name`, or without one the language of the file; raise ConfigError where it says none."""
    name = name or file.language
    if name is None:
        raise ConfigError(f"adapter {file.path} does not say which language it is for: expected a name for it")
    return name


def of_each(language: str | Sequence[Any] | None, count: int) -> list[Any]:
    """Return the language of each of `count` texts, given one for all or one for each; else raise ConfigError."""
    languages = [language] * count if language is None or isinstance(language, str) else list(language)
    if len(languages) != count:
        raise ConfigError(f"{len(languages)} languages for {count} texts: expected one language, or one per text")
    return languages


def _together(slots: torch.Tensor, batch_size: int) -> Iterator[torch.Tensor]:
    """Yield the places of texts that share passes: those of each slot that fills one, and all others.

    Rows of several slots cost more than rows of one; that pays only if it saves passes.
    """
    fills = slots.bincount() >= batch_size  # (S,)
    for slot in fills.nonzero().flatten():
        yield (slots == slot).nonzero().flatten()
    others = (~fills[slots]).nonzero().flatten()
    if len(others):
        yield others
