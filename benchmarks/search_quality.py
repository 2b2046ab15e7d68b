"""Measure hubs, doubtful languages and short queries: `python benchmarks/search_quality.py --data-dir data`.

Settings are compared on the validation photographs of Multi30K, alone and among 758 other
photographs. The others are drawn eight times, each time with another four fifths of the reference
captions. Figures are for the 900 test photographs of the pool `multi30k-1k`. Writes
results/search_quality.json, from which `tools/search_tables.py` makes the tables of
docs/search.md. Takes about ten minutes of CPU.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from search_queries import LANGUAGES, LENGTHS, Gallery, foreign_word_queries, short_queries, test, validation

from pecl.adapters.ready import PLAIN
from pecl.apps.search.encoder import QueryEncoder
from pecl.apps.search.exact import ExactSearch
from pecl.apps.search.query import known_shares
from pecl.encoders.towers import load_towers
from pecl.errors import not_none
from pecl.files import write_json
from pecl.language.language_guess import guess_languages
from pecl.retrieval.hubs import References, find_references
from pecl.retrieval.measures import RECALL_AT, bootstrap_interval

OUT = Path(__file__).resolve().parents[1] / "results" / "search_quality.json"
SHARPNESS, WEIGHTS = (20, 25, 30, 40, 50, 60), (0.4, 0.5, 0.6, 0.7, 0.8)
NEIGHBOURS, BETAS = (4, 8, 16, 32, 64), (10, 20, 40, 60)
# draws of other photographs and of a share of the reference captions
DRAWS, DRAWN, SHARE = 8, 758, 0.8
GALLERY_OF_SPEED, WIDTH = 100_000, 256
WITH_BETA = ("inverted softmax", "QB-Norm")
Row = dict[str, Any]
Change = Callable[[np.ndarray], np.ndarray]


class Embedder:
    """Embeds queries in several ways; each text goes through each adapter only once."""

    def __init__(self, queries: QueryEncoder) -> None:
        self.queries = queries
        self._known: dict[tuple[str, str | None], np.ndarray] = {}

    def named(self, texts: Sequence[str], language: str) -> np.ndarray:
        """Return the embeddings (Q, D) of texts whose language is named; `none` is the base encoder."""
        return self._of([(text, None if language == PLAIN else language) for text in texts])

    def detected(self, texts: Sequence[str], among: Sequence[str] | None) -> np.ndarray:
        """Return the embeddings (Q, D) of texts whose languages are detected, as a search embeds them."""
        guesses = guess_languages(texts, self.queries.known.preferred, among)
        shares = [known_shares(guess, self.queries.known) for guess in guesses]
        self._of([(text, code) for text, guessed in zip(texts, shares, strict=True) for code, _ in guessed])
        mixed = [
            sum(share * self._of([(text, code)])[0] for code, share in guessed)
            for text, guessed in zip(texts, shares, strict=True)
        ]
        return unit(np.stack(mixed))

    def _of(self, wanted: list[tuple[str, str | None]]) -> np.ndarray:
        keys = [(text, self.queries.known.find(code)) for text, code in wanted]
        missing = [key for key in dict.fromkeys(keys) if key not in self._known]
        if missing:
            missing.sort(key=lambda key: len(key[0]))
            self.queries.load_adapters(dict.fromkeys(code for _, code in missing if code is not None))
            embedded = self.queries.bank.encode_text([text for text, _ in missing], [code for _, code in missing])
            self._known |= dict(zip(missing, embedded.numpy(), strict=True))

        return np.stack([self._known[key] for key in keys])


def unit(rows: np.ndarray) -> np.ndarray:
    """Return rows scaled to length 1."""
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def ranks(scores: np.ndarray, items: np.ndarray) -> np.ndarray:
    """Return the rank (Q,) of each query's item among scores (Q, G)."""
    return (scores >= scores[np.arange(len(scores)), items][:, None]).sum(axis=1)


def recalls(rank: np.ndarray) -> Row:
    """Return recall@1, 5 and 10 of ranks (Q,)."""
    return {f"recall@{k}": round(float((rank <= k).mean()), 4) for k in RECALL_AT}


def compared(plain: np.ndarray, other: np.ndarray) -> Row:
    """Return recalls of ranks, and the interval of their difference to plain ranks at 1 and 10, paired by query."""
    row = recalls(other)
    for k in (1, 10):
        low, high = bootstrap_interval((other <= k).astype(float) - (plain <= k))
        row |= {f"low@{k}": round(low, 4), f"high@{k}": round(high, 4)}
    return row


