"""Data sets by name: `load_dataset("multi30k-1k", "de")`, and `DATASETS`, the table of what there is.

A name that is the path of a file or folder loads one's own data; see `folder`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from pecl.data.captions import ParallelCaptions
from pecl.data.own.folder import load_folder
from pecl.data.scenes import load_scenes
from pecl.data.sets import multi30k, xtd10
from pecl.data.sets.flickr30k200 import load_flickr30k200
from pecl.data.sets.multi30k_full import TEST_SPLITS, load_multi30k_full
from pecl.data.sets.multi30k_task2 import TASK2_LANGUAGES, TASK2_SPLITS, load_multi30k_task2
from pecl.data.translations import check_directions
from pecl.errors import DataError, unknown
from pecl.files import is_path
from pecl.languages import FLORES, LANGUAGES, language_code

ENVIRONMENT_VARIABLE = "PECL_DATA_DIR"
DEFAULT_DATA_DIR = Path("data")


@dataclass(frozen=True)
class Request:
    """What a caller of `load_dataset` asks for, checked, as each data set's loader receives it.

    Attributes:
        language: code of the target language.
        need: directions of machine translation.
        split: name of a split; None for a data set without any.
        data_dir: root of the data sets' folders; None for a data set that needs none.
        options: `allow_missing_images`, `allow_copied_translations` and `text_only`.
    """

    language: str
    need: tuple[str, ...]
    split: str | None
    data_dir: Path | None
    options: dict[str, bool]

    def only(self, *names: str) -> dict[str, bool]:
        """Return the options that a loader has."""
        return {name: self.options[name] for name in names}


@dataclass(frozen=True)
class DatasetInfo:
    """One row of the table of data sets.

    Attributes:
        description: what it holds, in one line.
        licence: terms of use, in one line.
        languages: codes of its target languages.
        load: reads it.
        folders: folders of the data directory that it is read from; none for a set that is made.
        needs_images: whether photographs must be there, unless `text_only`.
        splits: names of its splits, the default first; empty if it has none.
    """

    description: str
    licence: str
    languages: tuple[str, ...]
    load: Callable[[Request], ParallelCaptions] = field(repr=False)
    folders: tuple[str, ...] = ()
    needs_images: bool = False
    splits: tuple[str, ...] = ()


def _load_scenes(request: Request) -> ParallelCaptions:
    captions = load_scenes(request.language)
    return replace(captions, images=None, image_index=None) if request.options["text_only"] else captions


def _load_pool(request: Request) -> ParallelCaptions:
    return multi30k.load_multi30k_pool(
        request.data_dir, request.language, request.need, **request.only("allow_copied_translations", "text_only")
    )


def _load_multi30k(request: Request) -> ParallelCaptions:
    return multi30k.load_multi30k(request.data_dir, request.language, request.split, request.need, **request.options)


def _load_multi30k_full(request: Request) -> ParallelCaptions:
    return load_multi30k_full(request.data_dir, request.language, request.split, request.need, **request.options)


def _load_task2(request: Request) -> ParallelCaptions:
    if request.need:
        raise DataError(f"multi30k-task2 has no machine translations, so no {request.need[0]}: use multi30k instead")
    options = request.only("allow_missing_images", "text_only")
    return load_multi30k_task2(request.data_dir, request.language, request.split, **options)


def _load_xtd10(request: Request) -> ParallelCaptions:
    return xtd10.load_xtd10(request.data_dir, request.language, request.need, **request.options)


def _load_flickr30k200(request: Request) -> ParallelCaptions:
    # One trains on this text, and tests on the pool: whatever they share is left out.
    present = multi30k.present_training_images(request.data_dir)
    pool = multi30k.pool_ids(present) if len(present) >= multi30k.POOL_SIZE else ()
    return load_flickr30k200(request.data_dir, request.language, request.need, exclude=pool)


_PHOTOGRAPHS = "photographs under Flickr30k's terms, research only"

DATASETS: dict[str, DatasetInfo] = {
    "scenes": DatasetInfo(
        "1,000 drawn pictures with captions and simulated machine translations; nothing to fetch",
        "MIT, part of pecl",
        tuple(LANGUAGES),
        _load_scenes,
    ),
    "multi30k-1k": DatasetInfo(
        "1,000 training photographs of Multi30K with captions and both machine translations: the few-shot pool",
        f"captions without a stated licence; {_PHOTOGRAPHS}; translations MIT",
        multi30k.ALL_LANGUAGES,
        _load_pool,
        folders=("multi30k",),
        needs_images=True,
    ),
    "multi30k": DatasetInfo(
        "Multi30K task 1: a caption an image and its human translations",
        f"captions without a stated licence; {_PHOTOGRAPHS}",
        multi30k.ALL_LANGUAGES,
        _load_multi30k,
        folders=("multi30k",),
        needs_images=True,
        splits=("test_2016_flickr", *(split for split in multi30k.SPLIT_LANGUAGES if split != "test_2016_flickr")),
    ),
    "multi30k-full": DatasetInfo(
        "Multi30K task 1 as it was published: 29,000 captions to train on, 1,014 to validate, a split to test",
        f"captions without a stated licence; {_PHOTOGRAPHS}; translations MIT",
        multi30k.ALL_LANGUAGES,
        _load_multi30k_full,
        folders=("multi30k",),
        needs_images=True,
        splits=TEST_SPLITS,
    ),
    "multi30k-task2": DatasetInfo(
        "Multi30K task 2: five independent captions an image and language",
        f"captions without a stated licence; {_PHOTOGRAPHS}",
        TASK2_LANGUAGES,
        _load_task2,
        folders=("multi30k",),
        needs_images=True,
        splits=TASK2_SPLITS,
    ),
    "xtd10": DatasetInfo(
        "XTD10: 1,000 COCO photographs with captions in 11 languages; captions alone if xtd10/images is absent",
        "Adobe Research License, non-commercial research",
        xtd10.XTD10_LANGUAGES,
        _load_xtd10,
        folders=("xtd10",),
    ),
    "flickr30k200": DatasetInfo(
        "English captions of Flickr30k and their NLLB translations, for training on text alone",
        "none stated; research only",
        tuple(FLORES),
        _load_flickr30k200,
        folders=("flickr30k200",),
    ),
}


def load_dataset(
    name: str,
    language: str,
    *,
    data_dir: str | Path | None = None,
    need: Iterable[str] = (),
    split: str | None = None,
    allow_missing_images: bool = False,
    allow_copied_translations: bool = False,
    text_only: bool = False,
) -> ParallelCaptions:
    """Load a data set of `DATASETS`, or one's own, in one target language.

    Args:
        name: a key of `DATASETS`, or the path of one's own file or folder (see `folder`).
        language: code, name or alias of the target language.
        data_dir: root of the data sets' folders; otherwise the environment variable PECL_DATA_DIR, otherwise `data`.
        need: machine translations that must be there: `english_to_target`, `target_to_english`. Others may be None.
        split: split to load, for data sets that have splits.
        allow_missing_images: leave out captions whose photograph is missing, instead of an error.
        allow_copied_translations: accept a translation file that repeats another language's, instead of an error.
        text_only: load captions without images.

    Raises:
        DataError: unknown data set, language or split, or data that is missing or wrong.
        ConfigError: unknown translation direction, or no such language at all.
    """
    options = {
        "allow_missing_images": allow_missing_images,
        "allow_copied_translations": allow_copied_translations,
        "text_only": text_only,
    }
    if name not in DATASETS:
        if not is_path(name):
            raise DataError(f"{unknown('data set', name, DATASETS)} (or the path of a file or folder of your own)")
        if split is not None:
            raise DataError(f"a table of one's own has no splits, but split {split!r} was asked for: leave it out")
        return load_folder(name, language, need, allow_missing_images=allow_missing_images, text_only=text_only)
    info = DATASETS[name]
    language = language_code(language)
    if language not in info.languages:
        raise DataError(unknown(f"language of {name}", language, info.languages))
    request = Request(
        language,
        check_directions(need),
        _check_split(name, split),
        find_data_dir(name, data_dir) if info.folders else None,
        options,
    )
    return info.load(request)


def find_data_dir(name: str, data_dir: str | Path | None = None) -> Path:
    """Return the root that holds data set `name`: `data_dir`, else $PECL_DATA_DIR, else `data`.

    Raises:
        DataError: a folder of the data set is missing there.
    """
    root = Path(data_dir or os.environ.get(ENVIRONMENT_VARIABLE) or DEFAULT_DATA_DIR)
    for folder in DATASETS[name].folders:
        if not (root / folder).is_dir():
            raise DataError(
                f"data set {name!r} needs the folder {root / folder}, which is missing: see data/README.md for how to "
                f"get it, and name another root with --data-dir or {ENVIRONMENT_VARIABLE}"
            )
    return root


def _check_split(name: str, split: str | None) -> str | None:
    splits = DATASETS[name].splits
    if split is None:
        return splits[0] if splits else None
    if not splits:
        raise DataError(f"data set {name!r} has no splits, but split {split!r} was asked for: leave it out")
    if split not in splits:
        raise DataError(unknown(f"split of {name}", split, splits))
    return split
