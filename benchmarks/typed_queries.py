"""Measure searches by queries as people type them: `python benchmarks/typed_queries.py --data-dir data`.

Queries are 400 captions in Czech, German and French, as written and in other spellings (`SPELLINGS` of
`tools/typed_texts.py`). They search the 900 photographs of the pool `multi30k-1k`: as
they are typed, with marks and capitals restored, and so with the language guessed among four of a
person. Writes results/typed_queries.json, from which `tools/search_tables.py` makes a table.
Takes about four minutes of CPU.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from person_languages import COUNT, FOUR, detected
from search_queries import test
from typed_texts import SPELLINGS

from pecl.adapters.bank import AdapterBank
from pecl.apps.search.encoder import QueryEncoder
from pecl.encoders.towers import load_towers
from pecl.files import write_json

OUT = Path(__file__).resolve().parents[1] / "results" / "typed_queries.json"
CODES = ("cs", "de", "fr")
CUTOFFS = (1, 5, 10)


def recalls(queries: np.ndarray, gallery: np.ndarray, items: np.ndarray) -> list[float]:
    """Return R@K of queries (Q, D) for each of `CUTOFFS`; `items` (Q,) are their rows in the gallery (G, D)."""
    scores = queries @ gallery.T  # (Q, G)
    before = (scores > scores[np.arange(len(items)), items][:, None]).sum(axis=1)
    return [round(float((before < cutoff).mean()), 4) for cutoff in CUTOFFS]


def main() -> None:
    """Measure, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir")
    parser.add_argument("--out", type=Path, default=OUT)
    parsed = parser.parse_args()
    photographs = test(load_towers("mini"), parsed.data_dir)
    encoder = QueryEncoder("mini")
    encoder.load_adapters(sorted({code for four in FOUR.values() for code in four if code in encoder.known.paths}))
    as_typed = AdapterBank(encoder.plain, plain=None, restore=False)
    as_typed.add_files(encoder.known.files(CODES).items())
    generator = np.random.default_rng(0)

    rows = []
    for code in CODES:
        chosen = np.sort(generator.permutation(len(photographs.items))[:COUNT])
        captions = [photographs.captions[code][i] for i in chosen]
        for name, spell in SPELLINGS.items():
            queries = [spell(caption, code) for caption in captions]
            guessed, languages = detected(encoder, queries, FOUR[code])
            readings = {
                "as typed": as_typed.encode_text(queries, code).numpy(),
                "restored": encoder.bank.encode_text(queries, code).numpy(),
                "restored, guessed": guessed,
            }
            row = {"language": code, "spelling": name, "right": float(np.mean([found == code for found in languages]))}
            for reading, embeddings in readings.items():
                row[reading] = recalls(embeddings, photographs.images, photographs.items[chosen])
            rows.append(row)
            print(row, flush=True)

    write_json(parsed.out, {"queries": COUNT, "cutoffs": CUTOFFS, "rows": rows})


if __name__ == "__main__":
    main()
