"""Add a language that `pecl languages` lacks, here Upper Sorbian: `python examples/add_language.py [captions.csv]`.

The table has the columns `en` and `hsb`. The call registers the language for one process; with `--plugin
examples/add_language.py` every command knows it.
"""

import sys
from pathlib import Path

import pecl

pecl.register_language("hsb", "Upper Sorbian", aliases=["hornjoserbsce"])

if __name__ == "__main__":
    table = sys.argv[1] if len(sys.argv) > 1 else Path(__file__).with_name("captions-hsb.csv")
    captions = pecl.load_dataset(str(table), "Upper Sorbian")
    print(captions)
    print(captions.target[0])
