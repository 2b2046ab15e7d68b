"""Ready adapters, which the package ships: one file per language in `shipped/<profile>`, and their runs' results.

`scripts/make_ready_adapters.py` makes them from the results of `pecl distil`. This module only finds files, without
torch, so that commands that list languages stay quick; `pecl.load_bank` reads them.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pecl.errors import ConfigError
from pecl.languages import ENGLISH, language_code, language_name, listed, way_to_adapter

SHIPPED = Path(__file__).with_name("shipped")
RESULTS = "results.jsonl"  # one file: a wheel would compress each result by itself, to three times the size
ALL = "all"  # in place of names of languages


def ready_adapters(profile: str = "mini") -> dict[str, Path]:
    """Return the adapter file of each language that is shipped for a profile; none for a profile without any."""
    return {path.stem: path for path in sorted((SHIPPED / profile).glob("*.safetensors"))}


def ready_profiles() -> list[str]:
    """Return the profiles for which adapters are shipped."""
    return sorted(folder.name for folder in SHIPPED.iterdir() if ready_adapters(folder.name))


def ready_results(profile: str = "mini") -> dict[str, dict[str, Any]]:
    """Return the result of each training of the shipped adapters of a profile, by language, without its ranks."""
    return read_results(SHIPPED / profile / RESULTS)


def read_results(path: Path) -> dict[str, dict[str, Any]]:
    """Return the results in a file with one per line, by language."""
    return {one["config"]["language"]: one for one in map(json.loads, path.read_text("utf-8").splitlines())}


def chosen_adapters(profile: str, languages: str | Iterable[str]) -> list[Path]:
    """Return the adapter files of languages that a profile has, by any of their names; English has none.

    Raises:
        ConfigError: no adapters are shipped for the profile, or for a language.
    """
    files = ready_adapters(profile)
    if not files:
        known = ", ".join(ready_profiles())
        raise ConfigError(f"profile: expected one with ready adapters ({known}), got {profile!r}")
    names = [languages] if isinstance(languages, str) and languages != ALL else languages
    chosen = list(files) if names == ALL else [language_code(name) for name in dict.fromkeys(names)]
    for name in chosen:
        if name not in files and name != ENGLISH:
            known = f"expected one with a ready adapter for {profile} ({listed(files)})"
            raise ConfigError(f"language: {known}, got {language_name(name)}: {way_to_adapter(name, profile)}")
    return [files[name] for name in chosen if name in files]
