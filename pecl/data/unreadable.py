"""Images that are missing or cannot be read (cut short, no image): all are found and named at once, or left out.

Reading an image means decoding it, which takes longer than everything else about it. So an image that is known to have
been decoded before, by the hash of its content, is not decoded again.
"""

import os
from collections.abc import Container
from dataclasses import replace
from pathlib import Path

from pecl.data.captions import PARTS, ParallelCaptions
from pecl.errors import DataError, not_none
from pecl.files.images import ImageFiles, some_names, unreadable_error, unreadable_images


def leave_out_missing(captions: ParallelCaptions, allowed: bool = False) -> ParallelCaptions:
    """Drop captions whose image file is missing, if `allowed`; DataError if nothing is left of the set or a part.

    `provenance["images"]` counts the image files: total, kept and left out.
    """
    images = captions.images
    if not isinstance(images, ImageFiles):  # others are made or held in memory
        return captions
    present = [i for i, path in enumerate(images.paths) if path.is_file()]
    missing = sorted(set(range(len(images))).difference(present))
    if missing and not (present and allowed):
        folder = _folder_of(images)
        names = some_names([os.path.relpath(images.paths[i], folder) for i in missing])
        way_on = (
            f"pass --allow-missing-images (allow_missing_images=True) to use the {len(present)} that are there"
            if present
            else "use only the captions (--gallery english --image-weight 0; text_only=True)"
        )
        count = f"{len(missing)} of {len(images)} images"
        raise DataError(f"{captions.dataset}: {count} are missing from {folder} ({names}): put them there, or {way_on}")
    kept = captions
    if missing:
        known = set(present)
        image_index = not_none(captions.image_index, "image_index")
        kept = captions.select([i for i, image in enumerate(image_index) if image in known])
        lost = set(captions.part or ()).difference(kept.part or ())
        for part in (part for part in PARTS if part in lost):
            raise DataError(
                f"{captions.dataset}: no image of the {part} part is in {_folder_of(images)}, so nothing is left of "
                "it: put them there, or use only the captions (--gallery english --image-weight 0)"
            )
    counts = {"total": len(images), "kept": len(present), "left_out": len(missing)}
    return replace(kept, provenance=captions.provenance | {"images": counts})


def _folder_of(files: ImageFiles) -> Path:
    return Path(os.path.commonpath([path.absolute().parent for path in files.paths]))


def leave_out_unreadable(captions: ParallelCaptions, decoded: Container[str] = ()) -> ParallelCaptions:
    """Drop captions whose image cannot be read.

    `provenance["images"]` counts the images: total, kept, left out (including missing), and damaged. For `decoded` see
    `unreadable_images`.
    """
    images = not_none(captions.images, "images")
    failed = unreadable_images(images, decoded)
    if len(failed) == len(images):
        raise unreadable_error(images, failed)
    counts = captions.provenance.get("images", {"total": len(images), "left_out": 0})
    left_out = counts["left_out"] + len(failed)
    counts = {**counts, "kept": len(images) - len(failed), "left_out": left_out, "damaged": len(failed)}
    image_index = not_none(captions.image_index, "image_index")
    kept = captions.select([i for i, image in enumerate(image_index) if image not in failed])
    return replace(kept, provenance=captions.provenance | {"images": counts})
