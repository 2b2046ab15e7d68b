"""Multi30K task 1 (one caption per image, translated by people), and the few-shot pool `multi30k-1k` drawn from it.

Layout (a clone of multi30k/dataset, with images next to it): `multi30k/data/task1/raw/*` plain or
gzipped, `multi30k/data/task1/image_splits/*.txt`, `multi30k/images/<file name>`; machine
translations as in `translations`.
"""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

from pecl.data.captions import COLUMNS, ParallelCaptions, read_captions
from pecl.data.reading import DataRequest, attach_images, coco_splits, published_set, read_parallel
from pecl.data.translations import read_translations
from pecl.errors import DataError, not_none, unknown
from pecl.files import sha256_lines

ALL_LANGUAGES = ("en", "de", "fr", "cs")
SPLIT_LANGUAGES = {
    "train": ALL_LANGUAGES,
    "val": ALL_LANGUAGES,
    "test_2016_flickr": ALL_LANGUAGES,
    "test_2017_flickr": ("en", "de", "fr"),
    "test_2017_mscoco": ("en", "de", "fr"),
    "test_2018_flickr": ALL_LANGUAGES,
}
POOL_SIZE = 1000
TASK_FOLDER = Path("multi30k", "data", "task1")
IMAGES_FOLDER = Path("multi30k", "images")


def read_multi30k(request: DataRequest) -> ParallelCaptions:
    """Read a split of task 1: English captions and their human translations; not every language has all splits.

    The released machine translations cover train, val and test_2016_flickr.
    """
    captions, names = read_split(request)
    return attach_images(captions, names, request.root / IMAGES_FOLDER)


def read_multi30k_pool(request: DataRequest) -> ParallelCaptions:
    """Read `multi30k-1k`: the training captions of the 1,000 images of `pool_ids`, one caption each."""
    captions, names, pool = _read_training(request, in_pool=True)
    captions = replace(captions, dataset="multi30k-1k", provenance=captions.provenance | {"pool": pool})
    return attach_images(captions, names, request.root / IMAGES_FOLDER)


def read_multi30k_translations_outside_pool(request: DataRequest) -> ParallelCaptions:
    """Read text for distillation: the training captions whose image is not in the pool, in the file's order.

    No human translation is used: `target` and `english_to_target` both are the machine translations of `english`.
    """
    captions, _, pool = _read_training(replace(request, need=("english_to_target",)), in_pool=False)
    return replace(
        captions,
        dataset="multi30k-outside-pool",
        target=not_none(captions.english_to_target, "english_to_target"),
        provenance=captions.provenance | {"excluded_pool": pool, "target": "machine translation"},
    )


def _read_training(
    request: DataRequest,
    in_pool: bool,
) -> tuple[ParallelCaptions, list[str], dict[str, Any]]:
    """Return the training captions in the pool, or the others, with their images' file names; and the pool's record."""
    captions, names = read_split(request, "train")
    ids = load_pool_ids(request.root)
    pool = {f"{flickr_id}.jpg" for flickr_id in ids}
    rows = [i for i, name in enumerate(names) if (name in pool) == in_pool]
    return captions.select(rows), [names[i] for i in rows], {"size": len(ids), "sha256": sha256_lines(ids)}


def pool_ids(names: Sequence[str]) -> tuple[str, ...]:
    """Return the Flickr ids of the pool: 1,000 of the images `names`, in their order.

    They have the smallest SHA-256 of "pecl/multi30k-1k/<flickr id>" (the file name without .jpg):
    this draw depends on no random generator, and hardly on which other images are present. Raise
    DataError for fewer than 1,000 images.
    """
    if len(names) < POOL_SIZE:
        raise DataError(
            f"multi30k-1k needs {POOL_SIZE} of Multi30K's training images and {len(names)} are there: "
            "put more of them into multi30k/images (see data/README.md)"
        )

    ids = [name.removesuffix(".jpg") for name in names]
    chosen = set(sorted(ids, key=lambda i: hashlib.sha256(f"pecl/multi30k-1k/{i}".encode()).hexdigest())[:POOL_SIZE])
    return tuple(flickr_id for flickr_id in ids if flickr_id in chosen)


def present_training_images(data_dir: Path) -> list[str]:
    """Return the file names of the training images that are in `data_dir`, in the order of train.txt."""
    folder = data_dir / IMAGES_FOLDER
    if not folder.is_dir():
        return []
    # one listing, in place of 29,000 checks of files
    file_names = {entry.name for entry in os.scandir(folder)}
    return [name for name in read_captions(split_file(data_dir, "train")) if name in file_names]


