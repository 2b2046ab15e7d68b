"""Paths of the released machine translations of a data set, which new translations replace."""

from collections.abc import Iterable
from pathlib import Path

from pecl.errors import ConfigError, unknown

# column of ParallelCaptions -> folder of the release
TRANSLATION_FOLDERS = {"english_to_target": "translated_from_en", "target_to_english": "translated_to_en"}

# data set -> folder of its released translations, and the name of a file there
RELEASED = {
    "xtd10": (Path("pectvlm", "datasets", "Cross-lingual-Test-Dataset-XTD10"), "{language}.txt"),
    "multi30k": (Path("pectvlm", "datasets", "Multi30K"), "{split}.{language}"),
}


def check_directions(need: Iterable[str]) -> tuple[str, ...]:
    """Return the translation directions in `need`, without repeats, in order; raise ConfigError if one is not any."""
    need = {need} if isinstance(need, str) else set(need)
    for direction in need - set(TRANSLATION_FOLDERS):
        raise ConfigError(unknown("translation direction", direction, TRANSLATION_FOLDERS))
    return tuple(direction for direction in TRANSLATION_FOLDERS if direction in need)


def released_file(data_dir: Path, name: str, direction: str, language: str, split: str | None = None) -> Path:
    """Return the file of the translations of `language`, which is not English, in a `data_dir` that holds `pectvlm`.

    `name` is a key of `RELEASED`, and `direction` one of `TRANSLATION_FOLDERS`.
    """
    folder, pattern = RELEASED[name]
    return data_dir / folder / TRANSLATION_FOLDERS[direction] / pattern.format(language=language, split=split)
