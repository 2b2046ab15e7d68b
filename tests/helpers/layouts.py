"""Tiny copies of the data sets' layouts, in invented sentences, and the way to the real ones."""

import csv
import gzip
import json
import os
from pathlib import Path

import pytest
from PIL import Image

from pecl.data.registry import load_dataset
from pecl.language.languages import flores_languages

WORDS = {
    "en": ("red", "dog", "runs over", "green", "hill"),
    "de": ("roter", "Hund", "läuft über den", "grünen", "Hügel"),
    "fr": ("rouge", "chien", "court sur la", "verte", "colline"),
    "cs": ("červený", "pes", "běží přes", "zelený", "kopec"),
    "it": ("rosso", "cane", "corre sulla", "verde", "collina"),
    "ko": ("빨간", "개가", "달린다", "푸른", "언덕"),
}


def sentence(language, i, mark=""):
    """An invented caption: its words tell the language, its number tells the line."""
    words = WORDS.get(language, tuple(f"{language}-{k}" for k in range(5)))
    return " ".join((*words, str(i), mark)).strip()


def write_lines(path, lines, end="\n", final=True, bom=False):
    """Write lines with the given line ending, gzipped if the name says so."""
    content = end.join(lines) + (end if final else "")
    data = b"\xef\xbb\xbf" * bom + content.encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def write_table(path, rows):
    """Write rows as a table of the kind that the name says, gzipped if it says so."""
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = path.name.removesuffix(".gz").rpartition(".")[2]
    if kind == "parquet":
        pytest.importorskip("pandas").DataFrame(rows, index=[*range(len(rows))]).to_parquet(path)  # a column `index`
        return path
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "wt", newline="", encoding="utf-8") as file:
        if kind == "jsonl":
            file.writelines(json.dumps(row) + "\n" for row in rows)
        else:
            writer = csv.DictWriter(file, list(rows[0]), delimiter="\t" if kind == "tsv" else ",")
            writer.writeheader()
            writer.writerows(rows)
    return path


def write_image(path, colour=(200, 30, 40), size=(8, 6)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)
    return path


def make_multi30k(root, split="train", n=6, languages=("en", "de", "fr", "cs"), suffix="", names=None, images=()):
    """Task 1 of `n` lines with both machine translations; `images` are the positions that have a file."""
    names = names or [f"{100 + i}.jpg" for i in range(n)]
    task1 = root / "multi30k" / "data" / "task1"
    write_lines(task1 / "image_splits" / f"{split}.txt", names)
    translations = root / "pectvlm" / "datasets" / "Multi30K"
    for code in languages:
        write_lines(task1 / "raw" / f"{split}.{code}{suffix}", [sentence(code, i) for i in range(n)])
        for folder, text_language in (("translated_from_en", code), ("translated_to_en", "en")):
            mark = "" if code == "en" else f"MT-{folder}-{code}"
            lines = [sentence(text_language, i, mark) for i in range(n)]
            write_lines(translations / folder / f"{split}.{code}", lines, end="\r\n")
    for i in images:
        write_image(root / "multi30k" / "images" / names[i].partition("#")[0], colour=(i, 2 * i, 3 * i))
    return root


def make_task2(root, images=()):
    """Task 2 of three lines with five captions of each language; `images` are the positions that have a file."""
    task2 = root / "multi30k" / "data" / "task2"
    names = [f"{100 + i}.jpg" for i in range(3)]
    write_lines(task2 / "image_splits" / "test_2016_images.txt", names)
    for code in ("en", "de"):
        for k in range(1, 6):
            lines = [f"{code} caption {k} of image {i}" for i in range(3)]
            write_lines(task2 / "raw" / f"test_2016.{k}.{code}.gz", lines)
    for i in images:
        write_image(root / "multi30k" / "images" / names[i])
    return root


XTD10_FOLDERS = {"de": "MIC", "fr": "MIC", "jp": "STAIR"}
XTD10_LANGUAGES = ("en", "de", "es", "fr", "it", "jp", "ko", "pl", "ru", "tr", "zh")


