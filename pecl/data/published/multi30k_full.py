"""`multi30k-full`: Multi30K task 1 as it was published, with all of its training, validation and test captions."""

from __future__ import annotations

from collections.abc import Sequence

from pecl.data.captions import Column, ParallelCaptions
from pecl.data.published.multi30k import IMAGES_FOLDER, SPLIT_LANGUAGES, read_split
from pecl.data.reading import attach_images, coco_subset
from pecl.data.request import DataRequest
from pecl.errors import not_none

TEST_SPLITS = tuple(split for split in SPLIT_LANGUAGES if split.startswith("test"))


def read_multi30k_full(request: DataRequest) -> ParallelCaptions:
    """Read the splits train, val and the test split asked for, one after the other; `part` tells them apart.

    Translations that are needed must be there for every part.

    Raises:
        DataError: as `read_multi30k`.
    """
    splits = {"train": "train", "val": "val", "test": request.split}
    read = {part: read_split(request, split) for part, split in splits.items()}
    names = [name for _, of_part in read.values() for name in of_part]
    parts = [captions for captions, _ in read.values()]
    captions = ParallelCaptions(
        "multi30k-full",
        request.language,
        tuple(caption for captions in parts for caption in not_none(captions.english, "english")),
        tuple(caption for captions in parts for caption in captions.target),
        _joined([captions.english_to_target for captions in parts]),
        _joined([captions.target_to_english for captions in parts]),
        part=tuple(part for part, (captions, _) in read.items() for _ in range(len(captions))),
        subset=coco_subset(names),
        provenance={part: captions.provenance for part, (captions, _) in read.items()},
    )
    return attach_images(captions, names, request.root / IMAGES_FOLDER)


def _joined(columns: Sequence[Column | None]) -> tuple[str, ...] | None:
    """Return columns one after the other; None where a part has none."""
    present = [column for column in columns if column is not None]
    return tuple(caption for column in present for caption in column) if len(present) == len(columns) else None
