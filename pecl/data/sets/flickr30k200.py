"""Flickr30k-200: English captions of Flickr30k photographs, machine-translated with NLLB; text alone.

Layout (visheratin/nllb-clip's `data/flickr30k-200` as `flickr30k200`): `<FLORES code>.txt`, one caption a line, and
`filenames.txt`, the photographs' file names. It serves the languages that Multi30K lacks. Its photographs are those of
Multi30K's test_2016_flickr: whoever trains on it must not report results on that split.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from pecl.data.captions import ParallelCaptions, read_captions
from pecl.data.sets.multi30k import SPLIT_LANGUAGES, split_file
from pecl.data.sources import describe_file, read_parallel
from pecl.data.translations import check_directions
from pecl.errors import DataError, unknown
from pecl.languages import FLORES

ENGINE = "NLLB"


def load_flickr30k200(
    data_dir: Path, language: str, need: Iterable[str] = (), *, exclude: Iterable[str] = ()
) -> ParallelCaptions:
    """Load the English captions and their machine translations into `language`.

    `provenance["excluded"]` says how many captions were left out, and `provenance["multi30k_overlap"]` how many of the
    rest are of photographs in each of Multi30K's splits, where Multi30K is in `data_dir`.

    Args:
        data_dir: folder that holds `flickr30k200`.
        language: a code of `pecl.languages.FLORES`.
        need: `english_to_target` is `target` itself here; there is no `target_to_english`.
        exclude: Flickr ids (file names without .jpg) to leave out, e.g. those of the pool that is tested on.

    Raises:
        DataError: unknown language; a file is missing, damaged or of another length; `need` asks for what is not there.
    """
    if language not in FLORES:
        raise DataError(unknown("Flickr30k-200 language", language, FLORES))
    directions = check_directions(need)
    if "target_to_english" in directions and language != "en":
        raise DataError(
            "flickr30k200 has no translations back into English (target_to_english): "
            "choose a method that needs english_to_target alone"
        )
    folder = data_dir / "flickr30k200"
    files = {
        "english": _captions_file(folder, "en"),
        "target": _captions_file(folder, language),
        "image_names": folder / "filenames.txt",
    }
    columns = read_parallel(files)
    names = columns.pop("image_names")
    left_out = {f"{flickr_id}.jpg" for flickr_id in exclude}
    kept = [i for i, name in enumerate(names) if name not in left_out]
    record = {
        "files": {name: describe_file(path, data_dir) for name, path in files.items()},
        "engine": ENGINE,
        "images": "none: captions alone",
        "excluded": {"ids": len(left_out), "captions": len(names) - len(kept)},
        "multi30k_overlap": _overlap([names[i] for i in kept], data_dir),
    }
    translations = dict.fromkeys(directions, columns["target"])
    return ParallelCaptions("flickr30k200", language, **columns, **translations, provenance=record).select(kept)


def _captions_file(folder: Path, language: str) -> Path:
    file = folder / f"{FLORES[language]}.txt"
    older_name = folder / "eng_captions.txt"  # of the English file, in some versions of the repository
    return older_name if language == "en" and older_name.exists() and not file.exists() else file


def _overlap(names: list[str], data_dir: Path) -> dict[str, int] | None:
    """Return how many of `names` are in each split of Multi30K; None where Multi30K is not in `data_dir`."""
    files = {split: split_file(data_dir, split) for split in SPLIT_LANGUAGES}
    return {s: len({*read_captions(file)}.intersection(names)) for s, file in files.items() if file.exists()} or None
