"""XTD10: 1,000 COCO images with one caption in each of eleven languages, a test set.

Layout (a clone of adobe-research/Cross-lingual-Test-Dataset-XTD10 as `xtd10`): `XTD10/`, `MIC/` (German, French) and
`STAIR/` (Japanese) with `test_1kcaptions_<language>.txt`, and `XTD10/test_image_names.txt`; images, from COCO, in
`images/`. German, French and Japanese captions are from other projects and less parallel to the English ones.
"""

from functools import partial
from pathlib import Path

from pecl.data.captions import ParallelCaptions, captions_from
from pecl.data.reading import attach_images, coco_counts, coco_subset, read_listed
from pecl.data.request import DataRequest
from pecl.data.translations import read_translations

_LANGUAGES = ("en", "de", "es", "fr", "it", "jp", "ko", "pl", "ru", "tr", "zh")
_OTHER_SOURCES = {"de": "MIC", "fr": "MIC", "jp": "STAIR"}


def read_xtd10(request: DataRequest) -> ParallelCaptions:
    """Read XTD10 in one language; without a folder of images, only its captions.

    `provenance["coco_split"]` counts the images of COCO's train2014 and val2014: models trained on COCO have seen
    the former. `subset` names the split of each, so that results tell them apart. The released `english_to_target` of
    Korean is Italian, and is refused.
    """
    root, language = request.root, request.language
    image_names = root / "xtd10" / "XTD10" / "test_image_names.txt"
    columns, names, files = read_listed(root, captions_file(root, "en"), captions_file(root, language), image_names)
    translations, translation_record = read_translations(request, "xtd10", _LANGUAGES, partial(captions_file, root))
    record = {
        "files": files,
        "translations": translation_record,
        "coco_split": coco_counts(names),
        "images": "none: captions alone",
    }
    subset = coco_subset(names)
    captions = captions_from("xtd10", language, columns | translations, subset=subset, provenance=record)
    images = root / "xtd10" / "images"
    return attach_images(captions, names, images) if images.is_dir() else captions


def captions_file(data_dir: Path, language: str) -> Path:
    """Return the file of the human captions of `language`."""
    return data_dir / "xtd10" / _OTHER_SOURCES.get(language, "XTD10") / f"test_1kcaptions_{language}.txt"
