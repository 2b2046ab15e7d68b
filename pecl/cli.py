"""The command line: `python -m pecl {train,distil,evaluate,...}`, also installed as `pecl`: the commands of `COMMANDS`.

Exit status: 0 on success, 2 on invalid input, 1 on failure (both print a one-line error on standard
error; the traceback of an unexpected error goes to a file, see `failures`), 130 when interrupted.
Results go to standard output; progress and logs go to standard error. Each command is a module of
`commands` or `apps.commands`.
"""

import argparse
import contextlib
import io
import logging
import os
import sys
from collections.abc import Collection, Sequence
from importlib import import_module
from typing import Any

import pecl
from pecl.apps.commands import COMMANDS as APPLICATIONS
from pecl.commands import COMMANDS
from pecl.commands.options import REGISTERED, Flags, common_flags
from pecl.config.plugins import load_plugins
from pecl.errors import PeclError, ReportedElsewhereError, spelled, suggest
from pecl.files.failures import describe_failure, drop_output, write_output
from pecl.files.progress import LogHandler, turn_off


class _Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line, without the usage."""

    def error(self, message: str) -> None:
        command = self.prog.removeprefix("pecl").strip()  # `main` writes the first word
        raise PeclError(f"{command}{': ' if command else ''}{message}; see {self.prog} --help")

    # argparse's own ignores a full disk
    def _print_message(self, message: str, file: Any = None) -> None:
        if file is sys.stdout:
            write_output(message)
        else:
            super()._print_message(message, file)

    def parse_known_args(
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Parse arguments; an error names the command, the unknown argument and the nearest flag."""
        parsed, unrecognized = super().parse_known_args(args, namespace or argparse.Namespace())
        words = [action.dest for action in self._actions if action.nargs == "*" and not action.option_strings]
        if words and not any(argument.startswith("-") for argument in unrecognized):
            # argparse gives up on words that follow a flag: `pecl search INDEX --language cs pes`
            setattr(parsed, words[0], [*getattr(parsed, words[0]), *unrecognized])
            unrecognized = []
        if unrecognized:
            flag = unrecognized[0].partition("=")[0]
            self.error(f"unrecognized arguments: {' '.join(unrecognized)}{suggest(flag, self._option_string_actions)}")
        return parsed, unrecognized


def build_parser(chosen: Collection[str] = COMMANDS) -> argparse.ArgumentParser:
    """Return the parser of the commands `chosen`; only their modules are imported, which takes seconds for some.

    Without any, the parser lists all commands with their summaries.
    """
    parser = _Parser(
        prog="pecl",
        description="Parameter-efficient cross-lingual transfer of CLIP.",
        epilog="example: pecl train --dataset scenes --language de --route method1",
        parents=[common_flags()],
    )
    parser.add_argument("--version", action="version", version=f"pecl {pecl.__version__}")
    parser.set_defaults(quiet=False, verbose=False, plugin=None)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=_Parser)

    for name in chosen:
        package = "pecl.apps.commands" if name in APPLICATIONS else "pecl.commands"
        import_module(f"{package}.{name}")
        REGISTERED[name](commands)

    if not chosen:
        for name, summary in COMMANDS.items():
            commands.add_parser(name, help=summary)

    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    logging.basicConfig(
        handlers=[LogHandler(sys.stderr)], format="%(levelname)s %(name)s: %(message)s", level=logging.WARNING
    )
    # a character that its encoding lacks is escaped, as on standard error
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")

    flags = Flags()
    with spelled(flags):
        return _reporting(sys.argv[1:] if arguments is None else arguments, flags)


def _reporting(arguments: Sequence[str], flags: Flags) -> int:
    try:
        try:
            return _run(arguments, flags)
        finally:
            write_output("", flush=True)  # so that a full disk is reported
    except KeyboardInterrupt:
        _say("interrupted; the same command resumes from here")
        return 130
    except BrokenPipeError:  # the reader of our output, such as `head`, has gone
        drop_output()
        return 0
    except Exception as error:
        status, sentence = describe_failure(error)
        if _speaks_for_others(error, sentence):
            _say(sentence)
        return status


def _run(arguments: Sequence[str], flags: Flags) -> int:
    arguments = list(arguments) or ["--help"]
    commands = [argument for argument in arguments if argument in COMMANDS]
    flags.parser = build_parser(commands[:1])
    parsed = flags.parser.parse_args(arguments)
    if parsed.quiet and parsed.verbose:
        raise PeclError("expected --quiet or --verbose, got both")

    level = logging.INFO
    if parsed.verbose:
        level = logging.DEBUG
    if parsed.quiet:
        level = logging.WARNING
        turn_off()  # progress, too
    logging.getLogger("pecl").setLevel(level)

    load_plugins(parsed.plugin)
    if os.environ.get("WORLD_SIZE", "1") != "1" and parsed.command != "train":
        raise PeclError(
            f"{parsed.command}: expected one process, got {os.environ['WORLD_SIZE']}: torchrun is for train"
        )
    return parsed.run(parsed) or 0


def _speaks_for_others(error: Exception, sentence: str) -> bool:
    """Return whether this process reports its failure: one process reports for all that train together."""
    if isinstance(error, ReportedElsewhereError):
        return False
    if os.environ.get("WORLD_SIZE", "1") == "1":
        return True
    from pecl.training.distributed import says_failure  # imports torch

    return says_failure(sentence)


def _say(sentence: str) -> None:
    with contextlib.suppress(OSError, ValueError):  # nobody listens
        sys.stderr.write(f"pecl: {sentence}\n")
        sys.stderr.flush()
