"""The commands, one module each: `add_parser(commands)` adds it, and its parser's `run` carries it out."""

from types import ModuleType

from pecl.commands import adapters, data, doctor, evaluate, grid, report, train

COMMANDS: tuple[ModuleType, ...] = (train, evaluate, grid, report, data, adapters, doctor)