def make_xtd10(root, n=5, images=()):
    """XTD10 with the owner's mixture of line endings, one image in five of val2014, Korean copied from Italian."""
    names = [f"COCO_{'val' if i % 5 == 4 else 'train'}2014_{i:012}.jpg" for i in range(n)]
    write_lines(root / "xtd10" / "XTD10" / "test_image_names.txt", names)
    translations = root / "pectvlm" / "datasets" / "Cross-lingual-Test-Dataset-XTD10"
    for code in XTD10_LANGUAGES:
        owner = XTD10_FOLDERS.get(code)
        path = root / "xtd10" / (owner or "XTD10") / f"test_1kcaptions_{code}.txt"
        write_lines(path, [sentence(code, i) for i in range(n)], **({} if owner else {"end": "\r\n", "final": False}))
        source = "it" if code == "ko" else code
        write_lines(translations / "translated_from_en" / f"{code}.txt", [sentence(source, i, "MT") for i in range(n)])
        to_english = [sentence("en", i, f"MT-{code}") for i in range(n)]
        write_lines(translations / "translated_to_en" / f"{code}.txt", to_english, final=False)
    for i in images:
        write_image(root / "xtd10" / "images" / names[i])
    return root


REAL_DATA = os.environ.get("PECL_DATA_DIR")  # as the tests were started: some of them set it to made data


def real_data_dir():
    """The real data sets' root, or a skip with its reason."""
    if not REAL_DATA or not (Path(REAL_DATA) / "xtd10").is_dir():
        pytest.skip("PECL_DATA_DIR does not name a folder with the real data sets")
    return Path(REAL_DATA)


def loader(name):
    """Return `load_dataset` of one data set, with what tests give it most in front."""

    def load(data_dir, language, split=None, need=(), **options):
        return load_dataset(name, language, data_dir=data_dir, split=split, need=need, **options)

    return load


def make_xm3600(root, n=4, languages=("cs", "de", "en", "ja", "quz")):
    """A line a photograph with two captions in each language, three in Czech, and the photographs."""
    lines = []
    for i in range(n):
        texts = {code: [sentence(code, i, f"caption-{k}") for k in range(2 + (code == "cs"))] for code in languages}
        captions = {code: {"caption": own, "caption/tokenized": own} for code, own in texts.items()}
        lines.append(json.dumps({**captions, "image/key": f"{i:016x}", "image/locale": "quz"}, ensure_ascii=False))
        write_image(root / "xm3600" / "images" / f"{i:016x}.jpg", colour=(i, 2 * i, 3 * i))
    write_lines(root / "xm3600" / "captions.jsonl", lines)
    return root


def make_xflickrco(root, n=4, languages=("de", "en", "ja", "id")):
    """A line a photograph, of Flickr30k and of COCO by turns, and the photographs."""
    names = [f"{1000 + i}.jpg" if i % 2 else f"COCO_val2014_{i:012}.jpg" for i in range(n)]
    for code in languages:
        rows = [{"sentences": [sentence(code, i)], "id": i, "img_path": name} for i, name in enumerate(names)]
        lines = [json.dumps(row, ensure_ascii=False) for row in rows]
        write_lines(root / "xflickrco" / "annotations" / code / "test.jsonl", lines)
    for i, name in enumerate(names):
        write_image(root / "xflickrco" / "images" / name, colour=(i, 2 * i, 3 * i))
    return root


def make_flickr30k200(root, n=4):
    """Flickr30k-200 of `n` lines, in English, Korean and Swahili."""
    for code in ("en", "ko", "sw"):
        write_lines(root / "flickr30k200" / f"{flores_languages()[code]}.txt", [sentence(code, i) for i in range(n)])
    write_lines(root / "flickr30k200" / "filenames.txt", [f"{100 + i}.jpg" for i in range(n)])
    return root


def make_emoji(root):
    """CLDR's annotations of a few characters in English and Swahili."""
    english = {
        "{": ("bracket", "code"),
        "🐕": ("dog", "animal, pet"),
        "🚲": ("bicycle", None),
        "🦊": ("fox", "animal, face"),
    }
    swahili = {"🚲": ("baiskeli", "gari"), "{": ("mabano", None), "🐕": ("mbwa", "mnyama"), "🐪": ("ngamia", None)}
    rows = {"en": english, "sw": swahili | {"🦊": ("fox", "mnyama, uso")}}
    for locale, annotations in rows.items():
        lists = {
            one: {"tts": [name]} | ({"default": keywords.split(", ")} if keywords else {})
            for one, (name, keywords) in annotations.items()
        }
        document = {"annotations": {"identity": {"language": locale}, "annotations": lists}}
        write_lines(root / "emoji" / locale / "annotations.json", [json.dumps(document)])
    return root


def make_xtd200(root, n=4):
    """XTD200 of `n` lines, in English and Swahili."""
    for code in ("en", "sw"):
        lines = [sentence(code, i, "XTD") for i in range(n)]
        write_lines(root / "xtd200" / f"{flores_languages()[code]}.txt", lines)
    names = [f"COCO_{'val' if i else 'train'}2014_{i:012}.jpg" for i in range(n)]
    write_lines(root / "xtd200" / "test_image_names.txt", names)
    return root
