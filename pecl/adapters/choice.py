"""The choice of a language's adapter, by one rule for all commands.

A language uses its adapter if one is known: one that the user names, or else one that ships with pecl for the towers.
Every other language uses the base encoder.
"""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pecl.adapters import ready
from pecl.adapters.bank import AdapterBank
from pecl.adapters.formats.files import AdapterFile, load_adapter_file, read_adapter
from pecl.adapters.ready import PLAIN
from pecl.encoders.text import MultilingualTextEncoder
from pecl.encoders.towers import PAIRS
from pecl.errors import ConfigError, WeightsError, not_none, suggest
from pecl.files import expanded
from pecl.language.languages import (
    ENGLISH,
    LANGUAGES,
    find_name,
    language_name,
    listed,
    preferred,
    way_to_adapter,
)


@dataclass(frozen=True)
class AdapterChoice:
    """The adapter that embeds texts, or the base encoder."""

    path: Path | None  # file or folder of the adapter; None for the base encoder
    name: str  # `mini:cs` for an adapter that ships with pecl, the path of any other, `none` for the base encoder
    reason: str = ""  # why the base encoder was chosen

    @property
    def sentence(self) -> str:
        """The line that a command prints."""
        return f"adapter: {self.name}" + (f" ({self.reason})" if self.reason else "")

    def read(self, tower: MultilingualTextEncoder) -> AdapterFile | None:
        """Return the adapter for `tower`, as `read_adapter` reads it; None for the base encoder."""
        return None if self.path is None else read_adapter(self.path, tower)

    def bank(self, tower: MultilingualTextEncoder, language: str) -> AdapterBank:
        """Return a bank of `tower` in which the language has the adapter, if there is one, for an evaluation.

        It embeds texts as they are written, as the evaluation of a data set does: it restores no marks or capitals.
        """
        bank = AdapterBank(tower, plain=None, restore=False)
        file = self.read(tower)
        if file is not None:
            bank.add(language, file)
        return bank


class KnownAdapters:
    """The adapters that are known for a text tower, by language.

    An adapter is named by a language (`cs`), by towers and language (`mini:cs`), or by its path. A name that is both a
    language and a path is the language; `./cs` is the path.

    Args:
        profile: name of the pair of towers.
        named: adapters to use with the shipped ones; each replaces the shipped adapter of its language. With
            `["none"]` the base encoder embeds all languages.
        text_model: text tower in place of the profile's, see `load_towers`; shipped adapters do not fit another tower.

    Raises:
        ConfigError: a name is unknown, two adapters have the same language, or `none` is not the only name.
        WeightsError: an adapter file is missing or damaged.
    """

    def __init__(self, profile: str, named: Sequence[str | Path] = (), text_model: str | None = None) -> None:
        self.tower = text_model or profile
        self._shipped = ready.ready_adapters(self.tower) if self.tower in PAIRS else {}
        self._off = PLAIN in named
        if self._off and len(named) > 1:
            raise ConfigError(f"expected {PLAIN} or adapters, got both: {', '.join(map(str, named))}", field="adapter")

        self.paths: dict[str, Path] = {} if self._off else dict(self._shipped)  # by language
        named_by: dict[str, str | Path] = {}  # name in `named`, by language
        for name in () if self._off else named:
            path = self._path_of(name)
            language = not_none(load_adapter_file(path).language, "language")
            language = find_name(language, self.paths) or language
            if language in named_by:
                first = named_by[language]
                raise ConfigError(f"expected one per language, got {first} and {name} for {language}", field="adapter")
            named_by[language] = name
            self.paths[language] = path
        self.named = list(named_by)  # languages of `named`

    @property
    def preferred(self) -> list[str]:
        """The languages that language detection prefers, see `pecl.language.languages.preferred`."""
        return preferred(self.paths)

    def find(self, language: str | None) -> str | None:
        """Return the name under which a language has its adapter; None for a language without."""
        return None if language is None else find_name(language, self.paths)

    def for_language(self, language: str | None) -> AdapterChoice:
        """Return the adapter of a language, given any of its names; None stands for an unknown language."""
        name = self.find(language)
        if name is not None:
            return self._choice(self.paths[name])

        languages = "no adapter is known"
        if self.paths:
            languages = f"there are adapters for {listed(self.paths)}"

        if self._off:
            reason = "as asked for"
        elif language is None:
            reason = f"no language is given; {languages}"
        elif find_name(language, [ENGLISH]):
            reason = "the base encoder was trained on English"
        elif self.paths:
            reason = f"there is none for {language_name(language)}; {languages}"
        else:
            reason = languages
        return AdapterChoice(None, PLAIN, reason)

    def choose(self, name: str | Path | None, language: str | None) -> AdapterChoice:
        """Return the adapter called `name`, whatever the language; without a name, the adapter of `language`."""
        if name is None:
            return self.for_language(language)
        if name == PLAIN:
            return AdapterChoice(None, PLAIN, "as asked for")
        return self._choice(self._path_of(name))

    def files(self, languages: Iterable[str] | None = None) -> dict[str, AdapterFile]:
        """Return the adapters of `languages`, or all, read from their files; raise WeightsError for a damaged file."""
        names = self.paths if languages is None else languages
        return {name: load_adapter_file(self.paths[name]) for name in names}

    def _choice(self, path: Path) -> AdapterChoice:
        shipped = {file: f"{self.tower}:{language}" for language, file in self._shipped.items()}
        return AdapterChoice(path, shipped.get(path, str(path)))

    def _path_of(self, name: str | Path) -> Path:
        path = expanded(name)
        exists = os.path.exists(path)  # False for a name that no file can have
        if isinstance(name, str):
            tower, colon, language = name.partition(":")
            is_qualified = bool(colon) and tower in (self.tower, *PAIRS)
            shipped = find_name(language if is_qualified else name, self._shipped)
            if shipped is not None and (not is_qualified or tower == self.tower):
                return self._shipped[shipped]
            if is_qualified or not (exists or "/" in name or Path(name).suffix):
                raise ConfigError(f"{self._expected(name)}", field="adapter")
        if not exists:
            raise WeightsError(f"adapter file {path} is missing")
        return path

    def _expected(self, name: str) -> str:
        names = [f"{self.tower}:{language}" for language in self._shipped]
        choices = PLAIN
        if names:
            choices = f"one of {listed(self._shipped)}, {PLAIN}, such as {names[0]},"

        language = find_name(name.rpartition(":")[2], LANGUAGES)
        if language is not None:
            hint = f"; {way_to_adapter(language, self.tower)} for {language_name(language)}"
        else:
            hint = suggest(name, [*self._shipped, PLAIN, *names])
        return f"expected {choices} or a file, got {name!r}{hint}"
