"""The text sets of visheratin/nllb-clip: English captions, machine-translated with NLLB into 201 languages.

Layout (the repository's `data/flickr30k-200` as `flickr30k200`, `data/xtd200` as `xtd200`): `<FLORES code>.txt`, one
caption per line, and a file with the images' file names.

Flickr30k-200 is text to train on; its images are those of Multi30K's test_2016_flickr: do not report results on
that split after training on this text. XTD200 has, line by line, the captions of XTD10; nothing is trained on it. There
queries in a language are searched among the English captions.
"""

from dataclasses import replace
from pathlib import Path

from pecl.data.captions import ParallelCaptions, read_captions
from pecl.data.languages import flores_languages
from pecl.data.published import multi30k
from pecl.data.reading import published_set, read_parallel
from pecl.data.request import DataRequest


def read_flickr30k200(request: DataRequest) -> ParallelCaptions:
    """Read the English captions and their machine translations; `english_to_target` is `target` itself here.

    One trains on this text and tests on the pool `multi30k-1k`: captions of the pool's images, where there are
    any, are left out. `provenance["excluded"]` says how many were, and `provenance["multi30k_overlap"]` how many of the
    rest are of images in each of Multi30K's splits, where Multi30K is in the data directory.
    """
    captions, names = _read(request, "filenames.txt")
    left_out = multi30k.pool_images(request.root)
    kept = [i for i, name in enumerate(names) if name not in left_out]
    rest = {names[i] for i in kept}
    files = {split: multi30k.split_file(request.root, split) for split in multi30k.SPLIT_LANGUAGES}
    overlap = {split: len(rest.intersection(read_captions(file))) for split, file in files.items() if file.exists()}
    about = {
        "excluded": {"ids": len(left_out), "captions": len(names) - len(kept)},
        "multi30k_overlap": overlap or None,
    }
    return replace(captions.select(kept), provenance=captions.provenance | about)


def read_xtd200(request: DataRequest) -> ParallelCaptions:
    """Read the captions of one language and the English ones, parallel line by line.

    `provenance["coco_split"]` and `subset` are as in `read_xtd10`.
    """
    return _read(request, "test_image_names.txt")[0]


def _read(request: DataRequest, image_names: str) -> tuple[ParallelCaptions, tuple[str, ...]]:
    """Return a set, and the file name of the image of each caption."""
    folder = request.root / request.dataset
    files = {"english": _caption_file(folder, "en"), "target": _caption_file(folder, request.language)}
    files["image_names"] = folder / image_names
    columns = read_parallel(files)
    names = columns.pop("image_names")
    made = [one for one in request.need if one == "english_to_target" or request.language == "en"]
    columns |= dict.fromkeys(made, columns["target"])
    about = {"translator": "NLLB", "images": "none: captions alone"}
    return published_set(request, columns, files, about, names), names


def _caption_file(folder: Path, language: str) -> Path:
    """Return the file of a language in a folder with one file per FLORES code."""
    file = folder / f"{flores_languages()[language]}.txt"
    older_name = folder / "eng_captions.txt"  # name of the English file in some versions of the repository
    return older_name if language == "en" and older_name.exists() and not file.exists() else file
