"""Sets of text without images: Flickr30k-200, XTD200, SIB-200, NTREX-128, GATITOS, OLDI Seed and CLDR's emoji.

Flickr30k-200 and XTD200 are English captions that NLLB translated into 201 languages. Layout
(visheratin/nllb-clip's `data/flickr30k-200` as `flickr30k200`, `data/xtd200` as `xtd200`): `<FLORES
code>.txt`, one caption per line, and a file with the images' file names. Flickr30k-200 is text to
train on; its images are those of Multi30K's test_2016_flickr: do not report results on that split
after training on this text. XTD200 has, line by line, the captions of XTD10, and is only for tests:
queries in a language retrieve English captions.

People translated the others. SIB-200 (dadelani/sib-200 as `sib200`): `data/annotated/<FLORES
code>/<split>.tsv`, sentences of Wikinews, Wikibooks and Wikivoyage, joined by `index_id`. NTREX-128
(MicrosoftTranslator/NTREX as `ntrex`): sentences of news in
`NTREX-128/newstest2019-ref.<code>.txt`, line by line with `newstest2019-src.eng.txt`. Seed
(openlanguagedata/seed as `seed`): sentences of Wikipedia in `seed/<FLORES code>`, line by line with
`eng_Latn`. GATITOS (google-research/url-nlp as `gatitos`): words and short phrases in
`gatitos/en_<code>.tsv`, several lines for several translations. SIB-200 has published splits. The
others have none: lines of NTREX and Seed are split by their number, entries of GATITOS by a hash of
the English entry. Training text is the split `train`.

Emoji are names and keywords of pictographs in 122 languages, the annotations of Unicode CLDR.
Layout (`cldr-json/cldr-annotations-full/annotations` of unicode-org/cldr-json as `emoji`):
`<locale>/annotations.json`. Captions that were translated for training are few and hold few words.
These annotations hold hundreds of others, for animals, food, tools, sports and people at work.
"""

import csv
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from pecl.data.captions import ParallelCaptions, read_captions, readable, stripped_lines
from pecl.data.published import multi30k
from pecl.data.reading import OWNERS_CODES, DataRequest, published_set, read_parallel
from pecl.errors import DataError, not_none, one_line, setting
from pecl.files import parse_json, read_regular
from pecl.language.languages import flores_languages

# Set -> English file, file of an owner's code, and the first lines of dev and test, counted from 0
_LINES = {
    # of 1,997
    "ntrex": ("NTREX-128/newstest2019-src.eng.txt", "NTREX-128/newstest2019-ref.{}.txt", 1_297, 1_497),
    "seed": ("seed/eng_Latn", "seed/{}", 5_193, 5_693),  # of 6,193
}
_FIRST_PICTOGRAPH = "\u2600"  # below it: punctuation, arrows and mathematics


def read_flickr30k200(request: DataRequest) -> ParallelCaptions:
    """Read the English captions and their machine translations; `english_to_target` is `target` itself here.

    This text is for training, and the pool `multi30k-1k` for tests, so captions of the pool's
    images are left out if that data set is present. `provenance["excluded"]` has their number.
    `provenance["multi30k_overlap"]` has the number of remaining images in each split of Multi30K,
    if Multi30K is in the data directory.
    """
    captions, names = _read_nllb(request, "filenames.txt")
    left_out = multi30k.pool_images(request.root)
    indices = [i for i, name in enumerate(names) if name not in left_out]
    remaining_names = {names[i] for i in indices}
    files = {split: multi30k.split_file(request.root, split) for split in multi30k.SPLIT_LANGUAGES}
    overlap = {
        split: len(remaining_names.intersection(read_captions(file))) for split, file in files.items() if file.exists()
    }
    excluded = {"ids": len(left_out), "captions": len(names) - len(indices)}
    counts = {"excluded": excluded, "multi30k_overlap": overlap or None}

    return replace(captions.select(indices), provenance=captions.provenance | counts)


def read_xtd200(request: DataRequest) -> ParallelCaptions:
    """Read the captions of one language and the English ones, parallel line by line.

    `provenance["coco_split"]` and `subset` are as in `read_xtd10`.
    """
    return _read_nllb(request, "test_image_names.txt")[0]


def _read_nllb(request: DataRequest, image_names: str) -> tuple[ParallelCaptions, tuple[str, ...]]:
    """Return a set, and the file name of the image of each caption."""
    folder = request.root / request.dataset
    flores = flores_languages()
    files = request.both(lambda code: folder / f"{flores[code]}.txt") | {"image_names": folder / image_names}
    # name of the English file in some versions of the repository
    older_name = folder / "eng_captions.txt"
    if older_name.exists() and not files["english"].exists():
        files |= {name: older_name for name, file in files.items() if file == files["english"]}

    columns = read_parallel(files)
    names = columns.pop("image_names")
    is_english = request.language == "en"
    directions = [direction for direction in request.need if direction == "english_to_target" or is_english]
    columns |= dict.fromkeys(directions, columns["target"])
    provenance = {"translator": "NLLB", "images": "none: captions alone"}

    return published_set(request, columns, files, provenance, names), names


def read_sib200(request: DataRequest) -> ParallelCaptions:
    """Read the sentences of a split that are in both languages, in the order of the English file."""
    folder = request.root / "sib200" / "data" / "annotated"
    flores = flores_languages()
    files = request.both(lambda code: folder / flores[code] / f"{request.split}.tsv")
    english, target = map(_sentences, files.values())
    pairs = [(text, target[index]) for index, text in english.items() if index in target]
    return _by_people(request, pairs, files, {"without_partner": len(english.keys() ^ target.keys())})


