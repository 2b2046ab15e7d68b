"""Measure every language as people type it: lower case, capitals, no marks, typing errors. A repeated call resumes.

    python tools/languages_spellings.py                          # all languages with a ready adapter
    python tools/languages_spellings.py --language cs,vi         # these
    python tools/languages_spellings.py --adapters FOLDER --out new.json    # adapters of another training

Queries are 200 captions of XTD200, which find their caption among 1,000 English ones, and the 99
sentences of SIB-200's `dev`, which find theirs among 800 English ones; no adapter was trained on
either. The script writes R@1 of each spelling, with marks and capitals restored
(`pecl.language.restoring`) and as typed, into `results/language_spellings.json`, and
`languages_page.py` makes a table from it. A spelling that changes no text has no figure. Takes
about 45 seconds of one idle core per language.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from marked import ROOT
from typed_texts import AS_WRITTEN, SPELLINGS

from pecl.adapters.bank import AdapterBank
from pecl.adapters.ready import ready_adapters
from pecl.data.registry import DATASETS, load_dataset
from pecl.encoders.towers import load_text_encoder
from pecl.errors import not_none
from pecl.files import sha256_file, write_json
from pecl.language.languages import language_code
from pecl.language.restoring import restoration_file

SPELLED = ROOT / "results" / "language_spellings.json"
CAPTIONS = 200
RESTORED, AS_TYPED = "restored", "as typed"  # readings of a text
Test = tuple[
    list[str], torch.Tensor
]  # n queries; N embeddings (N, D) of English texts, of which the first n are theirs


def captions(language: str) -> tuple[list[str], list[str]]:
    """Return queries of XTD200 and the English captions, theirs first."""
    data = load_dataset("xtd200", language)
    return list(data.target[:CAPTIONS]), list(not_none(data.english, "english"))


def sentences(language: str) -> tuple[list[str], list[str]]:
    """Return queries of SIB-200's `dev` and English sentences, theirs first, then those of `train`."""
    dev, train = (load_dataset("sib200", language, split=split) for split in ("dev", "train"))
    return list(dev.target), [*not_none(dev.english, "english"), *not_none(train.english, "english")]


TESTS = {"xtd200": captions, "sib200": sentences}


def recall(queries: torch.Tensor, gallery: torch.Tensor) -> float:
    """Return R@1 of queries (Q, D) whose texts are the first Q of a gallery (N, D)."""
    return float((queries @ gallery.T).argmax(1).eq(torch.arange(len(queries))).float().mean())


def measure(
    banks: Mapping[str, AdapterBank], language: str, galleries: dict[tuple[str, ...], torch.Tensor]
) -> dict[str, dict[str, dict[str, float]]]:
    """Return R@1 by bank, test and spelling."""
    recalls = {reading: dict[str, dict[str, float]]() for reading in banks}
    encoded = dict[tuple[int, ...], torch.Tensor]()  # by token ids
    for test, read in TESTS.items():
        if language not in DATASETS[test].languages:
            continue

        texts, english = read(language)
        key = tuple(english)
        if key not in galleries:
            galleries[key] = banks[RESTORED].encode_text(english)

        for spelling, spell in SPELLINGS.items():
            spelled = [spell(text, language) for text in texts]
            if spelling != AS_WRITTEN and spelled == texts:
                continue

            for reading, bank in banks.items():
                queries = encode(bank, spelled, language, encoded)
                recalls[reading].setdefault(test, {})[spelling] = round(recall(queries, galleries[key]), 4)

    return recalls


def encode(
    bank: AdapterBank, texts: Sequence[str], language: str, encoded: dict[tuple[int, ...], torch.Tensor]
) -> torch.Tensor:
    """Return the embeddings of N texts, (N, D). Those of `encoded`, by token ids, are not made again."""
    token_ids = [tuple(ids) for ids in bank.tokenize(texts, [language] * len(texts))]
    new = [ids for ids in dict.fromkeys(token_ids) if ids not in encoded]
    if new:
        rows = bank.encode_token_ids([list(ids) for ids in new], [language] * len(new))
        encoded.update(zip(new, F.normalize(rows, dim=1), strict=True))
    return torch.stack([encoded[ids] for ids in token_ids])


def main() -> None:
    """Measure the languages one after the other; write each as soon as it is measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--language", default="all", help="codes joined by commas, or all")
    parser.add_argument("--adapters", type=Path, help="folder of CODE.safetensors (default: the ready adapters)")
    parser.add_argument("--out", type=Path, default=SPELLED, help="file of the figures")
    parsed = parser.parse_args()
    files = ready_adapters()
    if parsed.adapters is not None:
        files = {path.stem: path for path in sorted(parsed.adapters.glob("*.safetensors"))}

    chosen = files if parsed.language == "all" else map(language_code, parsed.language.split(","))
    measured = json.loads(parsed.out.read_text("utf-8")) if parsed.out.exists() else {}
    tower = load_text_encoder("mini")

    galleries = dict[tuple[str, ...], torch.Tensor]()
    for language in chosen:
        versions = {"adapter": sha256_file(files[language]), "restoration": _digest(language)}
        if versions.items() <= measured.get(language, {}).items():
            continue

        banks = {
            RESTORED: AdapterBank(tower, plain=None),
            AS_TYPED: AdapterBank(tower, plain=None, restore=False),
        }
        for bank in banks.values():
            bank.add_files([(language, files[language])])
        measured[language] = {**versions, **measure(banks, language, galleries)}
        write_json(parsed.out, {code: measured[code] for code in sorted(measured)})
        print(language, json.dumps(measured[language]), flush=True)


def _digest(language: str) -> str | None:
    """Return the SHA-256 of a language's restoration; None if it has none."""
    path = restoration_file(language)
    return sha256_file(path) if path.exists() else None


if __name__ == "__main__":
    main()
