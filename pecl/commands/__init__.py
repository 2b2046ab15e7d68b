"""The commands, one module each: `add_parser(commands)` adds it, and its parser's `run` carries it out."""

COMMANDS = (
    "train",
    "distil",
    "evaluate",
    "grid",
    "report",
    "data",
    "adapters",
    "export",
    "embed",
    "index",
    "search",
    "serve",
    "doctor",
)
