"""Flickr30k-200: English captions of Flickr30k photographs, machine-translated with NLLB; text only.

Layout (visheratin/nllb-clip's `data/flickr30k-200` as `flickr30k200`): `<FLORES code>.txt`, one caption a line, and
`filenames.txt`, the photographs' file names. Its photographs are those of
Multi30K's test_2016_flickr: do not report results on that split after training on this text.
"""

from pathlib import Path

from pecl.data.captions import ParallelCaptions, read_captions
from pecl.data.published import multi30k
from pecl.data.reading import describe_file, read_parallel
from pecl.data.request import DataRequest
from pecl.errors import DataError
from pecl.languages import flores_languages

TRANSLATOR = "NLLB"


def read_flickr30k200(request: DataRequest) -> ParallelCaptions:
    """Read the English captions and their machine translations; `english_to_target` is `target` itself here.

    One trains on this text and tests on the pool `multi30k-1k`: captions of the pool's photographs, where there are
    any, are left out. `provenance["excluded"]` says how many were, and `provenance["multi30k_overlap"]` how many of the
    rest are of photographs in each of Multi30K's splits, where Multi30K is in the data directory.

    Raises:
        DataError: a file is missing, damaged or of another length; `target_to_english` is needed, which is not there.
    """
    data_dir, language = request.root, request.language
    if "target_to_english" in request.need and language != "en":
        raise DataError(
            "flickr30k200 has no translations back into English (target_to_english): "
            "choose a route that needs only english_to_target"
        )
    folder = data_dir / "flickr30k200"
    files = {
        "english": caption_file(folder, "en"),
        "target": caption_file(folder, language),
        "image_names": folder / "filenames.txt",
    }
    columns = read_parallel(files)
    names = columns.pop("image_names")
    left_out = {f"{flickr_id}.jpg" for flickr_id in _pool(data_dir)}
    kept = [i for i, name in enumerate(names) if name not in left_out]
    record = {
        "files": {name: describe_file(path, data_dir) for name, path in files.items()},
        "translator": TRANSLATOR,
        "images": "none: captions alone",
        "excluded": {"ids": len(left_out), "captions": len(names) - len(kept)},
        "multi30k_overlap": _overlap([names[i] for i in kept], data_dir),
    }
    translations = dict.fromkeys(request.need, columns["target"])
    captions = ParallelCaptions(
        "flickr30k200",
        language,
        columns["english"],
        columns["target"],
        translations.get("english_to_target"),
        translations.get("target_to_english"),
        provenance=record,
    )
    return captions.select(kept)


def _pool(data_dir: Path) -> tuple[str, ...]:
    """Return the Flickr ids of the pool; none where there are too few photographs for one."""
    present = multi30k.present_training_images(data_dir)
    return multi30k.pool_ids(present) if len(present) >= multi30k.POOL_SIZE else ()


def caption_file(folder: Path, language: str) -> Path:
    """Return the file of a language in a folder with one file per FLORES code."""
    file = folder / f"{flores_languages()[language]}.txt"
    older_name = folder / "eng_captions.txt"  # of the English file, in some versions of the repository
    return older_name if language == "en" and older_name.exists() and not file.exists() else file


def _overlap(names: list[str], data_dir: Path) -> dict[str, int] | None:
    """Count the `names` in each split of Multi30K; None without Multi30K in `data_dir`."""
    files = {split: multi30k.split_file(data_dir, split) for split in multi30k.SPLIT_LANGUAGES}
    return {s: len({*read_captions(file)}.intersection(names)) for s, file in files.items() if file.exists()} or None
