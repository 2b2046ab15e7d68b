"""`DataRequest`: a request for a data set, from a config or `load_dataset` to the reader."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from pecl.data.captions import DIRECTIONS, ParallelCaptions
from pecl.errors import ConfigError, unknown


def check_directions(need: Iterable[str]) -> tuple[str, ...]:
    """Return the translation directions in `need`, without repeats, in order; raise ConfigError if one is not any."""
    need = {need} if isinstance(need, str) else set(need)
    for direction in need.difference(DIRECTIONS):
        raise ConfigError(unknown("translation direction", direction, DIRECTIONS))
    return tuple(direction for direction in DIRECTIONS if direction in need)


@dataclass(frozen=True)
class DataRequest:
    """A request for a data set.

    A reader gets it checked: `language` is a code of the set, `split` one of its splits, and `root` holds its folders.
    Readers heed `text_only` only to save work: `load_request` leaves images out.

    Attributes:
        dataset: name of the data set, or the path of a table.
        language: target language.
        need: directions of machine translation that must be there: `english_to_target`, `target_to_english`.
        split: name of a split; None for the set's first, or for a set that has none.
        data_dir: root of the data sets' folders; None for $PECL_DATA_DIR, or else `data`.
        allow_missing_images: drop captions whose image is missing, instead of an error.
        skip_unreadable: drop captions whose image is missing or cannot be read; this decodes every image.
        allow_copied_translations: accept a translation file that repeats another language's, instead of an error.
        text_only: captions without images.

    Raises:
        ConfigError: `need` has an unknown direction.
    """

    dataset: str
    language: str
    need: tuple[str, ...] = ()
    split: str | None = None
    data_dir: str | Path | None = None
    allow_missing_images: bool = False
    skip_unreadable: bool = False
    allow_copied_translations: bool = False
    text_only: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "need", check_directions(self.need))

    @property
    def root(self) -> Path:
        """Root of the data sets' folders, for a reader whose set has folders."""
        return Path(self.data_dir or "")


Reader = Callable[[DataRequest], ParallelCaptions]
"""Reads the requested data. Image files may be missing: `load_request` looks for them and drops their captions."""
