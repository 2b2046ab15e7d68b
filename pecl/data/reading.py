"""Shared code of readers: requests, files that are parallel line by line, records of files, and galleries of images.

A generated file has its provenance in a JSON next to it, bound to its content by SHA-256.
"""

import os
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pecl.data.captions import DIRECTIONS, PARTS, ParallelCaptions, read_captions, resolve_captions_file
from pecl.errors import ConfigError, DataError, not_none, setting, unknown
from pecl.files import load_json, sha256_bytes, sha256_file, write_bytes, write_json
from pecl.files.images import ImageFiles, some_names, unreadable_error, unreadable_images

# For each published set, the owner's language codes by pecl's codes; other sets use pecl's or
# FLORES codes
OWNERS_CODES: dict[str, dict[str, str]] = load_json(Path(__file__).with_name("published") / "codes.json")


def check_directions(need: Iterable[str]) -> tuple[str, ...]:
    """Return the translation directions in `need`, without repeats, in order. Raise ConfigError for an unknown one."""
    need = {need} if isinstance(need, str) else set(need)
    for direction in need.difference(DIRECTIONS):
        raise ConfigError(unknown("translation direction", direction, DIRECTIONS))
    return tuple(direction for direction in DIRECTIONS if direction in need)


@dataclass(frozen=True)
class DataRequest:
    """A request for a data set, from a config or `load_dataset` to the reader.

    A reader gets it checked: `language` is a code of the set, `split` one of its splits, and `root`
    holds its folders. Readers may ignore `text_only`: `load_request` leaves images out.
    """

    dataset: str  # name of the data set, or the path of a table
    language: str  # target language
    need: tuple[str, ...] = ()  # required directions of machine translation, see `DIRECTIONS`
    split: str | None = None  # None for the set's first, or for a set that has none
    # root of the data sets' folders; None for $PECL_DATA_DIR, or else `data`
    data_dir: str | Path | None = None
    allow_missing_images: bool = False  # drop captions whose image is missing, instead of an error
    # drop captions whose image is missing or cannot be read: decodes every image
    skip_unreadable: bool = False
    # accept a translation file that repeats another language's
    allow_copied_translations: bool = False
    text_only: bool = False  # captions without images

    def __post_init__(self) -> None:
        object.__setattr__(self, "need", check_directions(self.need))

    @property
    def root(self) -> Path:
        """Root of the data sets' folders, for a reader whose set has folders."""
        return Path(self.data_dir or "")

    def both(self, file_of: Callable[[str], Path]) -> dict[str, Path]:
        """Return the files of the English and of the language's captions; `file_of` gives the file of a code."""
        return {"english": file_of("en"), "target": file_of(self.language)}


Reader = Callable[[DataRequest], ParallelCaptions]
"""Reads the requested data. Image files may be missing: `load_request` checks them and drops their captions."""


def read_parallel(paths: Mapping[str, Path]) -> dict[str, tuple[str, ...]]:
    """Read the caption file of each column. Raise DataError if two have different numbers of lines."""
    columns = {name: read_captions(path) for name, path in paths.items()}
    first, *other_columns = columns
    for name in other_columns:
        if len(columns[name]) != len(columns[first]):
            raise DataError(
                f"{paths[first]} has {len(columns[first])} lines and {paths[name]} has {len(columns[name])}: "
                "parallel files must have the same number of lines"
            )

    return columns


def published_set(
    request: DataRequest,
    columns: Mapping[str, Sequence[str]],
    files: Mapping[str, Path],
    provenance: Mapping[str, Any],
    names: Sequence[str] = (),
    images: Path | None = None,
) -> ParallelCaptions:
    """Return a set; its provenance is `provenance` with the record of its files.

    `names` are the file names of the captions' images, which show the split of COCO images. The
    images are in the folder `images`; None for a set without images.
    """
    record = {"files": {name: describe_file(path, request.root) for name, path in files.items()}, **provenance}
    subset, counts = coco_splits(names)
    if subset:
        record["coco_split"] = counts
    texts: dict[str, Any] = {"english": None} | {name: tuple(column) for name, column in columns.items()}
    captions = ParallelCaptions(request.dataset, request.language, **texts, subset=subset, provenance=record)
    if images is None:
        return captions
    return attach_images(captions, names, images)


def describe_file(path: Path, root: Path) -> dict[str, str]:
    """Return the record of a source file: its name relative to `root`, and its SHA-256."""
    path = resolve_captions_file(path)
    return {"file": path.relative_to(root).as_posix(), "sha256": sha256_file(path)}


def provenance_file(path: Path) -> Path:
    """Return the JSON with the provenance of `path`."""
    return path.with_name(path.name + ".provenance.json")


def write_with_provenance(path: Path, content: bytes, record: dict[str, Any]) -> None:
    """Write `content` to `path`, and `record` with its SHA-256 next to it.

    The record is written first: after a kill in between, it does not match the old file, which is detected.
    """
    write_json(provenance_file(path), record | {"sha256": sha256_bytes(content)})
    write_bytes(path, content)


