"""Data sets by name: `load_dataset("multi30k-1k", "de")`, and the table `DATASETS`.

The path of a file or folder, in place of a name, loads a table of captions; see `tables`.
"""

import dataclasses
import os
from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from pecl.data.captions import ParallelCaptions
from pecl.data.custom.sources import TextSource
from pecl.data.custom.tables import read_folder
from pecl.data.published import multi30k, multilingual, text
from pecl.data.reading import (
    OWNERS_CODES,
    DataRequest,
    Reader,
    check_directions,
    leave_out_missing,
    leave_out_unreadable,
)
from pecl.data.scenes import load_scenes, scene_languages
from pecl.errors import DataError, setting, unknown
from pecl.files import expanded, is_path, load_json
from pecl.language.languages import (
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


@dataclass(frozen=True)
class DatasetInfo:
    """One row of the table of data sets; description and terms of use are one line each."""

    description: str
    licence: str
    find_languages: Callable[[], Iterable[str]] = field(repr=False)
    read: Reader = field(repr=False)
    folders: tuple[str, ...] = ()  # folders of the data directory that it needs
    splits: tuple[str, ...] = ()  # the default first
    # the split to train on as text; None for a set without such text
    training_split: str | None = None

    @property
    def languages(self) -> tuple[str, ...]:
        """Codes of its target languages, including languages that were registered."""
        return tuple(self.find_languages())


_READERS: dict[str, Reader] = {
    "scenes": lambda request: load_scenes(request.language),
    "multi30k-1k": multi30k.read_multi30k_pool,
    "multi30k": multi30k.read_multi30k,
    "multi30k-full": multi30k.read_multi30k_full,
    "multi30k-task2": multi30k.read_multi30k_task2,
    "xtd10": multilingual.read_xtd10,
    "xm3600": multilingual.read_xm3600,
    "xflickrco": multilingual.read_xflickrco,
    "flickr30k200": text.read_flickr30k200,
    "emoji": text.read_emoji,
    "xtd200": text.read_xtd200,
    "sib200": text.read_sib200,
    "ntrex": text.read_lines,
    "gatitos": text.read_gatitos,
    "seed": text.read_lines,
}


def _read_table() -> dict[str, DatasetInfo]:
    """Return the published sets and the scenes. A set without languages in `sets.json` has a table of codes."""
    rows: dict[str, dict[str, Any]] = load_json(Path(__file__).with_name("published") / "sets.json")
    for name, row in rows.items():
        row |= {key: tuple(row[key]) for key in ("folders", "splits") if key in row}
        languages = row.pop("languages", OWNERS_CODES.get(name))
        find: Callable[[], Iterable[str]] = flores_languages
        if name == "scenes":
            find = scene_languages
        row["find_languages"] = find if languages is None else partial(tuple, languages)

    return {name: DatasetInfo(**row, read=_READERS[name]) for name, row in rows.items()}


DATASETS = Registry("data set", _read_table(), dashes=True)
# Training text that is not a data set of its own -> the set with its languages
TEXT_OF = {"multi30k-translations": "multi30k-1k"}


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
    """
    if reader is None:
        values = {"languages": languages, "description": description, "licence": licence, "replace": replace}
        return partial(register_dataset, name, **values)
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
        name: a key of `DATASETS`, or the path of a table of captions or its folder (see `tables`).
        language: code, name or alias of the target language.
        data_dir: root of the data sets' folders; otherwise the environment variable PECL_DATA_DIR, otherwise `data`.
        need: required machine translations: `english_to_target`, `target_to_english`. Others may be None.
        split: split to load, for data sets that have splits.
        allow_missing_images: drop captions whose image is missing, instead of an error.
        allow_copied_translations: accept a translation file that repeats another language's,
            instead of an error.
        text_only: load captions without images.

    Raises:
        DataError: unknown data set, language or split, or data that is missing or wrong.
        ConfigError: unknown translation direction, or no such language at all.
    """
    allowances = {"allow_missing_images": allow_missing_images, "allow_copied_translations": allow_copied_translations}
    need = check_directions(need)
    return load_request(DataRequest(name, language, need, split, data_dir, text_only=text_only, **allowances))


def load_request(
    request: DataRequest,
    decoded: Callable[[], Container[str]] = tuple,
) -> ParallelCaptions:
    """Check a request, read the data set, and drop missing or unreadable images if the request allows it.

    `decoded` returns the fingerprints of images that are known to decode; only `skip_unreadable`
    needs them. Errors are those of `load_dataset`.
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
        return _without_images(captions)

    captions = leave_out_missing(captions, request.allow_missing_images or request.skip_unreadable)
    return leave_out_unreadable(captions, decoded()) if request.skip_unreadable else captions


def _without_images(captions: ParallelCaptions) -> ParallelCaptions:
    """Return captions without images; those that share an image keep its index, so that a split keeps them together."""
    image_index = captions.image_index
    # with one caption per image, these are captions of a set of text, and results have the same hashes
    if image_index is not None and len(set(image_index)) == len(image_index):
        image_index = None
    return dataclasses.replace(captions, images=None, image_index=image_index)


def _checked(request: DataRequest) -> tuple[Reader, DataRequest]:
    name = request.dataset
    if name not in DATASETS:
        if not is_path(name):
            raise DataError(f"{unknown('data set', name, DATASETS)} (or the path of a file or folder of your own)")
        if request.split is not None:
            raise DataError(f"a table of captions has no splits, got split {request.split!r}: leave it out")
        return read_folder, dataclasses.replace(request, language=any_language_code(request.language))

    info = DATASETS[name]
    language = language_code(request.language)
    if language not in info.languages:
        datasets = [dataset for dataset, row in DATASETS.items() if row.folders and language in row.languages]
        way = way_to_adapter(language)
        if datasets:
            way = f"it is in {', '.join(datasets)}; {way}"
        languages = listed(sorted(info.languages))
        raise DataError(f"{name} has no captions in {language_name(language)}: expected one of {languages}; {way}")

    split = request.split
    if split is None:
        split = next(iter(info.splits), None)
    elif not info.splits:
        raise DataError(f"data set {name!r} has no splits, but split {split!r} was asked for: leave it out")
    elif split not in info.splits:
        raise DataError(unknown(f"split of {name}", split, info.splits))

    root = find_data_dir(name, request.data_dir) if info.folders else request.data_dir
    return info.read, dataclasses.replace(request, language=language, split=split, data_dir=root)


def is_read(source: TextSource, language: str) -> bool:
    """Return whether a source is read: not if optional and without `language`. Raise DataError if `NAME?` is no set."""
    dataset = TEXT_OF.get(source.name, source.name)
    if source.optional and dataset not in DATASETS:
        raise DataError(f'expected "?" only after the name of a set, got {source.name}?', field="text")
    return not source.optional or language in DATASETS[dataset].languages


def data_root(data_dir: str | Path | None = None) -> Path:
    """Return `data_dir`, else $PECL_DATA_DIR, else `data`."""
    return expanded(data_dir or os.environ.get(ENVIRONMENT_VARIABLE) or "data")


def find_data_dir(name: str, data_dir: str | Path | None = None) -> Path:
    """Return `data_root`. Raise DataError if a folder of the data set is not there."""
    root = data_root(data_dir)
    for folder in DATASETS[name].folders:
        if not (root / folder).is_dir():
            raise DataError(
                f"data set {name!r} needs the folder {root / folder}, which is missing: see data/README.md for how to "
                f"get it, and name another root with {setting('data_dir')} or {ENVIRONMENT_VARIABLE}"
            )

    return root
