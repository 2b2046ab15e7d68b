"""`multi30k-full`: Multi30K task 1 as it was published, with all of its training, validation and test captions."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from pecl.data.captions import ParallelCaptions
from pecl.data.sets.multi30k import IMAGES_FOLDER, SPLIT_LANGUAGES, read_split
from pecl.data.sources import attach_images, coco_subset
from pecl.errors import DataError

TEST_SPLITS = tuple(split for split in SPLIT_LANGUAGES if split.startswith("test"))
_COLUMNS = ("english", "target", "english_to_target", "target_to_english")


def load_multi30k_full(
    data_dir: Path,
    language: str,
    test_split: str = "test_2016_flickr",
    need: Iterable[str] = (),
    *,
    allow_missing_images: bool = False,
    allow_copied_translations: bool = False,
    text_only: bool = False,
) -> ParallelCaptions:
    """Load the splits train, val and `test_split`, one after the other; `part` tells them apart.

    Args:
        data_dir: as `load_multi30k`.
        language: en, de, fr or cs.
        test_split: one of `TEST_SPLITS`; not every language has all.
        need: as `load_multi30k`: translations that every part must have.
        allow_missing_images: leave out the captions whose photograph is missing, as long as each part keeps some.
        allow_copied_translations: see `read_translations`.
        text_only: load no images.

    Raises:
        DataError: as `load_multi30k`; or no photograph of one part is there.
    """
    splits = {"train": "train", "val": "val", "test": test_split}
    read = {
        part: read_split(data_dir, language, split, need, allow_copied_translations) for part, split in splits.items()
    }
    names = [name for _, of_part in read.values() for name in of_part]
    parts = [captions for captions, _ in read.values()]
    captions = ParallelCaptions(
        "multi30k-full",
        language,
        **{name: _joined([getattr(captions, name) for captions in parts]) for name in _COLUMNS},
        part=tuple(part for part, (captions, _) in read.items() for _ in range(len(captions))),
        subset=coco_subset(names),
        provenance={part: captions.provenance for part, (captions, _) in read.items()},
    )
    if text_only:
        return captions
    captions = attach_images(captions, names, data_dir / IMAGES_FOLDER, allow_missing_images)
    for part, split in splits.items():
        if part not in captions.part:
            raise DataError(
                f"multi30k-full: no photograph of {split} is in {data_dir / IMAGES_FOLDER}, so nothing is left of the "
                f"{part} part: put them there, or use the captions alone (--gallery english --image-weight 0)"
            )
    return captions


def _joined(columns: list[tuple[str, ...] | None]) -> tuple[str, ...] | None:
    """Return columns one after the other; None where a part has none."""
    return None if None in columns else tuple(caption for column in columns for caption in column)
