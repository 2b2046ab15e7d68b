"""Flags that several commands share. Every field of `ExperimentConfig` is a flag, so a new field needs no line here."""

import argparse
import contextlib
import inspect
import json
import logging
import os
import shlex
import sys
import textwrap
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import fields
from functools import partial
from typing import Any

from pecl.commands import COMMANDS
from pecl.config import ExperimentConfig, check_fields, each_language, make_config, read_yaml
from pecl.errors import EMPTY_PATH, NAMED, ConfigError, flag_words, printable
from pecl.files.failures import write_output
from pecl.language.languages import shared_code
from pecl.results.command import FLAG_NAMES

logger = logging.getLogger(__name__)

ADAPTER_HELP = "a language (cs), towers and language (mini:cs), a path, or none for the base encoder"

# First flag below a heading of --help -> heading; the flags of the following fields belong there, too.
_HEADINGS = {
    "profile": "towers",
    "dataset": "data",
    "language": "language and route",
    "train_on": "training text",
    "adapter": "adapter",
    "alignment": "loss",
    "lr": "training",
    "gallery": "evaluation",
    "device": "machine and results",
}
_HELP = {field.name: field.metadata["help"] for field in fields(ExperimentConfig)}

Argument = Callable[[argparse.ArgumentParser], Any]  # adds an argument, or several, to a parser
# runs a command; may return its exit status, else 0
Run = Callable[[argparse.Namespace], int | None]
Adders = dict[str, Callable[[Any], None]]  # name of a command -> the function that adds its parser
REGISTERED: Adders = {}  # a module's commands are there once it is imported


def command(example: str, *arguments: Argument, actions: Adders | None = None) -> Callable[[Run], Run]:
    """Decorate the function that runs the command of its module, or an action among `actions`.

    Its docstring is the description in --help, followed by `example`. An action has the name of its
    function, and the docstring's first line as summary.
    """

    def register(run: Run) -> Run:
        description = inspect.cleandoc(run.__doc__ or "")
        if actions is None:
            name = run.__module__.rpartition(".")[2]
            REGISTERED[name] = _adder(name, example, COMMANDS[name], description, *arguments, run=run)
        else:
            name = run.__name__.strip("_").replace("_", "-")
            first = description.partition("\n")[0].rstrip(".")
            actions[name] = _adder(name, example, first[0].lower() + first[1:], description, *arguments, run=run)

        return run

    return register


def group(name: str, example: str, dest: str = "action") -> Callable[..., Callable[[Run], Run]]:
    """Register a command with several actions, and return the decorator of its actions."""
    actions: Adders = {}

    def add_actions(parser: argparse.ArgumentParser) -> None:
        inner = parser.add_subparsers(dest=dest, required=True, metavar=dest.upper())
        for add in actions.values():
            add(inner)

    REGISTERED[name] = _adder(name, example, COMMANDS[name], COMMANDS[name], add_actions)
    return partial(command, actions=actions)


def _adder(
    name: str, example: str, summary: str, description: str, *arguments: Argument, **defaults: Any
) -> Callable[[Any], None]:
    def add(commands: Any) -> None:
        parser = commands.add_parser(
            name,
            help=summary,
            description=description,
            epilog=f"example: {example}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
            parents=[common_flags()],
        )
        for declared in arguments:
            declared(parser)
        parser.set_defaults(**defaults)

    return add


def argument(name: str, help: str, *aliases: str, **options: Any) -> Argument:
    """Declare an argument with its `aliases` and the options of `add_argument`."""
    return lambda parser: parser.add_argument(name, *aliases, help=help, **options)


def switch(name: str, help: str) -> Argument:
    """Declare a flag without value."""
    return argument(name, help, action="store_true")


def choice(name: str, help: str, default: bool | None = None) -> Argument:
    """Declare a flag of two forms, such as --words and --no-words."""
    return argument(name, help, action=argparse.BooleanOptionalAction, default=default)


def several(name: str, help: str, *aliases: str, **options: Any) -> Argument:
    """Declare a flag that may be repeated, each time with a value."""
    return argument(name, help, *aliases, action="append", default=[], **options)


def path(name: str, help: str, metavar: str | None = None, **options: Any) -> Argument:
    """Declare an argument that is a path, which may not be empty."""
    return argument(name, help, type=path_argument, metavar=metavar, **options)


