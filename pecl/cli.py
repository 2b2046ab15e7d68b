"""The entry point of the command `pecl`."""

from pecl.commands.main import main as main
