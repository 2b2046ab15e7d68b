"""Check a whole data set: that its files are the owner's, that every language reads, that its images open."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

from tqdm.auto import tqdm

from pecl.data.fetching.download import check_content, read_manifest
from pecl.data.fetching.remote import DOWNLOADS, caption_files
from pecl.data.provenance import read_provenance
from pecl.data.registry import DATASETS, find_data_dir, load_dataset
from pecl.data.released import RELEASED, TRANSLATION_FOLDERS, released_file
from pecl.data.sets.multi30k import SPLIT_LANGUAGES
from pecl.errors import DataError, unknown

logger = logging.getLogger(__name__)

_TASK1 = ("multi30k", "multi30k-full")  # not every language has all their splits


def check_dataset(name: str, data_dir: str | Path | None = None, *, open_images: bool = True) -> list[str]:
    """Return all that is wrong with a data set, a sentence each; an empty list if it is sound.

    Args:
        name: a key of `DATASETS`.
        data_dir: the data directory, as for `load_dataset`.
        open_images: also see that all photographs are there, and read every one.

    Raises:
        DataError: there is no such data set.
    """
    if name not in DATASETS:
        raise DataError(unknown("data set", name, DATASETS))
    try:
        root = find_data_dir(name, data_dir) if DATASETS[name].folders else None
    except DataError as error:
        return [str(error)]
    problems = [*_text_problems(name, root)]
    if root is not None:
        problems += _file_problems(name, root)
        problems += _image_problems(name, root) if open_images else []
    return list(dict.fromkeys(problems))  # several languages meet the same problem of the English captions


def _file_problems(name: str, root: Path) -> Iterator[str]:
    """Yield the files that are neither what their owner publishes, nor what was downloaded, nor made here."""
    folders = [*DATASETS[name].folders, *(["pectvlm"] if name in RELEASED else [])]
    for folder in folders:
        expected = {file.path: file.sha256 for file in (caption_files(folder) if folder in DOWNLOADS else [])}
        downloaded = {path: record["sha256"] for path, record in read_manifest(root, folder).items()}
        for path, sha256 in (downloaded | expected).items():
            file = root / path
            if not file.exists() or read_provenance(file) is not None:
                continue
            try:
                check_content(file, sha256)
            except DataError as error:
                yield f"{file} is not the file that was published: {error}"


def _text_problems(name: str, root: Path | None) -> Iterator[str]:
    """Yield what keeps a language's captions, or its machine translations, from being read."""
    for split in DATASETS[name].splits or (None,):
        for language in SPLIT_LANGUAGES[split] if name in _TASK1 else DATASETS[name].languages:
            yield from _load_problem(name, language, split, root)
            for direction in TRANSLATION_FOLDERS if name in RELEASED and language != "en" else ():
                if released_file(root, name, direction, language, split).exists():
                    yield from _load_problem(name, language, split, root, direction)


def _load_problem(
    name: str, language: str, split: str | None, root: Path | None, direction: str | None = None
) -> Iterator[str]:
    need = () if direction is None else (direction,)
    try:
        load_dataset(name, language, data_dir=root, need=need, split=split, text_only=True)
    except DataError as error:
        yield str(error)


def _image_problems(name: str, root: Path) -> Iterator[str]:
    """Yield how many photographs are missing, and each that cannot be read."""
    for split in DATASETS[name].splits or (None,):
        try:
            captions = load_dataset(name, "en", data_dir=root, split=split, allow_missing_images=True)
        except DataError as error:
            yield f"{split or 'images'}: {error}"
            continue
        counts = captions.provenance.get("images")
        if isinstance(counts, dict) and counts["left_out"]:
            yield f"{split or name}: {counts['left_out']} of {counts['total']} images are missing"
        for index in tqdm(range(len(captions.images or ())), desc=f"{split or name} images", unit="image", leave=False):
            try:
                captions.images.load(index)
            except DataError as error:
                yield str(error)
