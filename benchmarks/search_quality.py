"""Measure hubs, doubtful languages and short queries: `python benchmarks/search_quality.py --data-dir data`.

Settings are compared on the validation photographs of Multi30K, figures are of the 900 test photographs of the pool
`multi30k-1k`. Writes results/search_quality.json, of which `scripts/search_tables.py` makes the tables of
docs/search.md. Takes about ten minutes of CPU.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from search_queries import LANGUAGES, LENGTHS, Gallery, foreign_word_queries, short_queries, test, validation

from pecl.data.custom.photographs import NO_STAMP
from pecl.data.language_guess import guess_languages
from pecl.encoders.towers import load_towers
from pecl.errors import not_none
from pecl.files import write_json
from pecl.retrieval.hubs import References, find_references
from pecl.retrieval.measures import RECALL_AT, bootstrap_interval
from pecl.search.catalogue import Entry
from pecl.search.queries import PLAIN, QueryEncoder, known_shares
from pecl.search.store import ExactStore

OUT = Path(__file__).resolve().parents[1] / "results" / "search_quality.json"
SHARPNESS, WEIGHTS, COUNTS = (10, 15, 20, 25, 30, 40), (0.4, 0.5, 0.6, 0.7, 0.8, 0.9), (3000, 6000, 12_000, 24_000)
NEIGHBOURS, BETAS = (8, 16, 32, 64, 128), (5, 10, 20, 40)
GALLERY_OF_SPEED, WIDTH = 100_000, 256
Row = dict[str, Any]


class Embedder:
    """Embeds queries in several ways; each text goes through each adapter only once."""

    def __init__(self, queries: QueryEncoder) -> None:
        self.queries = queries
        self._known: dict[tuple[str, str | None], np.ndarray] = {}

    def named(self, texts: Sequence[str], language: str) -> np.ndarray:
        """Return the embeddings (Q, D) of texts whose language is named; `none` is the plain tower."""
        return self._of([(text, None if language == PLAIN else language) for text in texts])

    def detected(self, texts: Sequence[str], among: Sequence[str] | None) -> np.ndarray:
        """Return the embeddings (Q, D) of texts whose languages are detected, as a search embeds them."""
        guesses = guess_languages(texts, self.queries.banks.preferred, among)
        shares = [known_shares(guess, self.queries.banks) for guess in guesses]
        self._of([(text, code) for text, own in zip(texts, shares, strict=True) for code, _ in own])
        mixed = [
            sum(share * self._of([(text, code)])[0] for code, share in own)
            for text, own in zip(texts, shares, strict=True)
        ]
        return unit(np.stack(mixed))

    def _of(self, wanted: list[tuple[str, str | None]]) -> np.ndarray:
        found = [(text, self.queries.banks.find(code)) for text, code in wanted]
        if missing := [one for one in dict.fromkeys(found) if one not in self._known]:
            missing.sort(key=lambda one: len(one[0]))
            embedded = self.queries.banks.encode_text([text for text, _ in missing], [code for _, code in missing])
            self._known |= dict(zip(missing, embedded.numpy(), strict=True))
        return np.stack([self._known[one] for one in found])


def unit(rows: np.ndarray) -> np.ndarray:
    """Return rows scaled to length 1."""
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def ranks(scores: np.ndarray, items: np.ndarray) -> np.ndarray:
    """Return the rank (Q,) of each query's item among scores (Q, G)."""
    return (scores >= scores[np.arange(len(scores)), items][:, None]).sum(axis=1)


def recalls(found: np.ndarray) -> Row:
    """Return recall@1, 5 and 10 of ranks (Q,)."""
    return {f"recall@{k}": round(float((found <= k).mean()), 4) for k in RECALL_AT}


def compared(plain: np.ndarray, other: np.ndarray) -> Row:
    """Return recalls of ranks, and the interval of their difference to plain ranks at 1 and 10, paired by query."""
    row = recalls(other)
    for k in (1, 10):
        low, high = bootstrap_interval((other <= k).astype(float) - (plain <= k))
        row |= {f"low@{k}": round(low, 4), f"high@{k}": round(high, 4)}
    return row