def read_provenance(path: Path) -> dict[str, Any] | None:
    """Return the record of `path`, None if it is missing or does not match. Raise DataError if it cannot be read."""
    record_file = provenance_file(path)
    if not record_file.exists():
        return None

    try:
        record = load_json(record_file)
        sha256 = record["sha256"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{record_file} is not a record of provenance ({error}): remove it") from error

    return record if path.exists() and sha256_file(path) == sha256 else None


def attach_images(
    captions: ParallelCaptions,
    names: Sequence[str],
    folder: Path,
) -> ParallelCaptions:
    """Return n `captions` with their image files `folder/name`, given the n names or paths relative to `folder`.

    Captions may share an image, also as `a.jpg` and `./a.jpg`. Files may be missing: see `leave_out_missing`.
    """
    paths = {name: folder / name for name in dict.fromkeys(names)}
    position = {path: i for i, path in enumerate(dict.fromkeys(paths.values()))}
    image_index = tuple(position[paths[name]] for name in names)
    return replace(captions, images=ImageFiles(tuple(position)), image_index=image_index)


def leave_out_missing(captions: ParallelCaptions, allowed: bool = False) -> ParallelCaptions:
    """Drop captions whose image file is missing, if `allowed`. Raise DataError if nothing is left of the set or a part.

    `provenance["images"]` counts the image files: total, kept and left out.
    """
    images = captions.images
    if not isinstance(images, ImageFiles):  # others are made or held in memory
        return captions

    # unlike `Path.is_file`, this is False for a name that is too long: a caption in the column of images
    missing = {i: path for i, path in enumerate(images.paths) if not os.path.isfile(path)}
    present = len(images) - len(missing)
    remaining = captions
    captions_only = setting(gallery="english", image_weight=0)

    if missing:
        folder = Path(os.path.commonpath([path.absolute().parent for path in images.paths]))
        if not (present and allowed):
            names = some_names([os.path.relpath(path, folder) for path in missing.values()])
            way_on = f"use only the captions ({captions_only}; text_only=True)"
            if present:
                way_on = f"pass {setting(allow_missing_images=True)} to use the {present} that are there"
            raise DataError(
                f"{captions.dataset}: {len(missing)} of {len(images)} images are missing from {folder} ({names}): put "
                f"them there, or {way_on}"
            )

        remaining = _without(captions, missing)
        lost = set(captions.part or ()).difference(remaining.part or ())
        if lost:
            raise DataError(
                f"{captions.dataset}: no image of the {min(lost, key=PARTS.index)} part is in {folder}, so nothing is "
                f"left of it: put them there, or use only the captions ({captions_only})"
            )

    return _counted(remaining, {"total": len(images), "kept": present, "left_out": len(missing)})


def leave_out_unreadable(
    captions: ParallelCaptions,
    decoded: Container[str] = (),
) -> ParallelCaptions:
    """Drop captions whose image cannot be read (cut short, no image). Raise DataError if none is left.

    `provenance["images"]` counts the images: total, kept, left out (including missing), and
    damaged. Decoding an image takes longer than all else about it, so one whose fingerprint is in
    `decoded` is not decoded again.
    """
    images = not_none(captions.images, "images")
    failed = unreadable_images(images, decoded)
    if len(failed) == len(images):
        raise unreadable_error(images, failed)

    counts = captions.provenance.get("images", {"total": len(images), "left_out": 0})
    left_out = counts["left_out"] + len(failed)
    counts = {**counts, "kept": len(images) - len(failed), "left_out": left_out, "damaged": len(failed)}
    return _counted(_without(captions, failed), counts)


def _without(captions: ParallelCaptions, images: Container[int]) -> ParallelCaptions:
    image_index = not_none(captions.image_index, "image_index")
    return captions.select([i for i, image in enumerate(image_index) if image not in images])


def _counted(captions: ParallelCaptions, counts: Mapping[str, int]) -> ParallelCaptions:
    return replace(captions, provenance=captions.provenance | {"images": counts})


def coco_split(name: str) -> str | None:
    """Return the COCO split in an image's file name, `train2014` or `val2014`; None for other images.

    Models trained on COCO have seen train2014, so results on the two splits are reported separately.
    """
    prefix, _, rest = name.partition("_")
    split, _, number = rest.partition("_")
    return split if prefix == "COCO" and number else None


def coco_splits(names: Sequence[str]) -> tuple[tuple[str, ...] | None, dict[str, int]]:
    """Return the COCO split of each of `names`, or `other`, and the number of names of each split.

    The splits are None if no name has one. The numbers show the possible contamination of a data set.
    """
    splits = [coco_split(name) for name in names]
    subset = tuple(split or "other" for split in splits) if any(splits) else None
    return subset, {split: splits.count(split) for split in ("train2014", "val2014")}
