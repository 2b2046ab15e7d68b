"""Images that cannot be read (missing, cut short, no image): all are found and named at once, or left out.

Reading an image means decoding it, which takes longer than everything else about it. So an image that is known to have
been decoded before, by the hash of its content, is not decoded again.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from tqdm import tqdm

from pecl.data.captions import ImageSource, ParallelCaptions
from pecl.errors import DataError

NAMED = 10  # so many images a sentence names


def unreadable_images(images: ImageSource, decoded: Collection[str] = ()) -> dict[int, DataError]:
    """Return what is wrong with each image of `images` that cannot be read, by its index.

    Args:
        images: M images.
        decoded: fingerprints of images that are known to decode.
    """
    failed = {}
    for index in tqdm(range(len(images)), desc="checking images", unit="image", leave=False, disable=not len(images)):
        try:
            if images.fingerprint(index) not in decoded:
                images.load(index)
        except DataError as error:
            failed[index] = error
    return failed


def unreadable_error(images: ImageSource, failed: Mapping[int, DataError]) -> DataError:
    """Return the error that names the first ten of the `failed` images and counts them all."""
    others = len(images) - len(failed)
    way_on = f"replace them, or pass --skip-unreadable to go on with the other {others}" if others else "replace them"
    names = some_names([images.ids[index] for index in failed])
    reason = str(next(iter(failed.values()))).partition(";")[0]
    return DataError(f"{len(failed)} of {len(images)} images cannot be read ({names}; {reason}): {way_on}")


def some_names(names: Sequence[str]) -> str:
    """Return the first ten of `names` for a sentence, with dots for the rest."""
    return ", ".join(names[:NAMED]) + (", ..." if len(names) > NAMED else "")


def leave_out_unreadable(captions: ParallelCaptions, decoded: Collection[str] = ()) -> ParallelCaptions:
    """Return `captions` without those whose image cannot be read.

    `provenance["images"]` counts the images: total, kept, left out (missing ones too), and damaged, which are those
    that are there and cannot be read.

    Args:
        captions: n pairs, with images or without.
        decoded: see `unreadable_images`.

    Raises:
        DataError: no image can be read.
    """
    images = captions.images
    if images is None:
        return captions
    failed = unreadable_images(images, decoded)
    if len(failed) == len(images):
        raise unreadable_error(images, failed)
    counts = captions.provenance.get("images", {"total": len(images), "left_out": 0})
    counts = {
        **counts,
        "kept": len(images) - len(failed),
        "left_out": counts["left_out"] + len(failed),
        "damaged": len(failed),
    }
    kept = captions.select([i for i, image in enumerate(captions.image_index) if image not in failed])
    return replace(kept, provenance=captions.provenance | {"images": counts})
