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
    """

    dataset: str  # name of the data set, or the path of a table
    language: str  # target language
    need: tuple[str, ...] = ()  # directions of machine translation that must be there, see `DIRECTIONS`
    split: str | None = None  # None for the set's first, or for a set that has none
    data_dir: str | Path | None = None  # root of the data sets' folders; None for $PECL_DATA_DIR, or else `data`
    allow_missing_images: bool = False  # drop captions whose image is missing, instead of an error
    skip_unreadable: bool = False  # drop captions whose image is missing or cannot be read: decodes every image
    allow_copied_translations: bool = False  # accept a translation file that repeats another language's
    text_only: bool = False  # captions without images

    def __post_init__(self) -> None:
        object.__setattr__(self, "need", check_directions(self.need))

    @property
    def root(self) -> Path:
        """Root of the data sets' folders, for a reader whose set has folders."""
        return Path(self.data_dir or "")


Reader = Callable[[DataRequest], ParallelCaptions]
"""Reads the requested data. Image files may be missing: `load_request` looks for them and drops their captions."""
