"""Generate the tables of docs/search.md: `python scripts/search_tables.py [--write]`.

The figures are those of `benchmarks/search_quality.py`, in results/search_quality.json.
"""

from __future__ import annotations

import json
from statistics import mean
from typing import Any

from marked import ROOT, main, table

FIGURES = ROOT / "results" / "search_quality.json"
WAYS = {
    "plain": "plain tower",
    "adapted": "adapter, language named",
    "corrected": "the same, hubs corrected",
    "detected": "language detected, hubs corrected",
    "detected of four": "the same, `--languages cs,de,en,fr`",
}
METHODS = ("corrected", "NNN", "QB-Norm", "inverted softmax")


def _figures() -> dict[str, Any]:
    return json.loads(FIGURES.read_text("utf-8"))


def hubs() -> str:
    """Return recall of whole captions, plain and by each method."""
    rows = {(row["language"], row["method"]): row for row in _figures()["hubs"]}
    shown = []
    for code in ("cs", "de", "fr", "en"):
        for k in (1, 10):
            methods = [rows[code, method] for method in METHODS]
            intervals = [
                f"{one[f'recall@{k}']:.3f} [{one[f'low@{k}']:+.3f}, {one[f'high@{k}']:+.3f}]" for one in methods
            ]
            shown.append([f"{code}, R@{k}", f"{rows[code, 'plain'][f'recall@{k}']:.3f}", *intervals])
    return table(["", "plain", *METHODS], shown)


def settings() -> str:
    """Return the sentence on the choice of the settings."""
    figures = _figures()
    chosen, tried = figures["settings"], figures["tried"]
    corrected = [row for row in tried if row["method"] == "corrected"]
    own = next(row for row in corrected if all(row[key] == chosen[key] for key in ("sharpness", "weight")))
    means = {method: max(row["mean_recall"] for row in tried if row["method"] == method) for method in ("plain", "NNN")}
    return (
        f"Sharpness {chosen['sharpness']:g} and weight {chosen['weight']:g} have a mean of R@1, 5 and 10 of "
        f"{own['mean_recall']:.4f} on the validation photographs ({means['plain']:.4f} without correction, "
        f"{corrected[0]['mean_recall']:.4f} with the best of {len(corrected)} settings, {means['NNN']:.4f} with the "
        "best setting of NNN)."
    )


def lengths() -> str:
    """Return R@10 by length of the query and way of embedding, mean over languages and for each."""
    rows = _figures()["lengths"]
    shown = []
    for words in dict.fromkeys(row["words"] for row in rows):
        for way, name in WAYS.items():
            own = {row["language"]: row for row in rows if row["words"] == words and row["way"] == way}
            recalls = [f"{own[code]['recall@10']:.3f}" for code in ("cs", "de", "fr", "en")]
            others = [f"{mean(row[f'recall@{k}'] for row in own.values()):.3f}" for k in (10, 1)]
            shown.append([str(words or "all"), name, *recalls, *others])
    return table(["words", "embedded by", "cs", "de", "fr", "en", "mean R@10", "mean R@1"], shown)


def guesses() -> str:
    """Return the share of queries whose language is detected, by length."""
    rows = _figures()["guesses"]
    shown = []
    for words in dict.fromkeys(row["words"] for row in rows):
        for of_four in (False, True):
            own = {
                row["language"]: row["accuracy"] for row in rows if (row["words"], row["of four"]) == (words, of_four)
            }
            among = "cs, de, en, fr" if of_four else "all languages"
            shown.append([str(words or "all"), among, *(f"{own[code]:.3f}" for code in ("cs", "de", "fr", "en"))])
    return table(["words", "among", "cs", "de", "fr", "en"], shown)


def foreign() -> str:
    """Return recall of queries with a foreign word."""
    rows = _figures()["foreign"]
    names = WAYS | {"adapted": "adapter, language named"}
    shown = []
    for way in dict.fromkeys(row["way"] for row in rows):
        own = {row["language"]: row for row in rows if row["way"] == way}
        shown.append([names[way], *(f"{own[code]['recall@10']:.3f}" for code in ("cs", "de", "fr"))])
    counts = " + ".join(str(row["queries"]) for row in rows if row["way"] == "plain")
    return f"{table(['embedded by', 'cs', 'de', 'fr'], shown)}\n\nR@10 of {counts} queries."


def overview() -> str:
    """Return what each part gives and costs."""
    figures = _figures()
    cost, rows = figures["milliseconds"], figures["lengths"]

    def recall(way: str, words: tuple[int | None, ...]) -> float:
        return mean(row["recall@10"] for row in rows if row["way"] == way and row["words"] in words)

    def gain(way: str, before: str, words: tuple[int | None, ...]) -> str:
        return f"{recall(way, words) - recall(before, words):+.3f}"

    short, whole = (1, 2, 3), (None,)
    extra = cost["corrected search"] - cost["plain search"]
    mixed = cost["two embeddings"] - cost["one embedding"]
    parts = [
        ("adapter of the language", "adapted", "plain", f"{cost['one embedding']:.1f}, as without"),
        ("hubs corrected", "corrected", "adapted", f"{extra:.2f} in 100,000 photographs"),
        (
            "language detected, not named",
            "detected",
            "corrected",
            f"{cost['guess']:.1f}; {mixed:.1f} a further language",
        ),
        ("language detected among four", "detected of four", "corrected", f"{cost['guess of four']:.1f}"),
    ]
    return table(
        ["", "1 to 3 words", "whole captions", "cost, ms"],
        [[name, gain(way, before, short), gain(way, before, whole), spent] for name, way, before, spent in parts],
    )


PARTS = {
    "overview": overview,
    "hubs-settings": settings,
    "hubs-recall": hubs,
    "lengths": lengths,
    "guesses": guesses,
    "foreign": foreign,
}


if __name__ == "__main__":
    main(__doc__ or "", ROOT / "docs" / "search.md", PARTS)
