"""Generate the tables of docs/search.md: `python tools/search_tables.py [--write]`.

The figures are those of `benchmarks/search_quality.py`, `benchmarks/person_languages.py`,
`benchmarks/typed_queries.py` and `benchmarks/query_names.py`.
"""

from __future__ import annotations

import json
from statistics import mean
from typing import Any

from marked import ROOT, main, table

FIGURES = ROOT / "results" / "search_quality.json"
PERSONS = ROOT / "results" / "person_languages.json"
TYPED = ROOT / "results" / "typed_queries.json"
NAMES = ROOT / "results" / "query_names.json"


def _figures() -> dict[str, Any]:
    return json.loads(FIGURES.read_text("utf-8"))


def persons() -> str:
    """Tabulate recall of queries with a named language, and with one guessed among those of a person."""
    rows = json.loads(PERSONS.read_text("utf-8"))["rows"]
    shown = []
    for count in sorted({row["words"] for row in rows}):
        own = [row for row in rows if row["words"] == count]
        for way, name in (("named", "named"), ("two", "guessed among two"), ("four", "guessed among four")):
            recalls = [row[way] for row in own]
            lost = "" if way == "named" else f"{mean(row[way] - row['named'] for row in own):+.4f}"
            shown.append([str(count), name, *(f"{recall:.3f}" for recall in recalls), lost])

    codes = list(dict.fromkeys(row["language"] for row in rows))
    return table(["words", "language", *codes, "mean difference"], shown)


def typed() -> str:
    """Tabulate recall of queries as people type them, before and after marks and capitals are restored."""
    figures = json.loads(TYPED.read_text("utf-8"))
    readings = ("as typed", "restored", "restored, guessed")
    rows = []
    for row in figures["rows"]:
        cells = [" / ".join(f"{recall:.3f}" for recall in row[reading]) for reading in readings]
        rows.append([row["language"], row["spelling"], *cells])

    return table(["language", "query", *readings], rows)


def names() -> str:
    """Tabulate recall in albums whose folders have names, without and with these."""
    rows = []
    for row in json.loads(NAMES.read_text("utf-8"))["rows"]:
        for part, count in (("all", "queries"), ("outside", "outside")):
            off, on = (row[f"{way}, {part}"] for way in ("off", "on"))
            cells = [" / ".join(f"{recall:.3f}" for recall in recalls) for recalls in (off, on)]
            rows.append([row["language"], part, str(row[count]), *cells, f"{on[0] - off[0]:+.3f}"])

    return table(["language", "photographs", "captions", "names off", "names on", "difference in R@1"], rows)


def overview() -> str:
    """Tabulate the gain and the cost of each part of a search."""
    figures = _figures()
    cost = figures["milliseconds"]
    rows = figures["lengths"]

    def recall(way: str, words: tuple[int | None, ...]) -> float:
        return mean(row["recall@10"] for row in rows if row["way"] == way and row["words"] in words)

    def gain(way: str, before: str, words: tuple[int | None, ...]) -> str:
        return f"{recall(way, words) - recall(before, words):+.3f}"

    short = (1, 2, 3)
    whole = (None,)
    extra = cost["corrected search"] - cost["plain search"]
    parts = [
        ("adapter of the language", "adapted", "plain", f"{cost['one embedding']:.1f}, as without"),
        ("hubs corrected", "corrected", "adapted", f"{extra:.2f} in 100,000 photographs"),
    ]

    return table(
        ["", "1 to 3 words", "whole captions", "cost, ms"],
        [[name, gain(way, before, short), gain(way, before, whole), spent] for name, way, before, spent in parts],
    )


PARTS = {"overview": overview, "persons": persons, "typed": typed, "names": names}


if __name__ == "__main__":
    main(__doc__ or "", ROOT / "docs" / "search.md", PARTS)
