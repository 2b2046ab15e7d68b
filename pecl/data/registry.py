"""Data sets by name: `load_dataset("multi30k-1k", "de")`, and the table `DATASETS`.

The path of a file or folder, in place of a name, loads a table of captions; see `folder`.
"""

import dataclasses
import os
from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from pecl.data.captions import ParallelCaptions
from pecl.data.custom.folder import read_folder
from pecl.data.published import multi30k, translated
from pecl.data.published.emoji import EMOJI_LOCALES, WRITTEN_AS, read_emoji
from pecl.data.published.json_lines import XFLICKRCO_LANGUAGES, XM3600_LANGUAGES, read_xflickrco, read_xm3600
from pecl.data.published.nllb_clip import read_flickr30k200, read_xtd200
from pecl.data.published.xtd10 import XTD10_LANGUAGES, read_xtd10
from pecl.data.request import DataRequest, Reader
from pecl.data.scenes import load_scenes, scene_languages
from pecl.data.unreadable import leave_out_missing, leave_out_unreadable
from pecl.errors import DataError, unknown
from pecl.files import is_path
from pecl.languages import (
    LANGUAGES,
    any_language_code,
    flores_languages,
    language_code,
    language_name,
    listed,
    way_to_adapter,
)
from pecl.options import Registry

ENVIRONMENT_VARIABLE = "PECL_DATA_DIR"
DEFAULT_DATA_DIR = Path("data")


@dataclass(frozen=True)
class DatasetInfo:
    """One row of the table of data sets; description and terms of use are one line each."""

    description: str
    licence: str
    find_languages: Callable[[], Iterable[str]] = field(repr=False)
    read: Reader = field(repr=False)
    folders: tuple[str, ...] = ()  # folders of the data directory that it needs
    splits: tuple[str, ...] = ()  # the default first
    training_split: str | None = None  # the split that is text to train on; None for a set that has no such text

    @property
    def languages(self) -> tuple[str, ...]:
        """Codes of its target languages, including registered ones."""
        return tuple(self.find_languages())


def _known(codes: tuple[str, ...]) -> list[str]:
    """Return pecl's codes of the languages whose `codes` a set has; `register_language` adds others."""
    meant = {any_language_code(code) for code in codes}
    return [code for code in LANGUAGES if code in meant]


_CAPTIONS = "captions without a stated licence; images under Flickr30k's terms, research only"

