"""Text that people translated: SIB-200, NTREX-128, GATITOS and OLDI Seed, each in its owner's layout.

SIB-200 (dadelani/sib-200 as `sib200`): `data/annotated/<FLORES code>/<split>.tsv`, sentences of Wikinews, Wikibooks and
Wikivoyage, joined by `index_id`. NTREX-128 (MicrosoftTranslator/NTREX as `ntrex`): sentences of news in
`NTREX-128/newstest2019-ref.<code>.txt`, line by line with `newstest2019-src.eng.txt`. Seed (openlanguagedata/seed as
`seed`): sentences of Wikipedia in `seed/<FLORES code>`, line by line with `eng_Latn`. GATITOS (google-research/url-nlp
as `gatitos`): words and short phrases in `gatitos/en_<code>.tsv`, several lines for several translations.

SIB-200 has published splits. The others have none: lines of NTREX and Seed are split by their place, entries of GATITOS
by a hash of the English one. Training text is the split `train`.
"""

import re
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from pecl.data.captions import ParallelCaptions, read_captions
from pecl.data.languages import flores_languages
from pecl.data.lines import stripped_lines
from pecl.data.reading import OWNERS_CODES, published_set, read_parallel
from pecl.data.request import DataRequest
from pecl.errors import DataError

SPLITS = ("test", "dev", "train")


# Set -> English file, file of an owner's code, and the first lines of dev and test, counted from 0
_LINES = {
    "ntrex": ("NTREX-128/newstest2019-src.eng.txt", "NTREX-128/newstest2019-ref.{}.txt", 1_297, 1_497),  # of 1,997
    "seed": ("seed/eng_Latn", "seed/{}", 5_193, 5_693),  # of 6,193
}


def read_sib200(request: DataRequest) -> ParallelCaptions:
    """Read the sentences of a split that are in both languages, in the order of the English file."""
    folder, split = request.root / "sib200" / "data" / "annotated", request.split or SPLITS[0]
    files = {
        name: folder / flores_languages()[code] / f"{split}.tsv"
        for name, code in (("english", "en"), ("target", request.language))
    }
    english, target = map(_sentences, files.values())
    shared = [index for index in english if index in target]
    columns = {name: [texts[index] for index in shared] for name, texts in (("english", english), ("target", target))}
    return _captions(request, columns, files, {"without_partner": len(english.keys() ^ target.keys())})


def read_lines(request: DataRequest) -> ParallelCaptions:
    """Read the sentences of a split of NTREX or Seed, line by line."""
    english, target, dev, test = _LINES[request.dataset]
    folder, code = request.root / request.dataset, OWNERS_CODES[request.dataset][request.language]
    files = {"english": folder / english, "target": folder / target.format(code)}
    columns, split = read_parallel(files), request.split or SPLITS[0]
    part = {"train": slice(dev), "dev": slice(dev, test), "test": slice(test, None)}[split]
    if not columns["english"][part]:
        count, first = len(columns["english"]), (part.start or 0) + 1
        raise DataError(f"{request.dataset}: split {split} begins at line {first}, and {files['english']} has {count}")
    return _captions(request, {name: column[part] for name, column in columns.items()}, files, {})


def read_gatitos(request: DataRequest) -> ParallelCaptions:
    """Read the entries of a split; in `test` each English entry has its first translation only.

    Translators left annotations, such as "pike (verb)" and "pike (verb) which means a fish". Brackets at the beginning
    are left out, and others with what is behind them. `provenance["annotations"]` counts these entries, and
    `provenance["dropped"]` those of which nothing is left.
    """
    path = request.root / "gatitos" / "gatitos" / f"en_{OWNERS_CODES['gatitos'][request.language]}.tsv"
    split, counts = request.split or SPLITS[0], {"annotations": 0, "dropped": 0}
    pairs = list[tuple[str, str]]()
    for number, line in enumerate(stripped_lines(path), 1):
        entry, _, translation = line.partition("\t")
        if "\t" in translation:
            raise DataError(f"{path}, line {number}: expected an English entry, a tab and a translation, got {line!r}")
        if ("train" if zlib.crc32(entry.casefold().encode()) % 10 else "test") != split:  # one of ten
            continue
        pair = _without_annotation(entry), _without_annotation(translation)
        counts["annotations"] += pair != (entry, translation)
        if all(pair):
            pairs.append(pair)
        else:
            counts["dropped"] += 1
    if split != "train":
        pairs = list({english: (english, target) for english, target in reversed(pairs)}.values())[::-1]
    english, target = zip(*pairs, strict=True) if pairs else ((), ())
    return _captions(request, {"english": english, "target": target}, {"target": path}, counts)


def _without_annotation(text: str) -> str:
    inside = re.sub(r"^\s*[(（\[][^)）\]]*[)）\]]", "", text)
    return re.split(r"[(（\[]", inside)[0].strip()


def _sentences(path: Path) -> dict[str, str]:
    """Return the texts of a table of SIB-200 by their `index_id`."""
    rows = [line.split("\t") for line in read_captions(path)]
    places = [rows[0].index(name) for name in ("index_id", "text") if name in rows[0]]
    if len(places) < 2 or any(len(row) != len(rows[0]) for row in rows):
        raise DataError(f"{path}: expected a table of SIB-200 with the columns index_id, category and text")
    return {row[places[0]]: row[places[1]].strip() for row in rows[1:]}


def _captions(
    request: DataRequest, columns: Mapping[str, Sequence[str]], files: Mapping[str, Path], counts: Mapping[str, int]
) -> ParallelCaptions:
    if not columns["target"]:
        raise DataError(f"{request.dataset}: split {request.split} has no text in {request.language}")
    about = {"split": request.split, "translator": "people", "images": "none: text only", **counts}
    return published_set(request, columns, files, about)
