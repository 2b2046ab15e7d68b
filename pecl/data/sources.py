"""What the readers share: files that are parallel line by line, galleries of image files, and what is recorded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from pecl.data.captions import ImageFiles, ParallelCaptions, read_captions, resolve_captions_file
from pecl.data.unreadable import some_names, unreadable_images
from pecl.errors import DataError
from pecl.files import sha256_file


def read_parallel(paths: Mapping[str, Path]) -> dict[str, tuple[str, ...]]:
    """Read caption files that are parallel line by line; keys are names of columns.

    Raises:
        DataError: a file cannot be read, or two differ in length (both and their counts are named).
    """
    columns = {name: read_captions(path) for name, path in paths.items()}
    first, *others = columns
    for name in others:
        if len(columns[name]) != len(columns[first]):
            raise DataError(
                f"{paths[first]} has {len(columns[first])} lines and {paths[name]} has {len(columns[name])}: "
                "parallel files must have one line for each of the other's"
            )
    return columns


def describe_file(path: Path, root: Path) -> dict[str, str]:
    """Return what a result records of one source file: its name relative to `root`, and the SHA-256 of its bytes."""
    path = resolve_captions_file(path)
    return {"file": path.relative_to(root).as_posix(), "sha256": sha256_file(path)}


def attach_images(
    captions: ParallelCaptions, names: Sequence[str], folder: Path, allow_missing_images: bool = False
) -> ParallelCaptions:
    """Return `captions` with their image files `folder/name`; captions may share a name, and so an image.

    Args:
        captions: n pairs without images.
        names: n file names, or paths relative to `folder`, one a caption.
        folder: where the image files lie.
        allow_missing_images: leave out the captions whose image is missing. `provenance["images"]` records the counts.

    Raises:
        DataError: images are missing and that is not allowed, or none is there at all.
    """
    unique = dict.fromkeys(names)
    present = dict.fromkeys(name for name in unique if (folder / name).is_file())  # in order, and quick to ask
    missing = [name for name in unique if name not in present]
    kept = [i for i, name in enumerate(names) if name in present]
    if missing and (not kept or not allow_missing_images):
        raise DataError(_missing_sentence(captions.dataset, folder, missing, list(present)))
    used = list(dict.fromkeys(names[i] for i in kept))
    position = {name: i for i, name in enumerate(used)}
    counts = {"total": len(unique), "kept": len(used), "left_out": len(missing)}
    return replace(
        captions.select(kept),
        images=ImageFiles(tuple(folder / name for name in used)),
        image_index=tuple(position[names[i]] for i in kept),
        provenance=captions.provenance | {"images": counts},
    )


def _missing_sentence(dataset: str, folder: Path, missing: list[str], present: list[str]) -> str:
    """Return the sentence for images that are missing; it also names those that are there and cannot be read."""
    damaged = [present[i] for i in unreadable_images(ImageFiles(tuple(folder / name for name in present)))]
    also = f", and {len(damaged)} cannot be read ({some_names(damaged)})" if damaged else ""
    kept = len(present) - len(damaged)
    flag = "--skip-unreadable" if damaged else "--allow-missing-images (allow_missing_images=True)"
    way_on = (
        f"add them, or pass {flag} to use the {kept} that are there"
        if kept
        else "put them there, or use the captions alone (--gallery english --image-weight 0; text_only=True)"
    )
    count = f"{len(missing)} of {len(missing) + len(present)} images"
    return f"{dataset}: {count} are missing from {folder} ({some_names(missing)}){also}: {way_on}"


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
    """Return how many of `names` are of each COCO split: the possible contamination of a data set."""
    splits = [coco_split(name) for name in names]
    return {split: splits.count(split) for split in ("train2014", "val2014")}