def common_flags() -> argparse.ArgumentParser:
    """Return the parent of all parsers: --quiet, --verbose and --plugin may precede or follow a command's name.

    A flag that is not given sets nothing, so a flag before the name keeps its value.
    """
    parser = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress, and only warnings")
    parser.add_argument("-v", "--verbose", action="store_true", help="log more")
    parser.add_argument("--plugin", metavar="FILE", help=_HELP["plugin"])
    return parser


JSON = switch("--json", "print one JSON document")
# of commands without the flags of the config
THREADS = argument("--threads", _HELP["threads"], metavar="N")
DRY_RUN = switch(
    "--dry-run", "check the run up to its first step, print the plan and the estimated time, and write nothing"
)


@contextlib.contextmanager
def threads_of(parsed: argparse.Namespace) -> Iterator[None]:
    """Use as many threads as --threads has in the body; raise ConfigError if that is no number of threads."""
    if parsed.threads is None:
        yield
        return

    number = make_config({"threads": parsed.threads}, where=None).threads
    from pecl.training.distributed import use_threads

    with use_threads(number):
        yield


def config_flags(
    only: Collection[str] | None = None,
    defaults: Mapping[str, Any] | None = None,
) -> Argument:
    """Declare --config and a flag per config field, or per field of `only`; an omitted flag sets nothing.

    The help groups flags by headings. `defaults` replace the defaults of fields in the help.
    """
    default_of = {field.name: field.default for field in fields(ExperimentConfig)} | dict(defaults or {})

    def add(parser: argparse.ArgumentParser) -> None:
        text = (
            "file with any of these flags as keys, or the name of a shipped one, such as distil_mini_lexicon; later "
            "files override earlier ones, and flags override files"
        )
        several("--config", text, metavar="YAML")(parser)
        heading = ""
        groups = {}

        for field in fields(ExperimentConfig):
            heading = _HEADINGS.get(field.name, heading)
            if not field.metadata.get("flag", True) or (only is not None and field.name not in only):
                continue

            if heading not in groups:
                groups[heading] = parser.add_argument_group(heading)

            default = "" if default_of[field.name] is None else f" (default: {default_of[field.name]})"
            text = f"{_HELP[field.name]}{default}".replace("%", "%%")
            is_switch = isinstance(field.default, bool)
            kind = {"action": argparse.BooleanOptionalAction} if is_switch else {"metavar": field.name.upper()}
            groups[heading].add_argument(f"--{field.name.replace('_', '-')}", default=None, help=text, **kind)

    return add


def config_values(parsed: argparse.Namespace) -> dict[str, Any]:
    """Merge YAML files and flags, flags last; values are not parsed yet.

    Raise ConfigError if a YAML file is missing, or has an unknown key or a wrong value. Rules for several fields are
    checked when a config is made: a flag may change one of them.
    """
    values: dict[str, Any] = {}
    for path in parsed.config:
        document = read_yaml(path)
        check_fields(document, where=path)
        values |= document
    flags = {field.name: getattr(parsed, field.name, None) for field in fields(ExperimentConfig)}
    return values | {name: value for name, value in flags.items() if value is not None}


def sources_of_values(parsed: argparse.Namespace) -> str | None:
    """Return the YAML files and the command line as text, which begins the errors of their merged values.

    Errors of values from the command line alone begin with the flag.
    """
    return " and ".join([*parsed.config, "command line"]) if parsed.config else None


class Flags:
    """Writes the settings in messages as flags of the command that runs. Its `parser` is set once it is known."""

    parser: argparse.ArgumentParser | None = None

    def __call__(self, name: str, value: Any) -> str:
        """Write a setting: `--image-weight 0`; without a value it stays a name if the command has no such flag."""
        words = flag_words(FLAG_NAMES.get(name, name), value)
        if value is NAMED and words[0] not in _flags_of(self.parser):
            return name
        return shlex.join(words)


def _flags_of(parser: argparse.ArgumentParser | None) -> set[str]:
    """Return the flags of a parser and of the commands that it has."""
    flags: set[str] = set()
    for action in parser._actions if parser else ():
        flags.update(action.option_strings)
        if isinstance(action, argparse._SubParsersAction):
            for chosen in action.choices.values():
                flags |= _flags_of(chosen)
    return flags


