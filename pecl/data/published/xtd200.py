"""XTD200: the English captions of XTD10, machine-translated into the languages of FLORES-200; text only, a test set.

Layout (visheratin/nllb-clip's `data/xtd200`): `<FLORES code>.txt`, one caption a line, and `test_image_names.txt`. Line
by line these are the captions of XTD10. Queries in a language are searched among the English captions. Nothing is
trained on this text: its photographs are COCO's, those of the training text `flickr30k200` are Flickr30k's.
"""

from pecl.data.captions import ParallelCaptions
from pecl.data.published.flickr30k200 import TRANSLATOR, caption_file
from pecl.data.reading import coco_counts, coco_subset, describe_file, read_parallel
from pecl.data.request import DataRequest
from pecl.errors import DataError


def read_xtd200(request: DataRequest) -> ParallelCaptions:
    """Read the captions of one language and the English ones, parallel line by line.

    `provenance["coco_split"]` and `subset` are as of `read_xtd10`.

    Raises:
        DataError: a file is missing, damaged or of another length; `target_to_english` is needed, which is not there.
    """
    root, language = request.root, request.language
    if "target_to_english" in request.need and language != "en":
        raise DataError("xtd200 has no translations back into English (target_to_english): choose another route")
    folder = root / "xtd200"
    files = {
        "english": caption_file(folder, "en"),
        "target": caption_file(folder, language),
        "image_names": folder / "test_image_names.txt",
    }
    columns = read_parallel(files)
    names = columns.pop("image_names")
    record = {
        "files": {name: describe_file(path, root) for name, path in files.items()},
        "translator": TRANSLATOR,
        "coco_split": coco_counts(names),
        "images": "none: captions alone",
    }
    translations = dict.fromkeys(request.need, columns["target"])
    return ParallelCaptions(
        "xtd200",
        language,
        columns["english"],
        columns["target"],
        translations.get("english_to_target"),
        translations.get("target_to_english"),
        subset=coco_subset(names),
        provenance=record,
    )