_BUILT_IN = {
    "scenes": DatasetInfo(
        "1,000 drawn pictures with captions and simulated machine translations; nothing to fetch",
        "MIT, part of pecl",
        scene_languages,
        lambda request: load_scenes(request.language),
    ),
    "multi30k-1k": DatasetInfo(
        "1,000 training images of Multi30K with captions and both machine translations: the few-shot pool",
        f"{_CAPTIONS}; translations MIT",
        lambda: multi30k.ALL_LANGUAGES,
        multi30k.read_multi30k_pool,
        folders=("multi30k",),
    ),
    "multi30k": DatasetInfo(
        "Multi30K task 1: a caption per image and its human translations",
        _CAPTIONS,
        lambda: multi30k.ALL_LANGUAGES,
        multi30k.read_multi30k,
        folders=("multi30k",),
        splits=("test_2016_flickr", *(split for split in multi30k.SPLIT_LANGUAGES if split != "test_2016_flickr")),
    ),
    "multi30k-full": DatasetInfo(
        "Multi30K task 1 as it was published: 29,000 captions to train on, 1,014 to validate, a split to test",
        f"{_CAPTIONS}; translations MIT",
        lambda: multi30k.ALL_LANGUAGES,
        multi30k.read_multi30k_full,
        folders=("multi30k",),
        splits=multi30k.TEST_SPLITS,
    ),
    "multi30k-task2": DatasetInfo(
        "Multi30K task 2: five independent captions per image and language",
        _CAPTIONS,
        lambda: multi30k.TASK2_LANGUAGES,
        multi30k.read_multi30k_task2,
        folders=("multi30k",),
        splits=multi30k.TASK2_SPLITS,
    ),
    "xtd10": DatasetInfo(
        "XTD10: 1,000 COCO images with captions in 11 languages; captions only if xtd10/images is absent",
        "Adobe Research License, non-commercial research",
        lambda: XTD10_LANGUAGES,
        read_xtd10,
        folders=("xtd10",),
    ),
    "xm3600": DatasetInfo(
        "Crossmodal-3600: 3,600 images with independent captions in each of 36 languages; a test set",
        "CC BY 4.0",
        lambda: _known(XM3600_LANGUAGES),
        read_xm3600,
        folders=("xm3600",),
    ),
    "xflickrco": DatasetInfo(
        "xFlickr&CO of IGLUE: 2,000 images with independent captions in each of eight languages; a test set",
        "captions as their repository says; images under Flickr30k's terms, research only, and COCO's",
        lambda: _known(XFLICKRCO_LANGUAGES),
        read_xflickrco,
        folders=("xflickrco",),
    ),
    "flickr30k200": DatasetInfo(
        "English captions of Flickr30k and their NLLB translations, for training on text only",
        "none stated; research only",
        flores_languages,
        read_flickr30k200,
        folders=("flickr30k200",),
    ),
    "emoji": DatasetInfo(
        "names and keywords of emoji by Unicode CLDR: words to train on, next to captions",
        "Unicode License v3",
        lambda: (*_known(EMOJI_LOCALES), *WRITTEN_AS),
        read_emoji,
        folders=("emoji",),
    ),
    "xtd200": DatasetInfo(
        "XTD10's English captions and their NLLB translations: a test set of text against text",
        "none stated; XTD10's terms",
        flores_languages,
        read_xtd200,
        folders=("xtd200",),
    ),
    "sib200": DatasetInfo(
        "SIB-200: sentences of Wikinews, Wikibooks and Wikivoyage that people translated; text against text",
        "CC BY-SA 4.0",
        flores_languages,
        translated.read_sib200,
        folders=("sib200",),
        splits=translated.SPLITS,
        training_split="train",
    ),
    "ntrex": DatasetInfo(
        "NTREX-128: sentences of news that people translated; text against text",
        "CC BY-SA 4.0",
        lambda: translated.translated_languages("ntrex"),
        translated.read_ntrex,
        folders=("ntrex",),
        splits=translated.SPLITS,
        training_split="train",
    ),
    "gatitos": DatasetInfo(
        "GATITOS: 4,000 words and short phrases that people translated; text against text",
        "CC BY 4.0",
        lambda: translated.translated_languages("gatitos"),
        translated.read_gatitos,
        folders=("gatitos",),
        splits=translated.ENTRY_SPLITS,
        training_split="train",
    ),
    "seed": DatasetInfo(
        "OLDI Seed: sentences of Wikipedia that people translated into 39 languages; text against text",
        "CC BY-SA 4.0",
        lambda: translated.translated_languages("seed"),
        translated.read_seed,
        folders=("seed",),
        splits=translated.SPLITS,
        training_split="train",
    ),
}
DATASETS = Registry("data set", _BUILT_IN, dashes=True)


def register_dataset(
    name: str,
    reader: Reader | None = None,
    *,
    languages: Iterable[str] | None = None,
    description: str = "registered by the user",
    licence: str = "not stated",
    replace: bool = False,
) -> Any:
    """Register a data set in this process, for `load_dataset`, configs and `pecl data list`.

    Call it with a reader, or use it as a decorator of a reader.

    Example:
        >>> @pecl.register_dataset("birds", languages=["de"])
        ... def read_birds(request: pecl.DataRequest) -> pecl.ParallelCaptions:
        ...     return pecl.ParallelCaptions("birds", request.language, ("a robin",), ("ein Rotkehlchen",))

    Args:
        name: letters, digits, `-` and `_`.
        reader: called with a checked `DataRequest`; returns the captions.
        languages: codes of its target languages; by default every known language.
        description: content, in one line.
        licence: terms of use, in one line.
        replace: replace a data set that was registered under this name, as when a notebook cell runs again.

    Returns:
        The reader, or a decorator if none is given.

    Raises:
        ConfigError: the name is taken or has other characters, or there is no such language.
        DataError: the reader cannot be called.
    """
    if reader is None:
        values = {"languages": languages, "description": description, "licence": licence, "replace": replace}
        return partial(register_dataset, name, **values)
    if not callable(reader):
        raise DataError(f"reader of data set {name!r}: expected a function of a DataRequest, got {reader!r}")
    codes = None if languages is None else tuple(language_code(code) for code in languages)
    info = DatasetInfo(description, licence, lambda: LANGUAGES if codes is None else codes, reader)
    DATASETS.add(name, info, replace=replace)
    return reader


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
    """Load a data set of `DATASETS`, or a table of captions, in one target language.

    Args:
        name: a key of `DATASETS`, or the path of a table of captions or its folder (see `folder`).
        language: code, name or alias of the target language.
        data_dir: root of the data sets' folders; otherwise the environment variable PECL_DATA_DIR, otherwise `data`.
        need: required machine translations: `english_to_target`, `target_to_english`. Others may be None.
        split: split to load, for data sets that have splits.
        allow_missing_images: drop captions whose image is missing, instead of an error.
        allow_copied_translations: accept a translation file that repeats another language's, instead of an error.
        text_only: load captions without images.

    Raises:
        DataError: unknown data set, language or split, or data that is missing or wrong.
        ConfigError: unknown translation direction, or no such language at all.
    """
    return load_request(
        DataRequest(
            name,
            language,
            (need,) if isinstance(need, str) else tuple(need),
            split,
            data_dir,
            allow_missing_images=allow_missing_images,
            allow_copied_translations=allow_copied_translations,
            text_only=text_only,
        )
    )


