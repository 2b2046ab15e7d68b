"""Measure the loss from guessing among a person's languages: `python benchmarks/person_languages.py --data-dir data`.

Queries are the first 1, 2 and 3 words, without stop words, of 400 captions in ten languages. They
search photographs in the four languages of Multi30K (the 900 of the pool `multi30k-1k`), and
English captions of XTD10 in the six others. Each is embedded with its language named, and guessed
among two and among four languages of a person. Writes results/person_languages.json, from which
`tools/search_tables.py` makes a table. Takes about two minutes of CPU.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from search_queries import LANGUAGES, test

from pecl.apps.search.encoder import QueryEncoder
from pecl.apps.search.query import known_shares
from pecl.data.registry import load_dataset
from pecl.encoders.towers import load_towers
from pecl.files import write_json
from pecl.language.language_guess import guess_languages, stop_words

OUT = Path(__file__).resolve().parents[1] / "results" / "person_languages.json"
COUNT, LENGTHS, K = 400, (1, 2, 3), 10
FOUR = {  # the language of the query first, then others of a person
    "en": ("en", "de", "fr", "es"),
    "cs": ("cs", "en", "de", "pl"),
    "de": ("de", "en", "fr", "it"),
    "fr": ("fr", "en", "de", "es"),
    "es": ("es", "en", "fr", "it"),
    "it": ("it", "en", "fr", "de"),
    "pl": ("pl", "en", "cs", "de"),
    "ru": ("ru", "en", "de", "tr"),
    "tr": ("tr", "en", "de", "ru"),
    "ko": ("ko", "en", "de", "fr"),
}


def first_words(caption: str, language: str, count: int) -> str:
    """Return the first `count` words of a caption that are no stop words; a caption without any stays whole."""
    words = re.findall(r"[^\W\d_]+(?:-[^\W\d_]+)*", caption.lower())
    return " ".join([word for word in words if word not in stop_words([language])][:count]) or caption


def recalled(queries: np.ndarray, gallery: np.ndarray, items: np.ndarray) -> np.ndarray:
    """Return whether each query (Q, D) finds its item among the first `K` of the gallery (G, D): (Q,) bool."""
    scores = queries @ gallery.T
    return (scores > scores[np.arange(len(items)), items][:, None]).sum(axis=1) < K


def detected(
    encoder: QueryEncoder,
    texts: Sequence[str],
    among: Sequence[str],
) -> tuple[np.ndarray, list[str | None]]:
    """Return embeddings (Q, D) as a search makes them, and the languages that were guessed."""
    guesses = guess_languages(texts, encoder.known.preferred, among)
    shares = [dict(known_shares(guess, encoder.known)) for guess in guesses]
    return encoder.bank.encode_text(texts, shares).numpy(), [guess.language for guess in guesses]


def main() -> None:
    """Measure, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir")
    parser.add_argument("--out", type=Path, default=OUT)
    parsed = parser.parse_args()
    encoder = QueryEncoder("mini")
    generator = np.random.default_rng(0)
    rows = []
    encoder.load_adapters([code for code in FOUR if code in encoder.known.paths])
    photographs = test(load_towers("mini"), parsed.data_dir)
    english = load_dataset("xtd10", "es", data_dir=parsed.data_dir, allow_missing_images=True).english

    captions = encoder.bank.encode_text(english, "en").numpy()
    for code, four in FOUR.items():
        if code in LANGUAGES:
            texts = photographs.captions[code]
            items = photographs.items
            gallery = photographs.images
        else:
            dataset = load_dataset("xtd10", code, data_dir=parsed.data_dir, allow_missing_images=True)
            texts = list(dataset.target)
            items = np.arange(len(dataset.target))
            gallery = captions

        chosen = np.sort(generator.permutation(len(texts))[:COUNT])
        for count in LENGTHS:
            queries = [first_words(texts[i], code, count) for i in chosen]
            named = recalled(encoder.bank.encode_text(queries, code).numpy(), gallery, items[chosen])
            row = {"language": code, "words": count, "named": float(named.mean())}
            for name, among in (("two", (code, four[1])), ("four", four)):
                embedded, guessed = detected(encoder, queries, among)
                row[name] = float(recalled(embedded, gallery, items[chosen]).mean())
                row[f"right of {name}"] = float(np.mean([guess == code for guess in guessed]))
            rows.append(row)
            print(row, flush=True)

    write_json(parsed.out, {"queries": COUNT, "k": K, "rows": rows})


if __name__ == "__main__":
    main()