def load_pool_ids(data_dir: Path) -> tuple[str, ...]:
    """Return `pool_ids` of the training images that are in `data_dir`."""
    return pool_ids(present_training_images(data_dir))


def pool_images(data_dir: Path) -> set[str]:
    """Return the file names of the pool's images; none if too few images are present for a pool."""
    image_names = present_training_images(data_dir)
    if len(image_names) >= POOL_SIZE:
        return {f"{flickr_id}.jpg" for flickr_id in pool_ids(image_names)}
    return set()


def outside_pool(captions: Sequence[str], data_dir: Path) -> list[str]:
    """Return the training captions of images outside the pool; all if there is no pool."""
    pool = pool_images(data_dir)
    names = read_captions(split_file(data_dir, "train")) if pool else [""] * len(captions)
    return [caption for caption, name in zip(captions, names, strict=True) if name not in pool]


def split_file(data_dir: Path, split: str) -> Path:
    """Return the file that lists the image file names of a split of task 1, one per caption."""
    return data_dir / TASK_FOLDER / "image_splits" / f"{split}.txt"


def read_split(
    request: DataRequest,
    split: str | None = None,
) -> tuple[ParallelCaptions, list[str]]:
    """Return a split of task 1 (by default that of the request) without images, and each caption's image file name."""
    split = split or not_none(request.split, "split")
    language = request.language
    data_dir = request.root
    if language not in ALL_LANGUAGES:  # possible if the text replaces the pairs of another set
        raise DataError(unknown("Multi30K language", language, ALL_LANGUAGES))

    if language not in SPLIT_LANGUAGES[split]:
        splits = ", ".join(name for name, languages in SPLIT_LANGUAGES.items() if language in languages)
        raise DataError(f"Multi30K has no {split} in {language!r}: that language has {splits}")

    def captions_file(code: str) -> Path:
        return data_dir / TASK_FOLDER / "raw" / f"{split}.{code}"

    files = request.both(captions_file) | {"image_names": split_file(data_dir, split)}
    columns = read_parallel(files)
    # test_2017_mscoco names the caption too: COCO_val2014_000000398076.jpg#657409
    names = [name.partition("#")[0] for name in columns.pop("image_names")]
    translations, record = read_translations(request, "multi30k", ALL_LANGUAGES, captions_file, split)
    provenance = {"split": split, "translations": record, "coco_split": coco_splits(names)[1]}

    return published_set(replace(request, dataset="multi30k"), columns | translations, files, provenance, names), names


def read_multi30k_full(request: DataRequest) -> ParallelCaptions:
    """Read the splits train, val and the requested test split, one after the other; `part` has each caption's part.

    Translations that are needed must be there for every part.
    """
    split_of_part = {"train": "train", "val": "val", "test": request.split}
    parts = {part: read_split(request, split) for part, split in split_of_part.items()}
    image_names = [name for _, part_names in parts.values() for name in part_names]
    columns = {name: [getattr(captions, name) for captions, _ in parts.values()] for name in COLUMNS}
    joined: Any = {
        name: None if None in texts else tuple(chain.from_iterable(texts)) for name, texts in columns.items()
    }
    captions = ParallelCaptions(
        "multi30k-full",
        request.language,
        **joined,
        part=tuple(part for part, (captions, _) in parts.items() for _ in range(len(captions))),
        subset=coco_splits(image_names)[0],
        provenance={part: captions.provenance for part, (captions, _) in parts.items()},
    )

    return attach_images(captions, image_names, request.root / IMAGES_FOLDER)


def read_multi30k_task2(request: DataRequest) -> ParallelCaptions:
    """Read a split of task 2: five captions per image in each language, written independently of each other.

    Captions are listed image by image. Caption k in English and caption k in German describe the
    same image, but do not translate each other. Machine translations of them do not exist.
    """
    folder = request.root / "multi30k" / "data" / "task2"
    split = request.split
    numbers = range(1, 6)
    codes = {"english": "en", "target": request.language}
    files = {"image_names": folder / "image_splits" / f"{split}_images.txt"}
    files |= {f"{code}.{k}": folder / "raw" / f"{split}.{k}.{code}" for code in codes.values() for k in numbers}
    columns = read_parallel(files)
    texts = {}
    for name, code in codes.items():
        of_images = zip(*(columns[f"{code}.{k}"] for k in numbers), strict=True)
        texts[name] = tuple(chain.from_iterable(of_images))

    provenance = {"split": split, "captions": "five independent captions an image"}
    names = [name for name in columns["image_names"] for _ in numbers]
    return published_set(request, texts, files, provenance, names, request.root / IMAGES_FOLDER)
