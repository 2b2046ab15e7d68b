"""Add a language: one row, here Dutch. Run it as `python examples/add_language.py captions.csv`.

The table has a column `nl` beside `en`. In a notebook the one call is enough; to keep the language, add the same row to
`pecl/languages.py`.
"""

import sys

import pecl

pecl.register_language("nl", "Dutch", flores="nld_Latn", iso="nl", aliases=["Flemish"])

if __name__ == "__main__":
    captions = pecl.load_dataset(sys.argv[1], "Dutch")
    print(captions)
    print(captions.target[0])
