"""Recall with another precision or backend, compared with fp32 in PyTorch: photographs, XTD200 and SIB-200 dev.

    python benchmarks/recall.py                            what `pecl.load_bank` and `pecl.load_image_encoder` take here
    python benchmarks/recall.py --backend torch --precision bf16 --texts 20 --languages cs,de

Texts are embedded with the ready adapter of their language, English ones without an adapter. The
first texts of XTD200 and of SIB-200 retrieve their partners among all English texts of the set, in
twenty languages. The captions and the 900 test photographs of the pool `multi30k-1k` retrieve each
other, in four languages. The differences of R@1 and the least cosine are those of the second way
with the first.
"""

from __future__ import annotations

import argparse
from functools import lru_cache
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

import torch
import torch.nn.functional as F

from pecl.adapters.bank import AdapterBank
from pecl.adapters.ready import ready_adapters
from pecl.backends import BACKENDS, TORCH
from pecl.backends.loading import load_image_encoder, load_text_encoder
from pecl.data.registry import load_dataset
from pecl.data.splits import split_captions
from pecl.encoders.image import ImageEncoder
from pecl.errors import not_none
from pecl.files import write_json
from pecl.machine import AUTO, FP32, PRECISIONS

SETS = {"xtd200": None, "sib200": "dev"}  # and their splits
PHOTOGRAPHED = ("cs", "de", "fr")
LANGUAGES = "cs,de,fr,pl,ru,tr,vi,hu,sw,hi,bn,ta,th,fi,el,uk,id,ar,ko,ca"


class Compared(NamedTuple):
    """Both ways on one set in one language; on photographs, R@1 is the mean of both directions."""

    dataset: str
    language: str
    texts: int
    before: float  # R@1 in fp32 with PyTorch
    after: float  # R@1 with the other way
    cosine: float  # least cosine of a text's two embeddings


def make_bank(languages: list[str], **options: str) -> AdapterBank:
    """Return the mini tower, loaded with `options`, with the ready adapters."""
    bank = AdapterBank(load_text_encoder("mini", **options), plain=None)
    files = ready_adapters("mini")
    bank.add_files((code, files[code]) for code in languages)
    return bank


def recall(queries: torch.Tensor, gallery: torch.Tensor) -> float:
    """Return the share of the queries (N, D) whose nearest item of the gallery (M, D) has their own number."""
    return float(((queries @ gallery.T).argmax(1) == torch.arange(len(queries))).float().mean())


def compare(
    banks: tuple[AdapterBank, AdapterBank],
    dataset: str,
    language: str,
    texts: int,
) -> Compared:
    """Embed the first texts of a set in both ways."""
    captions = load_dataset(dataset, language, split=SETS[dataset], text_only=True)
    target = captions.target[:texts]
    rows = [bank.encode_text(target, language) for bank in banks]  # (N, D) each
    galleries = [embed_gallery(bank, tuple(captions.english)) for bank in banks]  # (M, D) each
    before, after = map(recall, rows, galleries)
    return Compared(dataset, language, len(target), before, after, float(F.cosine_similarity(*rows).min()))


@lru_cache(maxsize=4)
def embed_gallery(bank: AdapterBank, english: tuple[str, ...]) -> torch.Tensor:
    """Return the embeddings (M, D) of the English texts of a set, which are those of all languages."""
    return bank.encode_text(english)


def compare_photographs(
    banks: tuple[AdapterBank, AdapterBank],
    images: tuple[ImageEncoder, ImageEncoder],
    language: str,
) -> Compared:
    """Embed captions and photographs in both ways."""
    captions = load_dataset("multi30k-1k", language)
    test = split_captions(captions, 50).test
    target = [captions.target[i] for i in test]
    rows = [bank.encode_text(target, language) for bank in banks]  # (900, D) each
    galleries = [embed_photographs(image)[list(test)] for image in images]  # (900, D) each
    before, after = (
        fmean([recall(row, gallery), recall(gallery, row)]) for row, gallery in zip(rows, galleries, strict=True)
    )
    return Compared("photographs", language, len(test), before, after, float(F.cosine_similarity(*rows).min()))


@lru_cache(maxsize=2)
def embed_photographs(image: ImageEncoder) -> torch.Tensor:
    """Return the embeddings (1000, D) of the photographs of the pool."""
    photographs = not_none(load_dataset("multi30k-1k", "cs").images, "images")
    return image.encode_ahead((photographs.load(i) for i in range(len(photographs))), normalize=True)


def main() -> None:
    """Compare all languages, and print a line for each and the means."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backend", choices=BACKENDS, default=AUTO, help="backend of the second way (default: auto)")
    parser.add_argument(
        "--precision", choices=PRECISIONS, default=AUTO, help="precision of the second way (default: auto)"
    )
    parser.add_argument(
        "--texts", type=int, default=100, help="texts that search, of a set in a language (default: 100)"
    )
    parser.add_argument("--languages", default=LANGUAGES, help=f"codes (default: {LANGUAGES})")
    parser.add_argument("--json", type=Path, help="file for the result")
    parsed = parser.parse_args()
    torch.set_num_threads(1)

    languages = parsed.languages.split(",")
    ways = {"backend": TORCH, "precision": FP32}, {"backend": parsed.backend, "precision": parsed.precision}
    first, second = (make_bank(list({*languages, *PHOTOGRAPHED}), **way) for way in ways)
    banks = first, second

    rows: list[Compared] = []
    first_image, second_image = (load_image_encoder("mini", **way) for way in ways)
    cosines = F.cosine_similarity(embed_photographs(first_image), embed_photographs(second_image))
    print(f"photographs: mean cosine {cosines.mean():.6f}, least {cosines.min():.6f}", flush=True)
    for language in (*PHOTOGRAPHED, "en"):
        rows.append(compare_photographs(banks, (first_image, second_image), language))
        print(*rows[-1][:2], *(f"{value:.6f}" for value in rows[-1][3:]), flush=True)

    for dataset in SETS:
        for language in languages:
            rows.append(compare(banks, dataset, language, parsed.texts))
            print(dataset, language, *(f"{value:.6f}" for value in rows[-1][3:]), flush=True)

    for dataset in (*SETS, "photographs"):
        rows_of_set = [row for row in rows if row.dataset == dataset]
        difference = fmean(row.after - row.before for row in rows_of_set)
        mean = fmean(row.before for row in rows_of_set)
        cosine = min(row.cosine for row in rows_of_set)
        print(f"{dataset}: mean R@1 {mean:.4f}, mean difference {difference:+.4f}, least cosine {cosine:.7f}")

    if parsed.json:
        about = {"backend": parsed.backend, "precision": parsed.precision, "rows": [row._asdict() for row in rows]}
        write_json(parsed.json, about)


if __name__ == "__main__":
    main()
