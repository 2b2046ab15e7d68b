"""Measure detection for people who also write English: `python benchmarks/english_queries.py --data-dir data`.

Each person speaks three languages, none of them English. Queries are captions of XTD200: 100 in the
person's first language, and 100 others in English. They search 1,000 English captions, once with
the language named and once detected. Writes results/english_queries.json. Takes about three minutes
of CPU.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch

from pecl.apps.search.encoder import QueryEncoder
from pecl.apps.search.query import known_shares
from pecl.data.registry import load_dataset
from pecl.errors import not_none
from pecl.files import write_json
from pecl.language.language_guess import LanguageGuess, guess_languages
from pecl.language.languages import ENGLISH

OUT = Path(__file__).resolve().parents[1] / "results" / "english_queries.json"
COUNT = 100
PEOPLE = {  # the language of the queries first
    "cs": ("cs", "sk", "de"),
    "de": ("de", "sk", "cs"),
    "es": ("es", "ca", "pt"),
    "fr": ("fr", "de", "it"),
    "it": ("it", "fr", "es"),
    "nl": ("nl", "de", "fr"),
    "pl": ("pl", "cs", "de"),
    "sv": ("sv", "da", "nb"),
    "tr": ("tr", "de", "az"),
    "sw": ("sw", "ln", "fr"),
}


def embedded(
    encoder: QueryEncoder,
    texts: Sequence[str],
    guesses: Sequence[LanguageGuess],
    named: torch.Tensor,
    code: str,
) -> torch.Tensor:
    """Return embeddings (N, D) of texts as a search makes them; `named` (N, D) has those in the language `code`."""
    embeddings = named.clone()
    shares = [known_shares(guess, encoder.known) for guess in guesses]
    right = ((encoder.known.find(code), 1.0),), ((code, 1.0),)
    others = [i for i, share in enumerate(shares) if share not in right]
    if others:
        encoder.load_adapters([name for i in others for name, _ in shares[i] if name in encoder.known.paths])
        embeddings[others] = encoder.bank.encode_text([texts[i] for i in others], [dict(shares[i]) for i in others])

    return embeddings


def recall(queries: torch.Tensor, gallery: torch.Tensor, items: torch.Tensor) -> float:
    """Return R@1 of queries (Q, D), whose items (Q,) are indices in a gallery (N, D)."""
    return round(float((queries @ gallery.T).argmax(1).eq(items).float().mean()), 4)


def main() -> None:
    """Measure, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir")
    parser.add_argument("--out", type=Path, default=OUT)
    parsed = parser.parse_args()
    encoder = QueryEncoder("mini")
    encoder.load_adapters([code for code in PEOPLE if code in encoder.known.paths])
    english = list(not_none(load_dataset("xtd200", "de", data_dir=parsed.data_dir).english, "english"))
    gallery = encoder.bank.encode_text(english, ENGLISH)

    rows = []
    for code, spoken in PEOPLE.items():
        queries = list(load_dataset("xtd200", code, data_dir=parsed.data_dir).target[:COUNT])
        row = {"language": code, "spoken": list(spoken)}
        for kind, texts, language, start in (
            ("own", queries, code, 0),
            ("English", english[COUNT : 2 * COUNT], ENGLISH, COUNT),
        ):
            items = torch.arange(start, start + COUNT)
            named = gallery[items] if language == ENGLISH else encoder.bank.encode_text(texts, language)
            guesses = guess_languages(texts, encoder.known.preferred, spoken)
            row[f"{kind}, detected right"] = sum(guess.language == language for guess in guesses)
            row[f"{kind}, named"] = recall(named, gallery, items)
            row[f"{kind}, detected"] = recall(embedded(encoder, texts, guesses, named, language), gallery, items)

        rows.append(row)
        print(row, flush=True)

    write_json(parsed.out, {"queries": COUNT, "rows": rows})


if __name__ == "__main__":
    main()