def read_lines(request: DataRequest) -> ParallelCaptions:
    """Read the sentences of a split of NTREX or Seed, line by line."""
    english, target, dev, test = _LINES[request.dataset]
    folder = request.root / request.dataset
    code = OWNERS_CODES[request.dataset][request.language]
    files = {"english": folder / english, "target": folder / target.format(code)}
    pairs = list(zip(*read_parallel(files).values(), strict=True))
    split = not_none(request.split, "split")

    part = {"train": slice(dev), "dev": slice(dev, test), "test": slice(test, None)}[split]
    if not pairs[part]:
        first = (part.start or 0) + 1
        raise DataError(
            f"{request.dataset}: split {split} begins at line {first}, and {files['english']} has {len(pairs)}"
        )

    return _by_people(request, pairs[part], files, {})


def read_gatitos(request: DataRequest) -> ParallelCaptions:
    """Read the entries of a split; in `test` each English entry has its first translation only.

    Translators left annotations, such as "pike (verb)" and "pike (verb) which means a fish".
    Brackets at the beginning are removed, and other brackets together with the text after them.
    `provenance["annotations"]` counts these entries, and `provenance["dropped"]` those that become empty.
    """
    path = request.root / "gatitos" / "gatitos" / f"en_{OWNERS_CODES['gatitos'][request.language]}.tsv"
    split = request.split
    counts = {"annotations": 0, "dropped": 0}

    pairs = list[tuple[str, str]]()
    for number, line in enumerate(stripped_lines(path), 1):
        entry, _, translation = line.partition("\t")
        if "\t" in translation:
            raise DataError(f"{path}, line {number}: expected an English entry, a tab and a translation, got {line!r}")
        # one of ten
        if ("train" if zlib.crc32(entry.casefold().encode()) % 10 else "test") != split:
            continue

        pair = _without_annotation(entry), _without_annotation(translation)
        counts["annotations"] += pair != (entry, translation)
        if all(pair):
            pairs.append(pair)
        else:
            counts["dropped"] += 1

    if split != "train":
        pairs = list({english: (english, target) for english, target in reversed(pairs)}.values())[::-1]
    return _by_people(request, pairs, {"target": path}, counts)


def _without_annotation(text: str) -> str:
    inside = re.sub(r"^\s*[(（\[][^)）\]]*[)）\]]", "", text)
    return re.split(r"[(（\[]", inside)[0].strip()


def _sentences(path: Path) -> dict[str, str]:
    """Return the texts of a table of SIB-200 by their `index_id`; a text with quotation marks is quoted as in CSV."""
    try:
        rows = list(csv.reader(read_captions(path), delimiter="\t", strict=True))
    except csv.Error:
        rows = [[""]]  # refused below

    places = [rows[0].index(name) for name in ("index_id", "text") if name in rows[0]]
    if len(places) < 2 or any(len(row) != len(rows[0]) for row in rows):
        raise DataError(f"{path}: expected a table of SIB-200 with the columns index_id, category and text")
    return {row[places[0]]: row[places[1]].strip() for row in rows[1:]}


def _by_people(
    request: DataRequest,
    pairs: Sequence[tuple[str, ...]],
    files: Mapping[str, Path],
    counts: Mapping[str, int],
) -> ParallelCaptions:
    """Return the set of pairs of an English text and its translation by people."""
    if not pairs:
        raise DataError(f"{request.dataset}: split {request.split} has no text in {request.language}")
    english, target = zip(*pairs, strict=True)
    provenance = {"split": request.split, "translator": "people", "images": "none: text only", **counts}
    return published_set(request, {"english": english, "target": target}, files, provenance)


def read_emoji(request: DataRequest) -> ParallelCaptions:
    """Read names and keywords in one language and in English, in the order of the English file.

    A pictograph gives up to two pairs: its names, and its keywords joined by commas. A pair is left
    out if it is missing in the language or equal to English. Arabic dialects have the pairs of Standard Arabic.
    """
    if request.need:
        raise DataError(
            f"emoji has no machine translations ({request.need[0]}): it is text to train on, as in "
            f"{setting(text='emoji')}"
        )

    files = request.both(lambda code: request.root / "emoji" / OWNERS_CODES["emoji"][code] / "annotations.json")
    english, target = map(_annotations, files.values())
    is_en = request.language == "en"
    shared = [key for key in english if key in target]
    pairs = [(english[key], target[key]) for key in shared if is_en or target[key] != english[key]]
    if not pairs:
        raise DataError(f"{files['target']} has no annotation that differs from the English one")

    texts, translations = zip(*pairs, strict=True)
    provenance = {"translator": "people: contributors to Unicode CLDR", "images": "none: names and keywords alone"}
    return published_set(request, {"english": texts, "target": translations}, files, provenance)


def _annotations(path: Path) -> dict[tuple[str, str], str]:
    """Return the names and keywords in a file, by pictograph and kind: `tts` for names, `default` for keywords."""
    with readable(path, "file of annotations"):
        content = read_regular(path)

    try:
        annotations = parse_json(content)["annotations"]["annotations"]
        return {
            (character, kind): ", ".join(row[kind])
            for character, row in annotations.items()
            if character >= _FIRST_PICTOGRAPH
            for kind in ("tts", "default")
            if row.get(kind)
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{path}: expected CLDR's annotations, lists of texts per character ({one_line(error)})"
        ) from error
