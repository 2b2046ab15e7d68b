"""Ready adapters, which the package ships: one file per language in `shipped/<profile>`, each with its run's result.

`scripts/make_ready_adapters.py` makes them from the results of `pecl distil`.
"""

from collections.abc import Iterable
from pathlib import Path

from pecl.adapters.banks import Banks
from pecl.adapters.formats.files import load_adapter_file
from pecl.encoders.text import MultilingualTextEncoder
from pecl.encoders.towers import load_text_encoder
from pecl.errors import ConfigError
from pecl.files.reading import without_garbage_collection
from pecl.languages import ENGLISH, language_code, language_name, listed, way_to_adapter

SHIPPED = Path(__file__).with_name("shipped")
ALL = "all"  # in place of names of languages


def ready_adapters(profile: str = "mini") -> dict[str, Path]:
    """Return the adapter file of each language that is shipped for a profile; none for a profile without any."""
    return {path.stem: path for path in sorted((SHIPPED / profile).glob("*.safetensors"))}


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
    files = ready_adapters(profile)
    if not files:
        there = sorted(folder.name for folder in SHIPPED.iterdir() if ready_adapters(folder.name))
        raise ConfigError(f"profile: expected one with ready adapters ({', '.join(there)}), got {profile!r}")
    names = [languages] if isinstance(languages, str) and languages != ALL else languages
    chosen = list(files) if names == ALL else [language_code(name) for name in dict.fromkeys(names)]
    for name in chosen:
        if name not in files and name != ENGLISH:
            known = f"expected one with a ready adapter for {profile} ({listed(files)})"
            raise ConfigError(f"language: {known}, got {language_name(name)}: {way_to_adapter(name, profile)}")
    tower = tower or load_text_encoder(profile, device=device)
    with without_garbage_collection():
        adapted = [load_adapter_file(files[name], tower) for name in chosen if name in files]
        return Banks(tower, adapted, plain=[ENGLISH])