def load_request(request: DataRequest, decoded: Callable[[], Container[str]] = tuple) -> ParallelCaptions:
    """Check a request, read the data set, and drop missing or unreadable images if the request allows it.

    `decoded` returns the fingerprints of images that are known to decode; only `skip_unreadable` needs them. Errors are
    those of `load_dataset`.
    """
    read, request = _checked(request)
    captions = read(request)
    if not isinstance(captions, ParallelCaptions):  # a user may have written the reader
        raise DataError(
            f"reader of data set {request.dataset!r}: expected it to return ParallelCaptions, "
            f"got {type(captions).__name__}"
        )
    for direction in request.need:
        if getattr(captions, direction) is None:
            raise DataError(
                f"data set {request.dataset!r} has no {direction.replace('_', ' ')} translations of "
                f"{request.language!r}: choose a route that needs none"
            )
    if request.text_only or captions.images is None:
        return dataclasses.replace(captions, images=None, image_index=None)
    captions = leave_out_missing(captions, request.allow_missing_images or request.skip_unreadable)
    return leave_out_unreadable(captions, decoded()) if request.skip_unreadable else captions


def _checked(request: DataRequest) -> tuple[Reader, DataRequest]:
    name = request.dataset
    if name not in DATASETS:
        if not is_path(name):
            raise DataError(f"{unknown('data set', name, DATASETS)} (or the path of a file or folder of your own)")
        if request.split is not None:
            raise DataError(f"a table of captions has no splits, got split {request.split!r}: leave it out")
        return read_folder, dataclasses.replace(request, language=any_language_code(request.language))
    info, language = DATASETS[name], language_code(request.language)
    if language not in info.languages:
        others = [other for other, row in DATASETS.items() if row.folders and language in row.languages]
        way = (f"it is in {', '.join(others)}; " if others else "") + way_to_adapter(language)
        known = listed(sorted(info.languages))
        raise DataError(f"{name} has no captions in {language_name(language)}: expected one of {known}; {way}")
    split = request.split
    if split is None:
        split = info.splits[0] if info.splits else None
    elif not info.splits:
        raise DataError(f"data set {name!r} has no splits, but split {split!r} was asked for: leave it out")
    elif split not in info.splits:
        raise DataError(unknown(f"split of {name}", split, info.splits))
    root = find_data_dir(name, request.data_dir) if info.folders else request.data_dir
    return info.read, dataclasses.replace(request, language=language, split=split, data_dir=root)


def dataset_languages(name: str) -> tuple[str, ...]:
    """Return the codes of the languages of a data set, none of an unknown one."""
    return DATASETS[name].languages if name in DATASETS else ()


def find_data_dir(name: str, data_dir: str | Path | None = None) -> Path:
    """Return the root that holds a data set: `data_dir`, else $PECL_DATA_DIR, else `data`; DataError if it does not."""
    root = Path(data_dir or os.environ.get(ENVIRONMENT_VARIABLE) or DEFAULT_DATA_DIR)
    for folder in DATASETS[name].folders:
        if not (root / folder).is_dir():
            raise DataError(
                f"data set {name!r} needs the folder {root / folder}, which is missing: see data/README.md for how to "
                f"get it, and name another root with --data-dir or {ENVIRONMENT_VARIABLE}"
            )
    return root
