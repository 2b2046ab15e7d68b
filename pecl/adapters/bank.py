"""`AdapterBank`: a text tower with the adapters of many languages.

Languages whose adapters have the same spec are embedded in one pass, see `SlottedTower`. Each further spec needs a
pass of its own, and so does the base encoder. All share the weights of the tower.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from pecl.adapters.adapter import check_finite, check_has_no_adapter, check_state
from pecl.adapters.formats.files import AdapterFile, load_adapter_file, naming, save_adapter
from pecl.adapters.kind import AdapterConfig
from pecl.adapters.merge import SlottedTower, merge_slot
from pecl.adapters.spec import describe, in_order, parse_adapter
from pecl.encoders.batches import TokenIds, as_texts
from pecl.encoders.text import MultilingualTextEncoder
from pecl.errors import ConfigError, WeightsError, not_none, suggest
from pecl.language.languages import ENGLISH, LANGUAGES, find_name, listed, preferred
from pecl.language.reading import Reading, read_texts

logger = logging.getLogger(__name__)

Parameters = Mapping[str, torch.Tensor]
Key = tuple[tuple[AdapterConfig, ...], str | None]  # configs, and the language of an adapter that has only one slot
Language = str | Mapping[str | None, float] | None  # None: the base encoder; a mapping: languages to shares with sum 1


@dataclass(frozen=True)
class Row:
    """A row to embed: one reading of a text, by one adapter or the base encoder."""

    index: int  # of the text
    text: str
    language: str | None
    adapter: str | None  # None for the base encoder
    weight: float  # of the row in the text's embedding


class AdapterBank:
    """A text tower with an adapter per language; the tower itself stays plain.

    A language can have any name that `pecl.language.languages.any_language_code` reads: `ja`, `Japanese`, `jp`.

    Several threads can embed, add, remove and save at the same time: each call holds the tower's lock to its end, so a
    text is embedded with the adapter of its own language, or raises ConfigError if that was removed before.

    Args:
        tower: text tower without an adapter. It stays as it is: the bank works on views that share its weights.
        adapter: spec or configs for parameters that are added without a file; a file has its own.
        plain: languages without an adapter that the base encoder embeds; None for all. Others raise ConfigError.
        restore: whether texts that were typed without marks or capitals get them back, see `pecl.language.reading`.

    Attributes:
        tower: the base encoder.
        specs: one `SlottedTower` per spec.
        restore: whether texts get their marks and capitals back.

    Raises:
        ConfigError: the spec is wrong, does not fit the tower, or the tower has an adapter already.

    Example:
        >>> bank = AdapterBank(load_mini_text())
        >>> bank.load("de.safetensors"), bank.load("cs.safetensors")
        ('de', 'cs')
        >>> bank.encode_text(["ein Hund", "pes"], language=["de", "cs"]).shape
        torch.Size([2, 256])
    """

    def __init__(
        self,
        tower: MultilingualTextEncoder,
        adapter: str | Sequence[AdapterConfig] | None = None,
        *,
        plain: Sequence[str] | None = (),
        restore: bool = True,
    ) -> None:
        check_has_no_adapter(tower)
        self.tower = tower
        self.specs: list[SlottedTower] = []
        self._configs = None  # of parameters that are added without a file
        if adapter is not None:
            self._configs = in_order(parse_adapter(adapter) if isinstance(adapter, str) else adapter)
            self.specs.append(SlottedTower(tower, self._configs))
        self._plain = plain
        self.restore = restore
        self._spec_of: dict[str, SlottedTower] = {}  # by language, in the order in which they were added
        self._files: dict[str, AdapterFile] = {}  # without their states: what `save` writes again

    @classmethod
    def from_files(
        cls,
        tower: MultilingualTextEncoder,
        paths: str | Path | Iterable[str | Path],
        *,
        restore: bool = True,
    ) -> "AdapterBank":
        """Return a bank with the adapters in `paths`, one file or several, each under the language that its file names.

        `restore` is as in `AdapterBank`.

        Raises:
            WeightsError: a file cannot be used on `tower`.
            ConfigError: no paths, or two files of one language.
        """
        names = [paths] if isinstance(paths, str | Path) else paths
        files = [load_adapter_file(name, tower) for name in names]
        if not files:
            raise ConfigError("expected at least one adapter file, got none", field="files")
        bank = cls(tower, restore=restore)
        bank.add_files((not_none(file.language, "language"), file) for file in files)
        return bank

    @property
    def adapters(self) -> list[str]:
        """The languages with an adapter, in the order in which they were added."""
        return list(self._spec_of)

    @property
    def languages(self) -> list[str]:
        """The languages with an adapter, and those in `plain`."""
        return [*self._spec_of, *(self._plain or ())]

    @property
    def preferred(self) -> list[str]:
        """The languages that language detection prefers, see `pecl.language.languages.preferred`."""
        return preferred(self.adapters)

    def __repr__(self) -> str:
        adapters = ", ".join(f"{describe(spec.configs)!r}: {spec.languages}" for spec in self.specs)
        return f"{type(self).__name__}({{{adapters}}}, tower={self.tower.name!r}, device={str(self.tower.device)!r})"

    def __len__(self) -> int:
        return len(self._spec_of)

    def __contains__(self, language: str) -> bool:
        return find_name(language, self.languages) is not None

    def add(self, language: str, adapter: AdapterFile | Parameters | str | Path) -> None:
        """Add a language with its adapter: a file, its path, or the parameters themselves (`Adapter.slot_state`).

        Raises:
            ConfigError: the bank has the language already, or parameters come without the bank's `adapter`.
            WeightsError: the parameters do not fit, or the file cannot be used on this tower.
        """
        self.add_files([(language, adapter)])

    def add_files(self, adapters: Iterable[tuple[str, AdapterFile | Parameters | str | Path]]) -> None:
        """Add languages with their adapters, one step per spec. If one raises an error, as in `add`, none is added."""
        loaded = [
            (language, load_adapter_file(adapter) if isinstance(adapter, str | Path) else adapter)
            for language, adapter in adapters
        ]
        with self.tower.lock:
            self._add_loaded(loaded)

    def _add_loaded(self, adapters: Sequence[tuple[str, AdapterFile | Parameters]]) -> None:
        """Add languages with their adapters, see `add_files`. The caller holds the lock."""
        specs: dict[Key, SlottedTower] = {(spec.configs, None): spec for spec in self.specs if spec.has_slots}
        expected_states: dict[Key, Parameters] = {}
        added: dict[str, tuple[Key, Parameters]] = {}
        files: dict[str, AdapterFile] = {}

        # Check every adapter
        for language, adapter in adapters:
            if isinstance(adapter, AdapterFile):
                files[language] = replace(adapter, state={})
            name = find_name(language, [*self._spec_of, *added], tags=False)
            if name is not None:
                raise ConfigError(f"language {language!r} is in the bank already, as {name!r}: remove it first")

            with naming(adapter.path if isinstance(adapter, AdapterFile) else None, self.tower):
                configs, state = self._read(adapter)
                key = configs, None if all(config.has_slots for config in configs) else language
                if key not in specs:
                    specs[key] = SlottedTower(self.tower, configs)
                if key not in expected_states:
                    expected_states[key] = specs[key].adapter.held()
                check_state(specs[key].adapter.complete(state), expected_states[key])
            added[language] = key, state

        # Add the languages of each spec in one step
        for key in dict.fromkeys(key for key, _ in added.values()):
            specs[key].add({language: state for language, (spec_key, state) in added.items() if spec_key == key})
        self._spec_of |= {language: specs[key] for language, (key, _) in added.items()}
        self._files |= files
        self.specs = [*(spec for spec in self.specs if not spec.has_slots), *specs.values()]

    def load(self, path: str | Path, language: str | None = None) -> str:
        """Add the adapter in a file under `language`, by default its own, and return that. Errors as in `add`."""
        file = load_adapter_file(path)
        language = language or not_none(file.language, "language")
        self.add(language, file)
        return language

    def save(self, language: str, path: str | Path) -> Path:
        """Write the adapter of one language to a file, which states the language that its texts are read in."""
        with self.tower.lock:
            spec, slot = self.slot(language)
            name = spec.languages[slot]
            file = self._files.get(name)
            state = spec.adapter.slot_state(slot)
            trainable = None if spec.adapter.trains_all_tensors else spec.adapter.num_parameters()
            spoken = self._read_in(name)
        pairs = None if file is None else file.training_pairs
        return save_adapter(path, state, spec.adapter.file_configs, spoken, self.tower, pairs, trainable)

    def remove(self, language: str) -> None:
        """Remove a language, which frees its memory; raise ConfigError if it has no adapter."""
        with self.tower.lock:
            spec, slot = self.slot(language)
            name = spec.languages[slot]
            spec.remove(name)
            del self._spec_of[name]
            self._files.pop(name, None)
            if not spec.languages and (spec.configs != self._configs or not spec.has_slots):
                self.specs.remove(spec)

    def _read_in(self, name: str) -> str:
        """Return the language in which texts are read: the adapter's name, or if that is none, what its file states."""
        file = self._files.get(name)
        if file is None or file.language is None or find_name(name, LANGUAGES) is not None:
            return name
        return file.language

    def find(self, language: str | None) -> str | None:
        """Return the name under which a language has its adapter; None for a language without."""
        return None if language is None else find_name(language, self._spec_of)

    def slot(self, language: str) -> tuple[SlottedTower, int]:
        """Return the tower with the adapter of `language`, and its slot. Raise ConfigError if it has none.

        The slot changes if another language is removed: a caller with several threads holds the tower's lock.
        """
        with self.tower.lock:
            name = self.find(language)
            if name is None:
                raise ConfigError(self.missing(language))
            spec = self._spec_of[name]
            return spec, spec.languages.index(name)

    def single(self) -> SlottedTower:
        """Return the tower of all languages. Raise ConfigError unless all adapters have the same spec."""
        if len(self.specs) != 1:
            specs = "; ".join(f"{describe(spec.configs)}: {listed(spec.languages)}" for spec in self.specs)
            raise ConfigError(f"expected one spec, got {specs or 'none'}", field="adapters")
        return self.specs[0]

    def spec_names(self) -> dict[str, str]:
        """Return the spec of each adapter as text, by language."""
        return {name: describe(spec.configs) for name, spec in list(self._spec_of.items())}

    def adapter_for(self, language: str | None) -> str | None:
        """Return a language's adapter by name, None for the base encoder. Raise ConfigError if neither embeds it."""
        name = self.find(language)
        if name is None and language is not None and self._plain is not None and not find_name(language, self._plain):
            raise ConfigError(self.missing(language))
        return name

    def missing(self, language: str) -> str:
        """Return the error sentence for a language that has no adapter."""
        languages = listed(self.languages) or "none yet"
        return f"language: expected one in the bank ({languages}), got {language!r}{suggest(language, self.languages)}"

    def encode_text(
        self,
        texts: str | Iterable[str],
        language: Language | Sequence[Language] = None,
        batch_size: int = 64,
        progress: str | None = None,
        *,
        plain_weight: float = 0.0,
        normalize: bool = True,
        exactly: bool | None = None,
    ) -> torch.Tensor:
        """Return the embeddings of `texts`: (N, D), float32 on the CPU, without gradients.

        Args:
            texts: one text (N = 1) or N texts.
            language: language of all texts, or of each, by any of its names; None is the base encoder. A mapping of
                languages to shares mixes their embeddings of the text, each of length 1.
            batch_size: texts in one pass. Languages are mixed within it, except those that fill passes of their own.
            progress: name of a progress bar, or None for no bar.
            plain_weight: share of the base encoder's embedding, of length 1, in the embedding of a text whose language
                has an adapter. It keeps some of the tower's ability from before the training, and costs a second pass.
            normalize: whether each embedding is scaled to length 1, see `MultilingualTextEncoder.encode_text`.
            exactly: whether texts are embedded as they were typed, see `read`.

        Raises:
            ConfigError: `plain_weight` is outside [0, 1], a language is neither in the bank nor embedded by the base
                encoder, or there are not as many languages as texts.
            DataError: `texts` is neither a text nor several.
        """
        if not 0 <= plain_weight <= 1:
            raise ConfigError(f"expected a number from 0 to 1, got {plain_weight}", field="plain_weight")
        texts = as_texts(texts)
        languages = of_each(language, len(texts))
        shares = [choice if isinstance(choice, Mapping) else {choice: 1.0} for choice in languages]
        if not all(shares):
            raise ConfigError(
                "expected a language, or shares of at least one, for each text, got no share", field="language"
            )

        with self.tower.lock:  # no adapter is replaced between the tokens and their embeddings
            rows = self.read_rows(self._rows(texts, shares, plain_weight), exactly)
            adapters = [row.adapter for row in rows]
            token_ids = self.tokenize([row.text for row in rows], adapters, [row.language for row in rows])
            embeddings = self.encode_token_ids(token_ids, adapters, batch_size, progress)  # (R, D)
            self._check_lengths(embeddings, adapters)

        if len(rows) > len(texts):
            embeddings = mixed(embeddings, [row.index for row in rows], [row.weight for row in rows])
        return F.normalize(embeddings, dim=1) if normalize else embeddings

    def read(
        self, texts: Sequence[str], languages: Sequence[str | None], *, exactly: bool | None = None
    ) -> list[Reading]:
        """Return how each of N texts is read in its language, None for English, see `pecl.language.reading.read_texts`.

        `exactly` embeds texts as they were typed; by default as `restore` of the bank says.
        """
        exactly = not self.restore if exactly is None else exactly
        readings = read_texts(texts, self._names([None] * len(texts), languages), exactly=exactly)
        changed = [reading for reading in readings if reading.read_as]
        if changed:
            logger.debug(
                "%d of %d texts lack marks or capitals: %r is read as %s; exactly=True embeds what was typed",
                *(len(changed), len(texts), changed[0].typed, " and ".join(map(repr, changed[0].read_as))),
            )
        return readings

    def read_rows(self, rows: Sequence[Row], exactly: bool | None = None) -> list[Row]:
        """Return a row for each reading of the text of a row; `exactly` as in `read`."""
        names = self._names([row.adapter for row in rows], [row.language for row in rows])
        readings = self.read([row.text for row in rows], names, exactly=exactly)
        return [
            replace(row, text=text, weight=row.weight * share)
            for row, reading in zip(rows, readings, strict=True)
            for text, share in reading.shares
        ]

    def _rows(
        self, texts: Sequence[str], shares: Sequence[Mapping[str | None, float]], plain_weight: float
    ) -> list[Row]:
        """Return the rows to embed for texts with these shares of languages."""
        adapter_of = {name: self.adapter_for(name) for shares_of_text in shares for name in shares_of_text}
        rows: list[Row] = []
        for i, (text, shares_of_text) in enumerate(zip(texts, shares, strict=True)):
            for name, share in shares_of_text.items():
                adapter = adapter_of[name]
                if adapter is None:
                    rows.append(Row(i, text, name, None, float(share)))
                    continue
                if plain_weight < 1:
                    rows.append(Row(i, text, adapter, adapter, share * (1 - plain_weight)))
                if plain_weight > 0:
                    rows.append(Row(i, text, adapter, None, share * plain_weight))
        return rows

    def tokenize(
        self,
        texts: Sequence[str],
        adapters: Sequence[str | None],
        languages: Sequence[str | None] | None = None,
    ) -> TokenIds:
        """Return the token ids of each text in its normal form, as the tower with its adapter reads it.

        Args:
            texts: N texts.
            adapters: name of each text's adapter, (N,); None is the base encoder.
            languages: language of each text, (N,), for towers whose texts name it; by default the adapters'.

        Raises:
            ConfigError: an adapter is not in the bank, or the tower has no token for a language.
        """
        names = self._names(adapters, languages)
        token_ids: list[list[int]] = [[]] * len(texts)
        for tower, indices, _ in self._by_tower(adapters):
            ids_of_tower = tower.tokenize([texts[i] for i in indices], [names[i] for i in indices])
            for i, ids in zip(indices, ids_of_tower, strict=True):
                token_ids[i] = ids
        return token_ids

    def encode_token_ids(
        self,
        token_ids: TokenIds,
        adapters: Sequence[str | None],
        batch_size: int = 64,
        progress: str | None = None,
    ) -> torch.Tensor:
        """Return the embeddings (N, D), float32 on the CPU, not normalised; `adapters` is as in `tokenize`."""
        embeddings = torch.empty(len(token_ids), self.tower.embedding_dim)  # (N, D)
        with self.tower.lock:  # `remove` changes the slots of other languages
            for tower, indices, slots in self._by_tower(adapters):
                groups = [torch.arange(len(indices))] if slots is None else _together(slots, batch_size)
                for group in groups:
                    rows = [indices[i] for i in group.tolist()]
                    ids = [token_ids[i] for i in rows]
                    group_slots = None if slots is None else slots[group]
                    embeddings[rows] = tower.encode_token_ids(ids, batch_size, group_slots, progress)
        return embeddings

    def _check_lengths(self, embeddings: torch.Tensor, adapters: Sequence[str | None]) -> None:
        """Raise WeightsError with the adapter of the first embedding (N, D) that has no finite length."""
        is_finite = torch.isfinite(embeddings.square().sum(dim=1))  # (N,)
        if is_finite.all():
            return
        name = adapters[int((~is_finite).nonzero()[0])]
        file = None if name is None else self._files.get(name)
        subject = f"the text tower {self.tower.name}" if name is None else f"adapter {file.path if file else name}"
        raise WeightsError(f"{subject} returns embeddings that contain NaN or infinity")

    def whole_lengths(
        self,
        texts: Sequence[str],
        token_ids: TokenIds,
        adapters: Sequence[str | None],
        languages: Sequence[str | None] | None = None,
    ) -> dict[int, tuple[int, int]]:
        """Return the uncut number of tokens and the limit of each text that `tokenize` cut, by the text's index."""
        names = self._names(adapters, languages)
        lengths: dict[int, tuple[int, int]] = {}
        for tower, indices, _ in self._by_tower(adapters):
            texts_as_read = tower.as_read([texts[i] for i in indices], [names[i] for i in indices])
            cut = tower.whole_lengths(texts_as_read, [token_ids[i] for i in indices])
            lengths |= {indices[i]: (length, tower.max_length) for i, length in cut.items()}
        return lengths

    def merge(self, language: str) -> MultilingualTextEncoder:
        """Return a base encoder for one language, without the adapter's overhead.

        Raises:
            ConfigError: the language has no adapter.
            WeightsError: an adapter of this kind cannot be merged; the message has the reason.
        """
        with self.tower.lock:
            spec, slot = self.slot(language)
            merged = merge_slot(spec.adapter, slot)
            merged.language = self._read_in(spec.languages[slot])
            return merged

    def close(self) -> None:
        """Remove all languages, which frees their memory."""
        with self.tower.lock:
            for language in self.adapters:
                self.remove(language)

    def _by_tower(
        self, adapters: Sequence[str | None]
    ) -> Iterator[tuple[MultilingualTextEncoder, list[int], torch.Tensor | None]]:
        """Yield each tower, the indices of its texts, and their slots (None for the base encoder)."""
        slot_of = {name: self.slot(name) for name in dict.fromkeys(adapters) if name is not None}
        by_spec: dict[SlottedTower | None, list[int]] = {}
        for i, name in enumerate(adapters):
            spec = None if name is None else slot_of[name][0]
            by_spec.setdefault(spec, []).append(i)

        for spec, indices in by_spec.items():
            if spec is None:
                yield self.tower, indices, None
            else:
                names = (not_none(adapters[i], "adapter") for i in indices)
                yield spec.tower, indices, torch.tensor([slot_of[name][1] for name in names])

    def _names(self, adapters: Sequence[str | None], languages: Sequence[str | None] | None) -> list[str]:
        """Return the language of each text, by default its adapter's; English for a text with neither."""
        pairs = zip(languages or adapters, adapters, strict=True)
        names = [language or adapter or ENGLISH for language, adapter in pairs]
        spoken = {name: self._read_in(name) for name in set(names)}
        return [spoken[name] for name in names]

    def _read(self, adapter: AdapterFile | Parameters) -> tuple[tuple[AdapterConfig, ...], Parameters]:
        """Return the configs and parameters of an adapter, after a check that all values are finite."""
        if isinstance(adapter, AdapterFile):  # its values were checked when it was read
            adapter.check_tower(self.tower)
            return in_order(adapter.configs), adapter.state
        if self._configs is None:
            raise ConfigError("expected a file, or parameters and a bank that was made for their spec", field="adapter")
        check_finite(adapter)
        return self._configs, adapter


