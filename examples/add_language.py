"""Add a language, here Dutch: `python examples/add_language.py captions.csv`.

The table has the columns `en` and `nl`. The call registers the language for one process. To add it permanently, add the
same row to `pecl/languages.py`.
"""

import sys

import pecl

pecl.register_language("nl", "Dutch", flores="nld_Latn", iso="nl", aliases=["Flemish"])

if __name__ == "__main__":
    captions = pecl.load_dataset(sys.argv[1], "Dutch")
    print(captions)
    print(captions.target[0])
