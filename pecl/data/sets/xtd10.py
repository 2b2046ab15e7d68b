"""XTD10: 1,000 COCO photographs with one caption in each of eleven languages, a test set.

Layout (a clone of adobe-research/Cross-lingual-Test-Dataset-XTD10 as `xtd10`): `XTD10/`, `MIC/` (German, French) and
`STAIR/` (Japanese) with `test_1kcaptions_<language>.txt`, and `XTD10/test_image_names.txt`; photographs, from COCO, in
`images/`. German, French and Japanese captions are of other projects and less parallel to the English ones.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from pecl.data.captions import ParallelCaptions
from pecl.data.sources import attach_images, coco_counts, coco_subset, describe_file, read_parallel
from pecl.data.translations import TranslationFolder, read_translations
from pecl.errors import DataError, unknown

XTD10_LANGUAGES = ("en", "de", "es", "fr", "it", "jp", "ko", "pl", "ru", "tr", "zh")
_OTHER_SOURCES = {"de": "MIC", "fr": "MIC", "jp": "STAIR"}


def load_xtd10(
    data_dir: Path,
    language: str,
    need: Iterable[str] = (),
    *,
    allow_missing_images: bool = False,
    allow_copied_translations: bool = False,
    text_only: bool = False,
) -> ParallelCaptions:
    """Load XTD10 in one language; without a folder of photographs, its captions alone.

    `provenance["coco_split"]` counts the photographs of COCO's train2014 and val2014: models trained on COCO have seen
    the former. `subset` tells which they are, so that results tell them apart.

    Args:
        data_dir: folder that holds `xtd10`, and `pectvlm` where translations are needed.
        language: one of `XTD10_LANGUAGES`.
        need: machine translations to read, of `english_to_target` and `target_to_english`. The released
            `english_to_target` of Korean is Italian, and is refused.
        allow_missing_images: leave out the captions whose photograph is missing from `xtd10/images`.
        allow_copied_translations: see `read_translations`.
        text_only: load no images, even if they are there.

    Raises:
        DataError: unknown language; a file is missing, damaged or of another length; images are missing.
    """
    if language not in XTD10_LANGUAGES:
        raise DataError(unknown("XTD10 language", language, XTD10_LANGUAGES))
    files = {
        "english": captions_file(data_dir, "en"),
        "target": captions_file(data_dir, language),
        "image_names": _names_file(data_dir),
    }
    columns = read_parallel(files)
    names = columns.pop("image_names")
    translation_folder = TranslationFolder(
        data_dir, "xtd10", XTD10_LANGUAGES, lambda code: captions_file(data_dir, code)
    )
    translations, translation_record = read_translations(translation_folder, language, need, allow_copied_translations)
    images_folder = data_dir / "xtd10" / "images"
    with_images = images_folder.is_dir() and not text_only
    record = {
        "files": {name: describe_file(path, data_dir) for name, path in files.items()},
        "translations": translation_record,
        "coco_split": coco_counts(names),
        "images": "none: captions alone",
    }
    captions = ParallelCaptions(
        "xtd10", language, **columns, **translations, subset=coco_subset(names), provenance=record
    )
    return attach_images(captions, names, images_folder, allow_missing_images) if with_images else captions


def captions_file(data_dir: Path, language: str) -> Path:
    """Return the file of the human captions of `language`."""
    return data_dir / "xtd10" / _OTHER_SOURCES.get(language, "XTD10") / f"test_1kcaptions_{language}.txt"


def _names_file(data_dir: Path) -> Path:
    return data_dir / "xtd10" / "XTD10" / "test_image_names.txt"
