"""Multi30K task 2: five captions an image in English and in German, written independently of each other.

Layout: as task 1 (see `multi30k`), under `multi30k/data/task2/`.
"""

from __future__ import annotations

from pathlib import Path

from pecl.data.captions import ParallelCaptions
from pecl.data.sets.multi30k import IMAGES_FOLDER
from pecl.data.sources import attach_images, describe_file, read_parallel
from pecl.errors import DataError, unknown

TASK2_LANGUAGES = ("en", "de")
TASK2_SPLITS = ("test_2016", "train", "val")
CAPTIONS_PER_IMAGE = 5


def load_multi30k_task2(
    data_dir: Path,
    language: str,
    split: str = "test_2016",
    *,
    allow_missing_images: bool = False,
    text_only: bool = False,
) -> ParallelCaptions:
    """Load a split of task 2: five captions an image in each language, written independently of each other.

    Captions stand image by image. Caption k in English and caption k in German describe the same photograph, no more.
    There are no machine translations of them.

    Raises:
        DataError: as `load_multi30k`.
    """
    if language not in TASK2_LANGUAGES:
        raise DataError(unknown("Multi30K task 2 language", language, TASK2_LANGUAGES))
    if split not in TASK2_SPLITS:
        raise DataError(unknown("Multi30K task 2 split", split, TASK2_SPLITS))
    folder = data_dir / "multi30k" / "data" / "task2"
    numbers = range(1, CAPTIONS_PER_IMAGE + 1)
    files = {"image_names": folder / "image_splits" / f"{split}_images.txt"}
    files |= {
        f"{code}.{k}": folder / "raw" / f"{split}.{k}.{code}"
        for code in dict.fromkeys(("en", language))
        for k in numbers
    }
    columns = read_parallel(files)
    names = columns["image_names"]
    english, target = (
        tuple(columns[f"{code}.{k}"][i] for i in range(len(names)) for k in numbers) for code in ("en", language)
    )
    record = {
        "split": split,
        "captions": "five independent captions an image",
        "files": {name: describe_file(path, data_dir) for name, path in files.items()},
    }
    captions = ParallelCaptions("multi30k-task2", language, english, target, provenance=record)
    if text_only:
        return captions
    of_caption = [name for name in names for _ in numbers]
    return attach_images(captions, of_caption, data_dir / IMAGES_FOLDER, allow_missing_images)
