"""Tables of a command's flags: what is typed, which callee it must reach, and as what.

A row is (typed, arrives, value). `typed` ends with the flag under test and its value; or it is the name of a positional
argument, whose value is in the table's line. `arrives` is the name of a callee, of its parameter, and of parts of the
argument: `download.policy.timeout`, `train_fleet.configs.0.lr`. What the command prints arrives as `output.text`,
`output.is_json` and `output.document`.
"""

import argparse
import contextlib
import functools
import importlib
import inspect
import io
import json
import operator
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import FunctionType
from typing import Any

import pytest

from pecl.cli import build_parser, main

STOP = object()  # for a callee that ends the command
REAL = object()  # for a callee that is called itself, too
IN_EVERY_PARSER = {"--help", "--quiet", "--verbose", "--plugin"}
Row = tuple[str, str, Any]


@dataclass(frozen=True)
class Table:
    """The flags of one command, replaced callees, and a line that runs."""

    line: str
    # Name in the module of the command, or dotted path -> what it returns, a function that makes it, STOP or REAL
    callees: Mapping[str, Any]
    rows: Sequence[Row] = ()
    together: Sequence[Row] = ()  # rows whose flags are typed in one line, to save time
    elsewhere: Mapping[str, str] = field(default_factory=dict)  # flag -> its test, if that cannot be a row

    @property
    def command(self) -> str:
        """The command and its action, such as `data download`."""
        return command_of(self.line)


@dataclass(frozen=True)
class Has:
    """Equal to every text that contains `part`."""

    part: str

    def __eq__(self, other: object) -> bool:
        return isinstance(other, str) and self.part in other

    __hash__ = None


class _Ended(BaseException):
    """The command has reached a callee that ends it."""


@functools.cache
def parsers() -> dict[str, argparse.ArgumentParser]:
    """Return the parser of each command, and of each action in place of a command that has some."""
    found = {}
    for name, parser in _children(build_parser()).items():
        actions = _children(parser)
        found |= {f"{name} {action}": inner for action, inner in actions.items()} if actions else {name: parser}
    return found


def _children(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    groups = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    return dict(groups[0].choices) if groups else {}


def arguments_of(parser: argparse.ArgumentParser) -> set[str]:
    """Return the arguments of a parser that need a row: flags by their first name, both forms of --x and --no-x."""
    found = set()
    for action in parser._actions:
        is_pair = isinstance(action, argparse.BooleanOptionalAction)
        found |= set(action.option_strings if is_pair else [_first_long(action)])
    return found - IN_EVERY_PARSER


def _first_long(action: argparse.Action) -> str:
    names = [name for name in action.option_strings if name.startswith("--")]
    return names[0] if names else action.dest


def command_of(line: str) -> str:
    """Return the command of a line, and its action if it has one."""
    words = line.split()
    action = " ".join(words[:2])
    return action if action in parsers() else words[0]


def flag_of(typed: str) -> str:
    """Return the flag that a row tests, or the name of its positional argument."""
    flags = [word for word in typed.split() if word.startswith("--")]
    return flags[-1] if flags else typed


def check_row(table: Table, row: Row) -> None:
    """Check that what is typed arrives with its value and that, for a flag, another value arrives without it."""
    typed, arrives, value = row
    flag = flag_of(typed)
    if not flag.startswith("--"):
        assert _argument(_calls(table, table.line), arrives) == value
        return
    assert _argument(_calls(table, f"{table.line} {typed}"), arrives) == value
    others = typed.rpartition(flag)[0]
    _check_absent(_calls_without(table, f"{table.line} {others}"), arrives, value)


def check_together(table: Table) -> None:
    """Check the rows `together` in one line, and that without their flags other values arrive."""
    typed = " ".join(typed for typed, _, _ in table.together)
    calls, without = _calls(table, f"{table.line} {typed}"), _calls(table, table.line)
    for typed, arrives, value in table.together:
        assert _argument(calls, arrives) == value, typed
        _check_absent(without, arrives, value)


def _check_absent(calls: Mapping[str, Any], arrives: str, value: Any) -> None:
    with contextlib.suppress(LookupError, AttributeError):  # a callee that is not reached without the flag
        assert _argument(calls, arrives) != value, f"{arrives} is the same without the flag"


_without: dict[tuple[int, str], dict[str, Any]] = {}


def _calls_without(table: Table, line: str) -> dict[str, Any]:
    """Return `_calls`, remembered: many rows of a table are compared with the same line."""
    key = id(table), line
    if key not in _without:
        _without[key] = _calls(table, line, may_fail=True)
    return _without[key]


def _calls(table: Table, line: str, may_fail: bool = False) -> dict[str, Any]:
    """Run a line; return what each callee was called with last, by the last part of its name."""
    calls: dict[str, Any] = {}
    printed = io.StringIO()
    module = parsers()[table.command].get_default("run").__module__
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(printed), contextlib.suppress(_Ended):
        for name, returned in table.callees.items():
            _replace(patch, module, name, returned, calls)
        status = main(shlex.split(line))
        assert status == 0 or may_fail, line
    calls["output"] = {"text": printed.getvalue(), **_json(printed.getvalue())}
    return calls


def _replace(patch: pytest.MonkeyPatch, module: str, name: str, returned: Any, calls: dict[str, Any]) -> None:
    owner_name, _, attribute = name.rpartition(".")
    owner = _owner(module, owner_name)
    original = getattr(owner, attribute)

    def record(*args: Any, **kwargs: Any) -> Any:
        calls[attribute] = _by_name(original, args, kwargs)
        if returned is STOP:
            raise _Ended
        if returned is REAL:
            return original(*args, **kwargs)
        return returned() if isinstance(returned, FunctionType) else returned

    patch.setattr(owner, attribute, record)


def _by_name(function: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a call by the names of the parameters, with defaults; of a built-in, by their places."""
    try:
        bound = inspect.signature(function).bind(*args, **kwargs)
    except ValueError:
        return {str(place): value for place, value in enumerate(args)}
    bound.apply_defaults()
    return dict(bound.arguments)


def _owner(module: str, path: str) -> Any:
    """Return the module of the command, something in it, or another module or class at a dotted path."""
    command = importlib.import_module(module)
    if not path:
        return command
    first = path.partition(".")[0]
    if hasattr(command, first) and first != "pecl":
        return operator.attrgetter(path)(command)
    with contextlib.suppress(ModuleNotFoundError):
        return importlib.import_module(path)
    outer, _, name = path.rpartition(".")
    return getattr(importlib.import_module(outer), name)


def _argument(calls: Mapping[str, Any], path: str) -> Any:
    found: Any = calls
    for part in path.split("."):
        if isinstance(found, Mapping):
            found = found[part]
        elif part.isdecimal():
            found = found[int(part)]
        else:
            found = getattr(found, part)
    return found


def _json(text: str) -> dict[str, Any]:
    try:
        return {"is_json": True, "document": json.loads(text)}
    except ValueError:
        return {"is_json": False}
