"""The commands of the library. The module of each registers a function with its arguments: see `options.command`.

The commands of the applications are modules of `pecl.apps.commands`.
"""

# Name -> summary. `pecl --help` prints these without importing the modules, which takes seconds for some
COMMANDS = {
    "train": "train a language's parameters and measure the recall before and after",
    "distil": "train a language on translated text only, and measure the recall before and after",
    "evaluate": "measure the retrieval recall of languages on a data set",
    "grid": "train every combination of values; on the command line, commas separate the values of a list",
    "report": "print the tables of experiments from their result files",
    "data": "list, download, check and translate data sets",
    "languages": "list languages by region or script, or show names, data sets and ready adapter of the given ones",
    "recipes": "list the recipes: the text that a language needs, what student and teacher embed, and the loss",
    "adapters": "list, show, convert, merge, publish and fetch adapters",
    "towers": "list the pairs of towers by name, and check whether a folder or model can be used",
    "export": "write towers and trained languages for other packages",
    "embed": "embed images or texts in bulk",
    "index": "create or update the index of a folder of photographs, for `pecl search`",
    "search": "find photographs by text or by image",
    "serve": "serve embeddings, search and a page over HTTP",
    "doctor": "list what is installed and found, and how to get missing parts",
}
