"""XTD10: 1,000 COCO images with one caption in each of eleven languages, a test set.

Layout (a clone of adobe-research/Cross-lingual-Test-Dataset-XTD10 as `xtd10`): `XTD10/`, `MIC/` (German, French) and
`STAIR/` (Japanese) with `test_1kcaptions_<language>.txt`, and `XTD10/test_image_names.txt`; images, from COCO, in
`images/`. German, French and Japanese captions are from other projects and less parallel to the English ones.
"""

from functools import partial
from pathlib import Path

from pecl.data.captions import ParallelCaptions
from pecl.data.reading import published_set, read_parallel
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
    root = request.root
    files = {"english": captions_file(root, "en"), "target": captions_file(root, request.language)}
    files["image_names"] = root / "xtd10" / "XTD10" / "test_image_names.txt"
    columns = read_parallel(files)
    names = columns.pop("image_names")
    translations, record = read_translations(request, "xtd10", _LANGUAGES, partial(captions_file, root))
    about, images = {"translations": record, "images": "none: captions alone"}, root / "xtd10" / "images"
    return published_set(request, columns | translations, files, about, names, images if images.is_dir() else None)


def captions_file(data_dir: Path, language: str) -> Path:
    """Return the file of the human captions of `language`."""
    return data_dir / "xtd10" / _OTHER_SOURCES.get(language, "XTD10") / f"test_1kcaptions_{language}.txt"