def inverted_softmax(bank: np.ndarray, beta: float) -> np.ndarray:
    """Return the logarithms (G,) of the sums over the bank's scores (R, G), which are subtracted from scores."""
    return np.log(np.exp(beta * (bank - 1)).sum(axis=0)) / beta


def nnn(bank: np.ndarray, neighbours: int) -> np.ndarray:
    """Return the means (G,) of the nearest of the bank's scores (R, G)."""
    return np.partition(bank, -neighbours, axis=0)[-neighbours:].mean(axis=0)


def qb_norm(scores: np.ndarray, bank: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """Return QB-Norm's scores: the inverted softmax for queries whose nearest item is nearest to one of the bank."""
    hubs = np.isin(scores.argmax(axis=1), bank.argmax(axis=1))
    return np.where(hubs[:, None], scores - numbers, scores)


def methods_of(references: References, images: np.ndarray) -> Iterator[tuple[str, Row, Change]]:
    """Yield each method with each setting: its name, the setting, and a function that changes scores.

    The function takes scores (Q, g) of the first g photographs.

    Args:
        references: reference captions.
        images: (G, D) embeddings of length 1.
    """
    yield "plain", {}, lambda scores: scores
    for sharpness in SHARPNESS:
        numbers = replace(references, sharpness=sharpness, weight=1).corrections(images)
        for weight in WEIGHTS:
            setting = {"sharpness": sharpness, "weight": weight}
            yield "corrected", setting, lambda scores, shift=weight * numbers: scores - shift[: scores.shape[1]]

    bank = references.embeddings @ images.T
    for neighbours in NEIGHBOURS:
        numbers = nnn(bank, neighbours)
        for weight in WEIGHTS:
            setting = {"neighbours": neighbours, "weight": weight}
            yield "NNN", setting, lambda scores, shift=weight * numbers: scores - shift[: scores.shape[1]]

    for beta in BETAS:
        numbers = inverted_softmax(bank, beta)
        yield "inverted softmax", {"beta": beta}, lambda scores, shift=numbers: scores - shift[: scores.shape[1]]
        yield (
            "QB-Norm",
            {"beta": beta},
            lambda scores, shift=numbers: qb_norm(scores, bank[:, : scores.shape[1]], shift[: scores.shape[1]]),
        )


def whole_captions(gallery: Gallery, embed: Embedder) -> dict[str, np.ndarray]:
    """Return the scores (Q, G) of whole captions by language, through its adapter."""
    return {code: embed.named(gallery.captions[code], code) @ gallery.images.T for code in LANGUAGES}


def measure_settings(
    val: Gallery,
    rows: np.ndarray,
    embed: Embedder,
    references: References,
) -> list[Row]:
    """Return each method and setting with its mean recall on the validation photographs, best first.

    The mean is over R@1, 5 and 10, languages, draws, and galleries without and with the other
    photographs.

    Args:
        val: the validation photographs, and the others behind them.
        rows: rows of the reference captions that describe none of the others.
        embed: embeds the captions.
        references: reference captions.
    """
    scores = whole_captions(val, embed)
    captioned = int(val.items.max()) + 1
    generator = np.random.default_rng(0)

    rows_of: dict[tuple[str, str], tuple[Row, list[float]]] = {}
    for _ in range(DRAWS):
        drawn_rows = generator.permutation(rows)[: int(SHARE * len(rows))]
        others = generator.choice(np.arange(captioned, len(val.images)), DRAWN, replace=False)
        places = np.concatenate([np.arange(captioned), others])
        drawn = replace(references, codes=references.codes[drawn_rows])
        for method, setting, change in methods_of(drawn, val.images[places]):
            _, values = rows_of.setdefault((method, str(setting)), ({"method": method, **setting}, []))
            for similarities in scores.values():
                both = [ranks(change(similarities[:, places[:size]]), val.items) for size in (captioned, len(places))]
                values += [float((rank <= k).mean()) for rank in both for k in RECALL_AT]

    measured = [{**row, "mean_recall": round(float(np.mean(values)), 4)} for row, values in rows_of.values()]
    return sorted(measured, key=lambda row: -row["mean_recall"])


def measure_hubs(
    pool: Gallery,
    embed: Embedder,
    references: References,
    settings: list[Row],
) -> list[Row]:
    """Return the recall of each method on the test photographs, with its best setting (`corrected`: as shipped)."""
    best = {method: next(row for row in settings if row["method"] == method) for method in ("NNN", *WITH_BETA)}
    bank = references.embeddings @ pool.images.T
    corrections = references.corrections(pool.images)
    softmax = {name: inverted_softmax(bank, best[name]["beta"]) for name in WITH_BETA}
    neighbours = best["NNN"]["weight"] * nnn(bank, best["NNN"]["neighbours"])

    rows = []
    for code, similarities in whole_captions(pool, embed).items():
        plain = ranks(similarities, pool.items)
        rows.append({"language": code, "method": "plain", **recalls(plain)})
        for name, changed in {
            "corrected": similarities - corrections,
            "NNN": similarities - neighbours,
            "inverted softmax": similarities - softmax["inverted softmax"],
            "QB-Norm": qb_norm(similarities, bank, softmax["QB-Norm"]),
        }.items():
            rows.append({"language": code, "method": name, **compared(plain, ranks(changed, pool.items))})

    return rows


def measure_lengths(
    pool: Gallery,
    embed: Embedder,
    corrections: np.ndarray,
) -> tuple[list[Row], list[Row]]:
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
                rank = ranks(queries @ pool.images.T - subtracted, pool.items)
                rows.append({"words": count, "language": code, "way": way, **recalls(rank)})
            for among in (None, LANGUAGES):
                own = guess_languages(texts, embed.queries.known.preferred, among)
                share = float(np.mean([guess.language == code for guess in own]))
                guesses.append({"words": count, "language": code, "of four": among is not None, "accuracy": share})
            print(f"{count or 'whole'} {code}")

    return rows, guesses


def measure_foreign(pool: Gallery, embed: Embedder, corrections: np.ndarray) -> list[Row]:
    """Return recall of queries with a foreign word, by language and way of embedding."""
    rows = []
    for code in LANGUAGES[1:]:
        of_language = [(i, text) for language, i, text in foreign_word_queries(pool) if language == code]
        items = pool.items[[i for i, _ in of_language]]
        texts = [text for _, text in of_language]
        ways = {
            "plain": (embed.named(texts, PLAIN), 0),
            "adapted": (embed.named(texts, code), 0),
            "detected": (embed.detected(texts, None), corrections),
            "detected of four": (embed.detected(texts, LANGUAGES), corrections),
        }
        for way, (queries, subtracted) in ways.items():
            rank = ranks(queries @ pool.images.T - subtracted, items)
            rows.append({"language": code, "queries": len(texts), "way": way, **recalls(rank)})

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
    """Return the cost of parts of a query, in milliseconds on one core."""
    generator = np.random.default_rng(0)
    matrix = unit(generator.standard_normal((GALLERY_OF_SPEED, WIDTH), np.float32))
    store = ExactSearch(matrix, generator.random(GALLERY_OF_SPEED, np.float32))
    text = ["pes na pláži"]
    languages = queries.known.preferred
    queries.load_adapters(["cs"])

    return {
        "plain search": milliseconds(lambda: store.nearest(matrix[0], 10, False)),
        "corrected search": milliseconds(lambda: store.nearest(matrix[0], 10, True)),
        "guess": milliseconds(lambda: guess_languages(text, languages)),
        "guess of four": milliseconds(lambda: guess_languages(text, languages, LANGUAGES)),
        "one embedding": milliseconds(lambda: queries.bank.encode_text(text, ["cs"])),
        "two embeddings": milliseconds(lambda: queries.bank.encode_text(text * 2, ["cs", None])),
    }


def main() -> None:
    """Measure, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir")
    parser.add_argument("--out", type=Path, default=OUT)
    parsed = parser.parse_args()
    towers = load_towers("mini")
    queries = QueryEncoder("mini")
    fingerprints = {"image": towers.image.fingerprint, "text": towers.text.fingerprint}
    references = not_none(find_references("mini", fingerprints), "reference captions of mini")
    (val, rows), pool, embed = validation(towers, parsed.data_dir), test(towers, parsed.data_dir), Embedder(queries)
    corrections = references.corrections(pool.images)
    cost = measure_cost(queries)
    tried = measure_settings(val, rows, embed, references)
    hubs = measure_hubs(pool, embed, references, tried)
    foreign = measure_foreign(pool, embed, corrections)
    lengths, guesses = measure_lengths(pool, embed, corrections)
    settings = {"references": len(references.codes), "sharpness": references.sharpness}
    write_json(
        parsed.out,
        {
            "settings": {**settings, "weight": references.weight},
            "tried": tried,
            "hubs": hubs,
            "lengths": lengths,
            "guesses": guesses,
            "foreign": foreign,
            "milliseconds": cost,
        },
    )


if __name__ == "__main__":
    main()
