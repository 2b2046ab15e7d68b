"""xFlickr&CO of IGLUE: 1,000 photographs of Flickr30k and 1,000 of COCO, with a caption in each of eight languages.

Layout: `annotations/<code>/test.jsonl` (e-bug/iglue's `datasets/xFlickrCO` as `xflickrco`), a line per photo with
`img_path` and `sentences`, in one order in all languages; and the photographs in `images/`. A test set; captions were
written independently in each language, and do not translate each other.
"""

from pathlib import Path

from pecl.data.captions import ParallelCaptions
from pecl.data.reading import attach_images, coco_counts, coco_subset, describe_file, read_json_lines
from pecl.data.request import DataRequest
from pecl.errors import DataError
from pecl.languages import find_code

XFLICKRCO_LANGUAGES = ("de", "en", "es", "id", "ja", "ru", "tr", "zh")


def read_xflickrco(request: DataRequest) -> ParallelCaptions:
    """Read the test captions of one language, and the English captions.

    `subset` tells photographs of COCO's val2014 from those of Flickr30k (`other`).
    """
    if request.need:
        raise DataError(f"xflickrco has no machine translations ({request.need[0]}): choose a route that needs none")
    folder = request.root / "xflickrco"
    files = {
        name: folder / "annotations" / find_code(code, XFLICKRCO_LANGUAGES) / "test.jsonl"
        for name, code in (("english", "en"), ("target", request.language))
    }
    rows = {name: _read(path) for name, path in files.items()}
    names = [name for name, _ in rows["target"]]
    if names != [name for name, _ in rows["english"]]:
        raise DataError(f"{files['target']} and {files['english']} list other photographs, or in another order")
    record = {
        "captions": "written independently in each language",
        "files": {name: describe_file(path, request.root) for name, path in files.items()},
        "coco_split": coco_counts(names),
    }
    captions = ParallelCaptions(
        "xflickrco",
        request.language,
        tuple(text for _, text in rows["english"]),
        tuple(text for _, text in rows["target"]),
        subset=coco_subset(names),
        provenance=record,
    )
    return attach_images(captions, names, folder / "images")


def _read(path: Path) -> list[tuple[str, str]]:
    """Return the file name of each photograph and its caption."""
    rows = []
    for number, line in read_json_lines(path):
        name, texts = line.get("img_path"), line.get("sentences")
        if not isinstance(name, str) or Path(name).name != name or not name:
            raise DataError(f"{path}, line {number}: img_path: expected the name of a file, got {name!r}")
        if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
            raise DataError(f"{path}, line {number}: sentences: expected a list of texts")
        rows += [(name, text.strip()) for text in texts]
    return rows