def inverted_softmax(scores: np.ndarray, bank: np.ndarray, beta: float) -> np.ndarray:
    """Return scores (Q, G) divided by the sum over the bank's (R, G), in logarithms."""
    return scores - np.log(np.exp(beta * (bank - 1)).sum(axis=0)) / beta


def qb_norm(scores: np.ndarray, bank: np.ndarray, beta: float) -> np.ndarray:
    """Return QB-Norm's scores: the inverted softmax for queries whose nearest item is nearest to one of the bank."""
    hubs = np.isin(scores.argmax(axis=1), bank.argmax(axis=1))
    return np.where(hubs[:, None], inverted_softmax(scores, bank, beta), scores)


def nnn(scores: np.ndarray, bank: np.ndarray, setting: tuple[int, float]) -> np.ndarray:
    """Return scores (Q, G) minus the weighted mean of the k nearest of the bank's (R, G); `setting` is k and weight."""
    neighbours, weight = setting
    return scores - weight * np.partition(bank, -neighbours, axis=0)[-neighbours:].mean(axis=0)


def whole_captions(gallery: Gallery, embed: Embedder) -> dict[str, np.ndarray]:
    """Return the scores (Q, G) of whole captions by language, through its adapter."""
    return {code: embed.named(gallery.captions[code], code) @ gallery.images.T for code in LANGUAGES}


def measure_hubs(val: Gallery, pool: Gallery, embed: Embedder, references: References) -> Row:
    """Return the grid of settings on the validation photographs, and methods on the test photographs."""
    scores = whole_captions(val, embed)

    def mean_recall(change: Callable[[np.ndarray], np.ndarray]) -> float:
        own = [ranks(change(one), val.items) for one in scores.values()]
        return round(float(np.mean([(one <= k).mean() for one in own for k in RECALL_AT])), 4)

    grid = [{"references": 0, "sharpness": 0, "weight": 0.0, "mean_recall": mean_recall(lambda one: one)}]
    for count, sharpness, weight in product(COUNTS, SHARPNESS, WEIGHTS):
        fewer = replace(references, codes=references.codes[:count], sharpness=sharpness, weight=weight)
        numbers = fewer.corrections(val.images)
        found = mean_recall(lambda one, numbers=numbers: one - numbers)
        grid.append({"references": count, "sharpness": sharpness, "weight": weight, "mean_recall": found})
    bank = references.embeddings @ val.images.T
    tried = {
        "NNN": (nnn, list(product(NEIGHBOURS, WEIGHTS))),
        "inverted softmax": (inverted_softmax, BETAS),
        "QB-Norm": (qb_norm, BETAS),
    }
    best = {
        name: max(settings, key=lambda setting, method=method: mean_recall(lambda one: method(one, bank, setting)))  # noqa: B023 (called at once)
        for name, (method, settings) in tried.items()
    }
    bank, corrections = references.embeddings @ pool.images.T, references.corrections(pool.images)
    methods = {"corrected": lambda one: one - corrections}
    for name, (method, _) in tried.items():
        methods[name] = lambda one, method=method, setting=best[name]: method(one, bank, setting)
    rows = []
    for code, one in whole_captions(pool, embed).items():
        plain = ranks(one, pool.items)
        rows.append({"language": code, "method": "plain", **recalls(plain)})
        for name, method in methods.items():
            rows.append({"language": code, "method": name, **compared(plain, ranks(method(one), pool.items))})
    return {"grid": grid, "best": best, "rows": rows}


