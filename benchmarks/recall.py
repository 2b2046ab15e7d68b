"""Recall with another precision or backend, compared with fp32 in PyTorch: XTD200 and SIB-200 dev in twenty languages.

    python benchmarks/recall.py --backend openvino
    python benchmarks/recall.py --precision bf16 --texts 20 --languages cs,de

Texts are embedded with the ready adapter of their language, English ones by the plain tower. The
first texts of a set search for their partners among all English texts of the set. The differences
of R@1 and the least cosine are those of the second way with the first.
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
from pecl.backends.loading import load_text_encoder
from pecl.data.registry import load_dataset
from pecl.files import write_json
from pecl.machine import FP32, PRECISIONS

SETS = {"xtd200": None, "sib200": "dev"}  # and their splits
LANGUAGES = "cs,de,fr,pl,ru,tr,vi,hu,sw,hi,bn,ta,th,fi,el,uk,id,ar,ko,ca"


class Compared(NamedTuple):
    """Both ways on one set in one language."""

    dataset: str
    language: str
    texts: int
    before: float  # R@1 in fp32 with PyTorch
    after: float  # R@1 with the other way
    cosine: float  # least cosine of a text's two embeddings


def make_bank(backend: str, precision: str, languages: list[str]) -> AdapterBank:
    """Return the mini tower with the ready adapters."""
    bank = AdapterBank(load_text_encoder("mini", precision=precision, backend=backend), plain=None)
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


def main() -> None:
    """Compare all languages, and print a line for each and the means."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backend", choices=BACKENDS, default=TORCH, help="backend of the second way")
    parser.add_argument("--precision", choices=PRECISIONS, default=FP32, help="precision of the second way")
    parser.add_argument(
        "--texts", type=int, default=100, help="texts that search, of a set in a language (default: 100)"
    )
    parser.add_argument("--languages", default=LANGUAGES, help=f"codes (default: {LANGUAGES})")
    parser.add_argument("--json", type=Path, help="file for the result")
    parsed = parser.parse_args()
    torch.set_num_threads(1)

    languages = parsed.languages.split(",")
    banks = make_bank(TORCH, FP32, languages), make_bank(parsed.backend, parsed.precision, languages)

    rows: list[Compared] = []
    for dataset in SETS:
        for language in languages:
            rows.append(compare(banks, dataset, language, parsed.texts))
            print(dataset, language, *(f"{value:.6f}" for value in rows[-1][3:]), flush=True)

    for dataset in SETS:
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
