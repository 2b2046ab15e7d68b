"""Flags that several commands of the applications share."""

from pecl.backends import BACKENDS
from pecl.commands import options as cli
from pecl.machine import AUTO

BACKEND = cli.argument(
    "--backend",
    "package that computes the layers of the towers (default: auto, which is openvino where it is installed and pays)",
    choices=BACKENDS,
    default=AUTO,
)