def training_values(parsed: argparse.Namespace) -> dict[str, Any]:
    """Return `config_values` of a training; if they name a start file and no adapter, the adapter is the file's."""
    values = config_values(parsed)
    if "start" not in values:
        return values
    from pecl.experiment.initial_weights import with_adapter_of_start

    return with_adapter_of_start(values)


def config_of(parsed: argparse.Namespace, only: Collection[str]) -> ExperimentConfig:
    """Return the config of the fields `only` that files and flags give, and of defaults."""
    values = {name: value for name, value in config_values(parsed).items() if name in only}
    return make_config(values, where=sources_of_values(parsed))


def language_values(parsed: argparse.Namespace) -> list[dict[str, Any]]:
    """Return the values of each language in --language, separated by commas."""
    values = training_values(parsed)
    if "language" in values:
        languages = values["language"]
        names = languages if isinstance(languages, list) else str(languages).split(",")
        if not names:
            raise ConfigError("got an empty list, expected one value or more", field="language")

        for note in filter(None, map(shared_code, map(str, names))):
            logger.info(note)
        return [{**values, "language": name} for name in names]

    return each_language(values)


def language_configs(parsed: argparse.Namespace) -> list[ExperimentConfig]:
    """Return one checked config per language in --language, separated by commas."""
    configs = [make_config(values, where=sources_of_values(parsed)) for values in language_values(parsed)]
    check_languages(configs)
    return configs


def check_languages(configs: Sequence[ExperimentConfig]) -> None:
    """Raise ConfigError for a language that is given twice, under one name or two."""
    codes = [config.language for config in configs]
    twice = sorted({code for code in codes if codes.count(code) > 1})
    if twice:
        raise ConfigError(f"expected each once, got {twice[0]} twice: {','.join(codes)}", field="language")


def differences(config: ExperimentConfig, always: Sequence[str]) -> str:
    """Return the fields `always`, and then those of a config that are not the defaults, as text."""
    changed = [field.name for field in fields(config) if getattr(config, field.name) != field.default]
    return " ".join(f"{name}={getattr(config, name)}" for name in dict.fromkeys([*always, *changed]))


def path_argument(text: str) -> str:
    """Return a path, as the type of an argument; refuse an empty path, which would mean the current folder."""
    if not text.strip():
        raise argparse.ArgumentTypeError(EMPTY_PATH)
    return os.path.expanduser(text)  # shells leave --out=~/folder to the program


def in_columns(rows: Sequence[Sequence[str]]) -> str:
    """Align the fields of rows in columns, and wrap the last at column 100, but not below 30 characters."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)][:-1]
    indent = sum(widths) + 2 * len(widths)
    width = max(100, indent + 30)

    lines = []
    for *first, last in rows:
        head = "".join(f"{field:<{size}}  " for field, size in zip(first, widths, strict=True))
        lines += textwrap.wrap(
            last, width, initial_indent=head, subsequent_indent=" " * indent, break_on_hyphens=False
        ) or [head.rstrip()]

    return "\n".join(lines)


def counted(number: int, noun: str) -> str:
    """Return `1 run` or `2 runs`."""
    return f"{number:,} {noun}{'s' * (number != 1)}"


def print_json(document: Any) -> None:
    """Print one JSON document on standard output, with JSON escapes if the output is not UTF-8."""
    in_ascii = (sys.stdout.encoding or "ascii").lower().replace("-", "") != "utf8"
    text = json.dumps(document, indent=2, ensure_ascii=in_ascii)
    # the others are within strings
    for letter in {letter for letter in text if not letter.isprintable()} - {"\n"}:
        text = text.replace(letter, json.dumps(letter)[1:-1])
    write_output(text + "\n")


def print_answer(parsed: argparse.Namespace, document: Any, *texts: str) -> None:
    """Print the document with --json, and the texts without, one below the other."""
    if parsed.json:
        print_json(document)
    elif texts:
        print_text("\n".join(texts))


def print_text(text: str) -> None:
    """Print text on standard output, its control characters escaped."""
    write_output(printable(text).rstrip("\n") + "\n")