def measure_lengths(pool: Gallery, embed: Embedder, corrections: np.ndarray) -> tuple[list[Row], list[Row]]:
    """Return recall by length of the query, language and way of embedding, and the accuracy of the guess."""
    rows, guesses = [], []
    for count in (*LENGTHS, None):
        for code in LANGUAGES:
            captions = pool.captions[code]
            texts = captions if count is None else short_queries(captions, code, count)
            adapted = embed.named(texts, code)
            ways = {
                "plain": (embed.named(texts, PLAIN), 0),
                "adapted": (adapted, 0),
                "corrected": (adapted, corrections),
                "detected": (embed.detected(texts, None), corrections),
                "detected of four": (embed.detected(texts, LANGUAGES), corrections),
            }
            for way, (queries, subtracted) in ways.items():
                found = ranks(queries @ pool.images.T - subtracted, pool.items)
                rows.append({"words": count, "language": code, "way": way, **recalls(found)})
            for among in (None, LANGUAGES):
                own = guess_languages(texts, embed.queries.banks.preferred, among)
                share = float(np.mean([one.language == code for one in own]))
                guesses.append({"words": count, "language": code, "of four": among is not None, "accuracy": share})
            print(f"{count or 'whole'} {code}")
    return rows, guesses


def measure_foreign(pool: Gallery, embed: Embedder, corrections: np.ndarray) -> list[Row]:
    """Return recall of queries with a foreign word, by language and way of embedding."""
    rows = []
    for code in LANGUAGES[1:]:
        own = [(i, text) for language, i, text in foreign_word_queries(pool) if language == code]
        items, texts = pool.items[[i for i, _ in own]], [text for _, text in own]
        ways = {
            "plain": (embed.named(texts, PLAIN), 0),
            "adapted": (embed.named(texts, code), 0),
            "detected": (embed.detected(texts, None), corrections),
            "detected of four": (embed.detected(texts, LANGUAGES), corrections),
        }
        for way, (queries, subtracted) in ways.items():
            found = ranks(queries @ pool.images.T - subtracted, items)
            rows.append({"language": code, "queries": len(texts), "way": way, **recalls(found)})
    return rows


def milliseconds(action: Callable[[], object], times: int = 20) -> float:
    """Return the least CPU time of `times` calls."""
    found = []
    for _ in range(times):
        start = time.process_time()
        action()
        found.append(time.process_time() - start)
    return round(1000 * min(found), 2)


def measure_cost(queries: QueryEncoder) -> Row:
    """Return what parts of a query cost, in milliseconds of one core."""
    generator = np.random.default_rng(0)
    matrix = unit(generator.standard_normal((GALLERY_OF_SPEED, WIDTH), np.float32))
    entries = [Entry(f"{i:06}.jpg", NO_STAMP, "") for i in range(GALLERY_OF_SPEED)]
    store = ExactStore(entries, matrix, None, generator.random(GALLERY_OF_SPEED, np.float32))
    text, languages = ["pes na pláži"], queries.banks.preferred
    return {
        "plain search": milliseconds(lambda: store.nearest(matrix[:1], 10, np.array([False]))),
        "corrected search": milliseconds(lambda: store.nearest(matrix[:1], 10, np.array([True]))),
        "guess": milliseconds(lambda: guess_languages(text, languages)),
        "guess of four": milliseconds(lambda: guess_languages(text, languages, LANGUAGES)),
        "one embedding": milliseconds(lambda: queries.banks.encode_text(text, ["cs"])),
        "two embeddings": milliseconds(lambda: queries.banks.encode_text(text * 2, ["cs", None])),
    }


def main() -> None:
    """Measure, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir")
    parser.add_argument("--out", type=Path, default=OUT)
    parsed = parser.parse_args()
    towers, queries = load_towers("mini"), QueryEncoder("mini")
    fingerprints = {"image": towers.image.fingerprint, "text": towers.text.fingerprint}
    references = not_none(find_references("mini", fingerprints), "reference captions of mini")
    val, pool, embed = validation(towers, parsed.data_dir), test(towers, parsed.data_dir), Embedder(queries)
    corrections = references.corrections(pool.images)
    cost = measure_cost(queries)
    hubs = measure_hubs(val, pool, embed, references)
    foreign = measure_foreign(pool, embed, corrections)
    lengths, guesses = measure_lengths(pool, embed, corrections)
    settings = {"references": len(references.codes), "sharpness": references.sharpness}
    write_json(
        parsed.out,
        {
            "settings": {**settings, "weight": references.weight},
            "hubs": hubs,
            "lengths": lengths,
            "guesses": guesses,
            "foreign": foreign,
            "milliseconds": cost,
        },
    )


if __name__ == "__main__":
    main()
