"""The commands of the applications; those of the library are modules of `pecl.commands`."""

COMMANDS = ("evaluate", "adapters", "export", "embed", "index", "search", "serve")
