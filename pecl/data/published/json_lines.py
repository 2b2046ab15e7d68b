"""Test sets in JSONL, a line per photo, with captions written independently in each language: XM3600 and xFlickr&CO.

Crossmodal-3600 (XM3600) has 3,600 images from all over the world and 36 languages. Layout, as published at
google.github.io/crossmodal-3600: `captions.jsonl` (from `captions.zip`), with `image/key` and, under each language's
code, `caption`: its texts; and the images, from `images.tgz`, as `images/<key>.jpg`.

xFlickr&CO of IGLUE has 1,000 images of Flickr30k and 1,000 of COCO, with a caption in each of eight languages.
Layout: `annotations/<code>/test.jsonl` (e-bug/iglue's `datasets/xFlickrCO` as `xflickrco`), with `img_path` and
`sentences`, in one order in all languages; and the images in `images/`.
"""

import codecs
from pathlib import Path
from typing import Any

from pecl.data.captions import ParallelCaptions
from pecl.data.lines import CAPTIONS, readable
from pecl.data.reading import OWNERS_CODES, published_set
from pecl.data.request import DataRequest
from pecl.errors import DataError, one_line
from pecl.files import parse_json, read_regular


def read_xm3600(request: DataRequest) -> ParallelCaptions:
    """Read all captions of one language; an image has about two, one per row.

    Row k of an image has its k-th caption in the target language next to its k-th in English, or, where that has
    fewer, one from the beginning again: both describe the image, neither translates the other. Images
    without a caption in the language are left out, and `provenance["without_caption"]` counts them.
    """
    if request.need:
        raise DataError(f"xm3600 has no machine translations ({request.need[0]}): choose a route that needs none")
    folder = request.root / "xm3600"
    path = folder / "captions.jsonl"
    code = OWNERS_CODES["xm3600"][request.language]
    names: list[str] = []
    target: list[str] = []
    english: list[str] = []
    without = 0
    for number, line in _read_json_lines(path):
        texts, in_english = (_xm3600_texts(path, number, line, one) for one in (code, "en"))
        without += not texts
        for k, text in enumerate(texts):
            names.append(f"{line.get('image/key')}.jpg")
            target.append(text)
            english += [in_english[k % len(in_english)]] if in_english else []
    columns = {"target": target} | ({"english": english} if len(english) == len(target) else {})
    about = {"captions": "written independently in each language", "without_caption": without}
    return published_set(request, columns, {"captions": path}, about, names, folder / "images")


def _xm3600_texts(path: Path, number: int, line: dict[str, Any], code: str) -> list[str]:
    found = line.get(code)
    texts = found.get("caption") if isinstance(found, dict) else None
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise DataError(f"{path}, line {number}: {code}: expected an object with a list of texts as caption")
    return [text.strip() for text in texts if text.strip()]


def read_xflickrco(request: DataRequest) -> ParallelCaptions:
    """Read the test captions of one language, and the English captions.

    `subset` tells images of COCO's val2014 from those of Flickr30k (`other`).
    """
    if request.need:
        raise DataError(f"xflickrco has no machine translations ({request.need[0]}): choose a route that needs none")
    folder = request.root / "xflickrco"
    files = {
        name: folder / "annotations" / OWNERS_CODES["xflickrco"][code] / "test.jsonl"
        for name, code in (("english", "en"), ("target", request.language))
    }
    rows = {name: _xflickrco_rows(path) for name, path in files.items()}
    names = [name for name, _ in rows["target"]]
    if names != [name for name, _ in rows["english"]]:
        raise DataError(f"{files['target']} and {files['english']} list other images, or in another order")
    columns = {name: [text for _, text in own] for name, own in rows.items()}
    about = {"captions": "written independently in each language"}
    return published_set(request, columns, files, about, names, folder / "images")


def _xflickrco_rows(path: Path) -> list[tuple[str, str]]:
    """Return the file name of each image and its caption."""
    rows = []
    for number, line in _read_json_lines(path):
        name, texts = line.get("img_path"), line.get("sentences")
        if not isinstance(name, str) or not isinstance(texts, list):
            raise DataError(f"{path}, line {number}: expected the name of a file, img_path, and a list, sentences")
        rows += [(name, text.strip()) for text in texts]
    return rows


def _read_json_lines(path: Path) -> list[tuple[int, dict[str, Any]]]:
    """Return each line of a JSONL file, an object, with its number counted from 1; blank lines are passed over."""
    with readable(path, CAPTIONS):
        content = read_regular(path)
    found: list[tuple[int, dict[str, Any]]] = []
    for number, line in enumerate(content.removeprefix(codecs.BOM_UTF8).split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            document = parse_json(line)
        except ValueError as error:
            raise DataError(f"{path}, line {number}: not JSON in UTF-8 ({one_line(error)})") from error
        if not isinstance(document, dict):
            raise DataError(f"{path}, line {number}: expected a JSON object, got {type(document).__name__}")
        found.append((number, document))
    if not found:
        raise DataError(f"caption file {path} is empty")
    return found
