"""XTD10: 1,000 COCO photographs with one caption in each of eleven languages, a test set.

Layout (a clone of adobe-research/Cross-lingual-Test-Dataset-XTD10 as `xtd10`): `XTD10/`, `MIC/` (German, French) and
`STAIR/` (Japanese) with `test_1kcaptions_<language>.txt`, and `XTD10/test_image_names.txt`; photographs, from COCO, in
`images/`. German, French and Japanese captions are of other projects and less parallel to the English ones.
"""

from pathlib import Path

from pecl.data.captions import ParallelCaptions
from pecl.data.reading import attach_images, coco_counts, coco_subset, describe_file, read_parallel
from pecl.data.request import DataRequest
from pecl.data.translations import TranslationFolder, read_translations

XTD10_LANGUAGES = ("en", "de", "es", "fr", "it", "jp", "ko", "pl", "ru", "tr", "zh")
_OTHER_SOURCES = {"de": "MIC", "fr": "MIC", "jp": "STAIR"}


def read_xtd10(request: DataRequest) -> ParallelCaptions:
    """Read XTD10 in one language; without a folder of images, only its captions.

    `provenance["coco_split"]` counts the photographs of COCO's train2014 and val2014: models trained on COCO have seen
    the former. `subset` tells which they are, so that results tell them apart. The released `english_to_target` of
    Korean is Italian, and is refused.

    Raises:
        DataError: a file is missing, damaged or of another length.
    """
    data_dir, language = request.root, request.language
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
    translations, translation_record = read_translations(translation_folder, request)
    images_folder = data_dir / "xtd10" / "images"
    record = {
        "files": {name: describe_file(path, data_dir) for name, path in files.items()},
        "translations": translation_record,
        "coco_split": coco_counts(names),
        "images": "none: captions alone",
    }
    captions = ParallelCaptions(
        "xtd10",
        language,
        columns["english"],
        columns["target"],
        translations.get("english_to_target"),
        translations.get("target_to_english"),
        subset=coco_subset(names),
        provenance=record,
    )
    return attach_images(captions, names, images_folder) if images_folder.is_dir() else captions


def captions_file(data_dir: Path, language: str) -> Path:
    """Return the file of the human captions of `language`."""
    return data_dir / "xtd10" / _OTHER_SOURCES.get(language, "XTD10") / f"test_1kcaptions_{language}.txt"


def _names_file(data_dir: Path) -> Path:
    return data_dir / "xtd10" / "XTD10" / "test_image_names.txt"
