"""Train on your own table of captions: `python examples/own_table.py captions.csv de`.

The table has columns for English captions (`en`), captions in the language (`de`), machine translations if the route
needs them (`en_to_de`, `de_to_en`), and photographs (`image`, paths relative to the table).
"""

import sys
from typing import Any

import pecl


def main(table: str, language: str, **values: Any) -> pecl.Result:
    """Train one language on a table; `values` override the config."""
    config = {
        "dataset": table,
        "language": language,
        "route": "method1",
        "shots": 50,
        "epochs": 5,
        "out": "results/own",
    }
    return pecl.train({**config, **values})


if __name__ == "__main__":
    result = main(*sys.argv[1:3])
    print(result)
    before, after = result.recall(stage="zero_shot"), result.recall()
    print(f"R@1 {before:.3f} before, {after:.3f} after; adapter: {result.adapter_path}")
