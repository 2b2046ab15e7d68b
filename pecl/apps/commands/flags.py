"""Flags that several commands of the applications share."""

from pecl.apps.backends import BACKENDS, TORCH
from pecl.commands import options as cli

BACKEND = cli.argument(
    "--backend", "package that computes the layers of the towers (default: torch)", choices=BACKENDS, default=TORCH
)
