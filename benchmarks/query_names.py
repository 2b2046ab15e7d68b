"""Measure searches in albums whose folders have names: `python benchmarks/query_names.py --data-dir data`.

Albums are the 900 photographs of the pool `multi30k-1k`, in folders with invented names in four
languages. A folder holds eight photographs. Six of them (two in every second folder) have a caption
with the folder's word, but at most a third of all captions with it. Queries are all captions with a folder's
word, and the names themselves. Writes results/query_names.json. `--choose` prints several values of
`_LITTLE` of `pecl.apps.search.words`, in albums of other photographs and names. Takes a minute.
"""

import argparse
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any, cast

import numpy as np

from pecl.apps.search import words
from pecl.apps.search.build import build_index
from pecl.apps.search.encoder import QueryEncoder
from pecl.apps.search.index import ImageIndex
from pecl.apps.search.options import IndexOptions
from pecl.data.captions import ParallelCaptions
from pecl.data.registry import load_dataset
from pecl.data.splits import split_captions
from pecl.files import write_json
from pecl.files.images import ImageFiles

# Folder names; the word in capitals is one of captions
FOLDERS = {
    "de": "HUND Rex 2018;STRAND Helga;PARK;SCHNEE Bodrum;STRASSE;KINDER 2017;Oma 2019;FAHRRAD Tour;Urlaub am WASSER",
    "cs": "PES na chatě;PLÁŽ Helga;PARK;Bodrum MOŘE;Rex;DĚTI 2017;Babička 2019;KOLO a výlety;ŽENA",
    "fr": "CHIEN Rex 2018;PLAGE 2019;PARC;NEIGE Bodrum;RUE;ENFANTS 2017;Mamie Helga;VÉLO;Vacances EAU",
    "en": "DOG Rex 2018;BEACH Helga;PARK;SNOW Bodrum;STREET;CHILDREN 2017;Grandma 2019;BIKE tour;Holidays WATER",
}
OTHERS = {  # to choose what a name adds
    "de": "MANN Uwe;BALL;HAUS 2016;Sommer WIESE;MÄDCHEN Ida;AUTO;Bella",
    "cs": "MUŽ 2016;MÍČ;DÍVKA Ida;VODA;MĚSTO;Bella;AUTO",
    "fr": "HOMME Marc;BALLON;MAISON 2016;HERBE;FILLE Ida;VOITURE;Bella",
    "en": "MAN Mark;BALL;HOUSE 2016;GRASS summer;GIRL Ida;CAR;Bella",
}
NAMES = "Rex Helga Bodrum Uwe Ida Marc Mark Bella"


def files_of(captions: ParallelCaptions) -> list[Path]:
    """Return the file of each caption's photograph."""
    return [cast(ImageFiles, captions.images).paths[i] for i in captions.image_index or ()]


def fill(folders: list[str], captions: list[str]) -> tuple[list[str], list[int]]:
    """Return the folder of each photograph, empty for most, and the captions with words of the folders."""
    generator = np.random.default_rng(0)
    with_words = [set(re.findall(r"\w+", caption.upper().replace("ß", "SS"))) for caption in captions]
    places = [""] * len(captions)
    wanted = [next((word for word in folder.split() if word.isupper()), "") for folder in folders]
    for i, (folder, word) in enumerate(zip(folders, wanted, strict=True)):
        free = [row for row in generator.permutation(len(captions)).tolist() if not places[row]]
        fitting = [row for row in free if word in with_words[row]]
        inside = fitting[: min(2 if i % 2 else 6, len(fitting) // 3)]
        for row in [*inside, *(row for row in free if word not in with_words[row])][:8]:
            places[row] = " ".join(part.capitalize() if part.isupper() else part for part in folder.split())
    return places, [row for row, found in enumerate(with_words) if found.intersection(wanted)]


def measure(index: ImageIndex, code: str, captions: list[str], folders: list[str], rows: list[int]) -> dict[str, Any]:
    """Return recall of one album with names and without, and the names whose photographs do not come first."""
    embeddings = index.embed([captions[i] for i in rows], code)
    outside = np.array([not folders[i] for i in rows])
    result: dict[str, Any] = {"language": code, "queries": len(rows), "outside": int(outside.sum())}
    for way in ("off", "on"):
        found = []
        for i, embedding in zip(rows, embeddings, strict=True):
            hits = index.nearest(embedding, index.select(captions[i] if way == "on" else ""), True, 5)
            found.append([hit.path.stem == str(i) for hit in hits])
        for part, chosen in (("all", slice(None)), ("outside", outside)):
            right = np.array(found)[chosen]  # (Q, 5)
            result[f"{way}, {part}"] = [round(float(share), 4) for share in (right[:, 0].mean(), right.any(1).mean())]

    asked = sorted({*folders, *(name for name in NAMES.split() if any(name in folder for folder in folders))} - {""})
    hits = {name: index.search([name], code, top=sum(name in folder for folder in folders))[0] for name in asked}
    late = [name for name in asked if not all(name in hit.path.parent.name for hit in hits[name])]
    return result | {"names": len(asked), "not first": late}


def main() -> None:
    """Measure, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir")
    parser.add_argument("--choose", action="store_true")
    parsed = parser.parse_args()
    encoder, rows = QueryEncoder("mini"), []
    for code, names in (OTHERS if parsed.choose else FOLDERS).items():
        pool = load_dataset("multi30k-1k", code, data_dir=parsed.data_dir)
        shown = pool.select(split_captions(pool, 50).test)
        if parsed.choose:
            shown = load_dataset("multi30k", code, data_dir=parsed.data_dir, split="val", allow_missing_images=True)
        train = load_dataset("multi30k", code, data_dir=parsed.data_dir, split="train", allow_missing_images=True)
        files = [*files_of(shown), *sorted(set(files_of(train)).difference(files_of(pool)))][:900]
        captions = list(shown.target) + [""] * (900 - len(shown.target))
        folders, queries = fill(names.split(";"), captions)
        with tempfile.TemporaryDirectory() as album:
            for i, (folder, file) in enumerate(zip(folders, files, strict=True)):
                Path(album, folder).mkdir(exist_ok=True)
                shutil.copy(file, Path(album, folder, f"{i}.jpg"))
            build_index(album, options=IndexOptions(languages=[code]))
            index = ImageIndex.open(album, queries=encoder)
            for little in (0.0, 0.1, 0.2, 0.3, 0.5, 1.0) if parsed.choose else (words._LITTLE,):
                words._LITTLE = little
                rows.append(measure(index, code, captions, folders, queries) | {"little": little})
                print(rows[-1], flush=True)
    if not parsed.choose:
        write_json(Path(__file__).parents[1] / "results" / "query_names.json", {"photographs": 900, "rows": rows})


if __name__ == "__main__":
    main()
