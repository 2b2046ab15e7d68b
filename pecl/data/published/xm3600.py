"""Crossmodal-3600 (XM3600): 3,600 photographs from all over the world, with independent captions in 36 languages.

Layout, as published at google.github.io/crossmodal-3600: `captions.jsonl` (from `captions.zip`), a line per photo
with `image/key` and, under each language's code, `caption`: its texts; and the photographs, from `images.tgz`, as
`images/<key>.jpg`. A test set: there are no parts, and no caption translates another.
"""

from pathlib import Path
from typing import Any

from pecl.data.captions import ParallelCaptions
from pecl.data.reading import attach_images, describe_file, read_json_lines
from pecl.data.request import DataRequest
from pecl.errors import DataError
from pecl.languages import find_code

XM3600_LANGUAGES = (
    *("ar", "bn", "cs", "da", "de", "el", "en", "es", "fa", "fi", "fil", "fr", "he", "hi", "hr", "hu", "id", "it"),
    *("ja", "ko", "mi", "nl", "no", "pl", "pt", "quz", "ro", "ru", "sv", "sw", "te", "th", "tr", "uk", "vi", "zh"),
)


def read_xm3600(request: DataRequest) -> ParallelCaptions:
    """Read all captions of one language; a photograph has about two, one per row.

    Row k of a photograph has its k-th caption in the target language next to its k-th in English, or, where that has
    fewer, one from the beginning again: both describe the photograph, neither translates the other. Photographs
    without a caption in the language are left out, and `provenance["without_caption"]` counts them.
    """
    if request.need:
        raise DataError(f"xm3600 has no machine translations ({request.need[0]}): choose a route that needs none")
    folder = request.root / "xm3600"
    path = folder / "captions.jsonl"
    code = find_code(request.language, XM3600_LANGUAGES)
    names: list[str] = []
    target: list[str] = []
    english: list[str] = []
    without = 0
    for number, line in read_json_lines(path):
        texts, in_english = (_texts(path, number, line, one) for one in (code, "en"))
        without += not texts
        for k, text in enumerate(texts):
            key = line.get("image/key")
            if not isinstance(key, str) or not key.isalnum():  # it names a file in a folder
                raise DataError(f"{path}, line {number}: image/key: expected letters and digits, got {key!r}")
            names.append(f"{key}.jpg")
            target.append(text)
            english += [in_english[k % len(in_english)]] if in_english else []
    record = {
        "captions": "written independently in each language",
        "files": {"captions": describe_file(path, request.root)},
        "without_caption": without,
    }
    whole = tuple(english) if len(english) == len(target) else None
    captions = ParallelCaptions("xm3600", request.language, whole, tuple(target), provenance=record)
    return attach_images(captions, names, folder / "images")


def _texts(path: Path, number: int, line: dict[str, Any], code: str) -> list[str]:
    found = line.get(code)
    texts = found.get("caption") if isinstance(found, dict) else None
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise DataError(f"{path}, line {number}: {code}: expected an object with a list of texts as caption")
    return [text.strip() for text in texts if text.strip()]