def _together(slots: torch.Tensor, batch_size: int) -> Iterator[torch.Tensor]:
    """Yield groups of text indices to batch: one group per slot that fills a batch alone, then one for the rest.

    Rows of several slots cost more than rows of one slot, so mixing them pays only if it saves passes.
    """
    fills = slots.bincount() >= batch_size  # (S,)
    for slot in fills.nonzero().flatten():
        yield (slots == slot).nonzero().flatten()
    remaining = (~fills[slots]).nonzero().flatten()
    if len(remaining):
        yield remaining


def mixed(rows: torch.Tensor, texts: Sequence[int], shares: Sequence[float]) -> torch.Tensor:
    """Return the sums (N, D) of the rows (R, D), R >= N, of each text, at length 1 and times their shares.

    The only row of a text is the result itself, of any length. `texts` are the indices of the rows' texts.
    """
    index = torch.tensor(texts)  # (R,)
    weighted = F.normalize(rows, dim=1) * torch.tensor(shares).unsqueeze(1)
    weighted = torch.where((index.bincount()[index] == 1).unsqueeze(1), rows, weighted)
    return torch.zeros(max(texts) + 1, rows.shape[1]).index_add_(0, index, weighted)


def of_each(language: Any, count: int) -> list[Any]:
    """Return `count` languages, given one for all texts or one per text. Raise ConfigError for another number."""
    languages = [language] * count if language is None or isinstance(language, str | Mapping) else list(language)
    if len(languages) != count:
        raise ConfigError(f"{len(languages)} languages for {count} texts: expected one language, or one per text")
    return languages
