"""Test sets with images in many languages: XTD10, XM3600, and xFlickr&CO.

XTD10 has 1,000 COCO images with one caption in each of eleven languages. Layout (a clone of
adobe-research/Cross-lingual-Test-Dataset-XTD10 as `xtd10`): `XTD10/`, `MIC/` (German, French) and
`STAIR/` (Japanese) with `test_1kcaptions_<language>.txt`, and `XTD10/test_image_names.txt`; images,
from COCO, in `images/`. German, French and Japanese captions are from other projects and less
parallel to the English ones.

The others are JSONL, a line per photo, with captions written independently in each language.
Crossmodal-3600 (XM3600) has 3,600 images from all over the world and 36 languages. Layout, as
published at google.github.io/crossmodal-3600: `captions.jsonl` (from `captions.zip`), with
`image/key` and, under each language's code, `caption`: its texts; and the images, from
`images.tgz`, as `images/<key>.jpg`. xFlickr&CO of IGLUE has 1,000 images of Flickr30k and 1,000 of
COCO, with a caption in each of eight languages. Layout: `annotations/<code>/test.jsonl`
(e-bug/iglue's `datasets/xFlickrCO` as `xflickrco`), with `img_path` and `sentences`, in one order
in all languages; and the images in `images/`.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from pecl.data.captions import ParallelCaptions, stripped_lines
from pecl.data.reading import OWNERS_CODES, DataRequest, published_set, read_parallel
from pecl.data.translations import read_translations
from pecl.errors import DataError, one_line
from pecl.files import parse_json

T = TypeVar("T")

_XTD10_LANGUAGES = ("en", "de", "es", "fr", "it", "jp", "ko", "pl", "ru", "tr", "zh")
_OTHER_SOURCES = {"de": "MIC", "fr": "MIC", "jp": "STAIR"}  # folders of XTD10


def read_xtd10(request: DataRequest) -> ParallelCaptions:
    """Read XTD10 in one language; without a folder of images, only its captions.

    `provenance["coco_split"]` counts the images of COCO's train2014 and val2014: models trained on
    COCO have seen the former. `subset` names the split of each, so that results tell them apart.
    The released `english_to_target` of Korean is Italian, and is refused.
    """
    folder = request.root / "xtd10"

    def captions_file(language: str) -> Path:
        return folder / _OTHER_SOURCES.get(language, "XTD10") / f"test_1kcaptions_{language}.txt"

    files = request.both(captions_file) | {"image_names": folder / "XTD10" / "test_image_names.txt"}
    columns = read_parallel(files)
    names = columns.pop("image_names")
    translations, record = read_translations(request, "xtd10", _XTD10_LANGUAGES, captions_file)
    provenance = {"translations": record, "images": "none: captions alone"}
    images: Path | None = folder / "images"
    if not images.is_dir():
        images = None

    return published_set(request, columns | translations, files, provenance, names, images)


def read_xm3600(request: DataRequest) -> ParallelCaptions:
    """Read all captions of one language; an image has about two, one per row.

    Row k of an image has its k-th caption in the target language and its k-th in English; if
    English has fewer, these are repeated from the first. Both describe the image, but neither
    translates the other. Images without a caption in the language are left out, and
    `provenance["without_caption"]` counts them.
    """
    folder = request.root / "xm3600"
    code = OWNERS_CODES["xm3600"][request.language]
    path = folder / "captions.jsonl"
    without_caption = 0
    rows: list[tuple[str, str, str | None]] = []  # of each caption: image, caption, English caption

    def take(line: dict[str, Any]) -> tuple[str, list[str], list[str]]:
        target, in_english = ([text.strip() for text in line[name]["caption"] if text.strip()] for name in (code, "en"))
        return f"{line['image/key']}.jpg", target, in_english

    for name, texts, in_english in _read_json_lines(path, take):
        without_caption += not texts
        rows += [(name, text, in_english[k % len(in_english)] if in_english else None) for k, text in enumerate(texts)]

    columns: dict[str, list[Any]] = {"target": [text for _, text, _ in rows]}
    if all(english is not None for _, _, english in rows):
        columns["english"] = [english for _, _, english in rows]

    provenance = {"captions": "written independently in each language", "without_caption": without_caption}
    names = [name for name, _, _ in rows]
    return published_set(request, columns, {"captions": path}, provenance, names, folder / "images")


def read_xflickrco(request: DataRequest) -> ParallelCaptions:
    """Read the test captions of one language, and the English captions.

    `subset` separates images of COCO's val2014 from those of Flickr30k (`other`).
    """
    folder = request.root / "xflickrco"
    files = request.both(lambda code: folder / "annotations" / OWNERS_CODES["xflickrco"][code] / "test.jsonl")

    def take(line: dict[str, Any]) -> list[tuple[str, str]]:
        return [(line["img_path"], text.strip()) for text in line["sentences"]]

    rows = {name: [row for rows in _read_json_lines(path, take) for row in rows] for name, path in files.items()}
    names = [name for name, _ in rows["target"]]
    if names != [name for name, _ in rows["english"]]:
        raise DataError(f"{files['target']} and {files['english']} list other images, or in another order")

    columns = {name: [text for _, text in texts] for name, texts in rows.items()}
    provenance = {"captions": "written independently in each language"}
    return published_set(request, columns, files, provenance, names, folder / "images")


def _read_json_lines(path: Path, take: Callable[[dict[str, Any]], T]) -> list[T]:
    """Return `take(object)` for each line of a JSONL file; blank lines are skipped."""
    values: list[T] = []
    for number, line in enumerate(stripped_lines(path), 1):
        try:
            values += [take(parse_json(line))] if line else []
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise DataError(f"{path}, line {number}: expected a JSON object of the set ({one_line(error)})") from error
    return values
