"""Multi30K task 2: five captions an image in English and in German, written independently of each other.

Layout: as task 1 (see `multi30k`), under `multi30k/data/task2/`.
"""

from __future__ import annotations

from pecl.data.captions import ParallelCaptions
from pecl.data.published.multi30k import IMAGES_FOLDER
from pecl.data.reading import attach_images, describe_file, read_parallel
from pecl.data.request import DataRequest
from pecl.errors import DataError

TASK2_LANGUAGES = ("en", "de")
TASK2_SPLITS = ("test_2016", "train", "val")
CAPTIONS_PER_IMAGE = 5


def read_multi30k_task2(request: DataRequest) -> ParallelCaptions:
    """Read a split of task 2: five captions an image in each language, written independently of each other.

    Captions are listed image by image. Caption k in English and caption k in German describe the same photograph, but
    do not translate each other. Machine translations of them do not exist.

    Raises:
        DataError: a file is missing, damaged or of another length; machine translations are needed.
    """
    if request.need:
        raise DataError(f"multi30k-task2 has no machine translations ({request.need[0]}): use multi30k instead")
    language, split = request.language, request.split
    folder = request.root / "multi30k" / "data" / "task2"
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
        "files": {name: describe_file(path, request.root) for name, path in files.items()},
    }
    captions = ParallelCaptions("multi30k-task2", language, english, target, provenance=record)
    of_caption = [name for name in names for _ in numbers]
    return attach_images(captions, of_caption, request.root / IMAGES_FOLDER)
