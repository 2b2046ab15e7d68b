"""Embed many languages with one tower in one batch: `python examples/bank.py [de.safetensors cs.safetensors]`."""

import sys
from collections.abc import Sequence

import torch

import pecl


def main(paths: Sequence[str], texts: Sequence[str], languages: Sequence[str], tower: str = "mini") -> torch.Tensor:
    """Embed texts in one pass, each with the adapter of its language; return (N, D). No paths: the shipped adapters."""
    text = pecl.load_text_encoder(tower)
    bank = pecl.AdapterBank.from_files(text, paths) if paths else pecl.load_bank(tower, languages, tower=text)
    return bank.encode_text(texts, language=languages)


if __name__ == "__main__":
    found = main(sys.argv[1:], ["ein Hund am Strand", "pes na pláži"], ["de", "cs"])
    print(f"cosine similarity of the two sentences: {float(found[0] @ found[1]):.3f}")
