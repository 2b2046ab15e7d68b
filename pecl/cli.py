"""The command line: `python -m pecl {train,evaluate,grid,report,data,adapters,doctor}`, also installed as `pecl`.

Exit status: 0 on success, 2 on bad input (one sentence on standard error), 1 on failure, 130 when interrupted. Results
go to standard output; progress and logs go to standard error. Each command is a module of `commands`.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from importlib import import_module

import pecl
from pecl.commands import COMMANDS
from pecl.errors import PeclError, printable, suggest


class _Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one sentence, without the usage."""

    def error(self, message: str) -> None:
        command = self.prog.removeprefix("pecl").strip()  # `main` writes the first word
        raise PeclError(f"{command}{': ' if command else ''}{message}; see {self.prog} --help")

    def parse_known_args(
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Parse as ever, but name the command of what it does not know, and the nearest flag."""
        parsed, rest = super().parse_known_args(args, namespace or argparse.Namespace())
        if rest:
            flag = rest[0].partition("=")[0]
            self.error(f"unrecognized arguments: {' '.join(rest)}{suggest(flag, self._option_string_actions)}")
        return parsed, rest


def build_parser(chosen: Sequence[str] = COMMANDS) -> argparse.ArgumentParser:
    """Return the parser of the commands `chosen`; only their modules are imported, which takes seconds for some."""
    parser = _Parser(
        prog="pecl",
        description="Parameter-efficient cross-lingual transfer of CLIP.",
        epilog="example: pecl train --dataset scenes --language de --route method1",
    )
    parser.add_argument("--version", action="version", version=f"pecl {pecl.__version__}")
    parser.add_argument("-v", "--verbose", action="store_true", help="log more")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=_Parser)
    for name in chosen:
        import_module(f"pecl.commands.{name}").add_parser(commands)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    logging.basicConfig(stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s", level=logging.WARNING)
    try:
        arguments = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
        named = [argument for argument in arguments if argument in COMMANDS][:1]
        chosen = () if arguments[0] == "--version" else named or COMMANDS
        parsed = build_parser(chosen).parse_args(arguments)
        logging.getLogger("pecl").setLevel(logging.DEBUG if parsed.verbose else logging.INFO)
        return parsed.run(parsed)
    except PeclError as error:
        sys.stderr.write(f"pecl: {printable(str(error))}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write("pecl: interrupted; the same command goes on from here\n")
        return 130
    except BrokenPipeError:  # the reader of our output, such as `head`, has gone
        return 0
