"""Shared code of readers: files that are parallel line by line, galleries of image files, and records of files."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pecl.data.captions import ParallelCaptions, captions_from, read_captions, resolve_captions_file
from pecl.data.request import DataRequest
from pecl.errors import DataError
from pecl.files import load_json, sha256_file
from pecl.files.images import ImageFiles

# For each published set, the owner's code of each language, by pecl's code; other sets have pecl's or FLORES codes
OWNERS_CODES: dict[str, dict[str, str]] = load_json(Path(__file__).with_name("published") / "codes.json")


def read_parallel(paths: Mapping[str, Path]) -> dict[str, tuple[str, ...]]:
    """Read caption files by names of columns; raise DataError if two differ in their number of lines."""
    columns = {name: read_captions(path) for name, path in paths.items()}
    first, *others = columns
    for name in others:
        if len(columns[name]) != len(columns[first]):
            raise DataError(
                f"{paths[first]} has {len(columns[first])} lines and {paths[name]} has {len(columns[name])}: "
                "parallel files must have one line for each of the other's"
            )
    return columns


def published_set(
    request: DataRequest,
    columns: Mapping[str, Sequence[str]],
    files: Mapping[str, Path],
    about: Mapping[str, Any],
    names: Sequence[str] = (),
    images: Path | None = None,
) -> ParallelCaptions:
    """Return a set with the record of its files and whatever else is told `about` it.

    `names` are the file names of the captions' images, which tell COCO's; the images are in the folder `images`, if
    there is one.
    """
    record = {"files": {name: describe_file(path, request.root) for name, path in files.items()}, **about}
    if subset := coco_subset(names):
        record["coco_split"] = coco_counts(names)
    texts = {name: tuple(column) for name, column in columns.items()}
    captions = captions_from(request.dataset, request.language, texts, subset=subset, provenance=record)
    return captions if images is None else attach_images(captions, names, images)


def describe_file(path: Path, root: Path) -> dict[str, str]:
    """Return the record of a source file: its name relative to `root`, and its SHA-256."""
    path = resolve_captions_file(path)
    return {"file": path.relative_to(root).as_posix(), "sha256": sha256_file(path)}


def attach_images(captions: ParallelCaptions, names: Sequence[str], folder: Path) -> ParallelCaptions:
    """Return n `captions` with their image files `folder/name`, given the n names or paths relative to `folder`.

    Captions may share a name, and so an image. Files may be missing: see `leave_out_missing`.
    """
    position = {name: i for i, name in enumerate(dict.fromkeys(names))}
    return replace(
        captions,
        images=ImageFiles(tuple(folder / name for name in position)),
        image_index=tuple(position[name] for name in names),
    )


def coco_split(name: str) -> str | None:
    """Return the COCO split that an image's file name tells, `train2014` or `val2014`; None for other images.

    Models trained on COCO have seen train2014, so results on the two are worth telling apart.
    """
    prefix, _, rest = name.partition("_")
    split, _, number = rest.partition("_")
    return split if prefix == "COCO" and number else None


def coco_subset(names: Sequence[str]) -> tuple[str, ...] | None:
    """Return the COCO split of each of `names`, `other` where it has none; None where no name has one."""
    splits = [coco_split(name) for name in names]
    return tuple(split or "other" for split in splits) if any(splits) else None


def coco_counts(names: Sequence[str]) -> dict[str, int]:
    """Count the `names` of each COCO split: the possible contamination of a data set."""
    splits = [coco_split(name) for name in names]
    return {split: splits.count(split) for split in ("train2014", "val2014")}
