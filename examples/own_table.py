"""Train on your own table of captions: `python examples/own_table.py [captions.csv de]`.

The table has columns for English captions (`en`), captions in the language (`de`), machine translations if the route
needs them (`en_to_de`, `de_to_en`), and images (`image`, paths relative to the table). Without arguments the example
writes a table of drawn scenes.
"""

import argparse
import csv
from pathlib import Path
from typing import Any

import pecl


def write_table(folder: Path, pairs: int = 60) -> Path:
    """Write drawn scenes as a table with images, and return its path."""
    captions = pecl.load_dataset("scenes", "de")
    assert captions.images is not None
    assert captions.english is not None
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "captions.csv").open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["image", "en", "de"])
        for i in range(pairs):
            captions.images.load(i).save(folder / f"{i}.png")
            rows.writerow([f"{i}.png", captions.english[i], captions.target[i]])
    return folder / "captions.csv"


def main(table: str, language: str, **values: Any) -> pecl.Result:
    """Train one language on a table; `values` override the config."""
    config = {"dataset": table, "language": language, "route": "method1", "shots": 20, "epochs": 1}
    return pecl.train({**config, "out": "results/own", **values})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", nargs="?", help="table of captions (default: a table of drawn scenes)")
    parser.add_argument("language", nargs="?", help="language of the captions; needed with a table")
    parsed = parser.parse_args()
    if parsed.table is not None and parsed.language is None:
        parser.error(f"expected a language after {parsed.table}, such as de")
    table = parsed.table or write_table(Path("results/scenes"))
    result = main(str(table), parsed.language or "de")
    print(result)
    before, after = result.recall(stage="zero_shot"), result.recall()
    print(f"R@1 {before:.3f} before, {after:.3f} after; adapter: {result.adapter_path}")
