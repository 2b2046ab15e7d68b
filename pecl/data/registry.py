"""Data sets by name: `load_dataset("multi30k-1k", "de")`, and the table `DATASETS` of what there is.

A name that is a path (it has a slash, or such a file or folder exists) loads one's own data; see `folder`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from pecl.data import multi30k
from pecl.data.captions import ParallelCaptions
from pecl.data.translations import check_directions
from pecl.errors import DataError, unknown
from pecl.languages import LANGUAGES, language_code


@dataclass(frozen=True)
class Request:
    """What a caller of `load_dataset` asks for, as each data set's loader receives it."""

    data_dir: Path | None
    language: str
    need: tuple[str, ...]
    split: str | None
    permissions: dict[str, bool]


@dataclass(frozen=True)
class DatasetInfo:
    """One row of the table of data sets.

    Attributes:
        description: what it holds, in one line.
        languages: codes of its target languages.
        licence: terms of use, in one line.
        folders: folders of the data directory that it needs; none if nothing is to be fetched.
        needs_images: whether it is loaded with photographs, which must then be present.
        splits: names of its splits, the default first; empty if it has none.
        load: reads it.
    """

    description: str
    languages: tuple[str, ...]
    licence: str
    folders: tuple[str, ...]
    needs_images: bool
    splits: tuple[str, ...]
    load: Callable[[Request], ParallelCaptions]
