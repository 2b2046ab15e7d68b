"""Train on your own table of captions: `python examples/own_table.py [captions.csv de]`.

The table has columns for English captions (`en`), captions in the language (`de`), machine translations if the route
needs them (`en_to_de`, `de_to_en`), and images (`image`, paths relative to the table). Without arguments the example
writes a table of drawn scenes.
"""

import csv
import sys
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
    result = main(*(sys.argv[1:3] or [str(write_table(Path("results/scenes"))), "de"]))
    print(result)
    before, after = result.recall(stage="zero_shot"), result.recall()
    print(f"R@1 {before:.3f} before, {after:.3f} after; adapter: {result.adapter_path}")
