"""Options: dataclass fields with a help and a range or choices. Their values are checked, and read and written as text.

`ExperimentConfig` and the adapters' configs consist of them. `Registry` is a table of names that can grow.
"""

import contextlib
import functools
import json
import math
import re
import sys
import types
import typing
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import field, fields
from importlib import import_module
from types import SimpleNamespace
from typing import Any, ClassVar, cast

from pecl.errors import ConfigError, is_text, nearest

_WORDS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
_NAMES = {int: "a whole number", float: "a number", bool: "true or false", str: "text", tuple: "names joined by /"}
_READERS: dict[type, Callable[[str], Any]] = {
    int: int,
    float: float,
    bool: lambda text: _WORDS[text.lower()],
    str: str,
    tuple: lambda text: tuple(text.split("/")),
}
TOP_LAYERS = (r"top-[1-9][0-9]{0,3}", "top-3")  # form of an option: the K topmost layers of a text tower
_LONGEST_SHOWN = 200  # characters of a wrong value that an error sentence repeats
_SEPARATORS = {",": "commas"}
_SPECIAL = set(',+="\\/:')  # characters with a meaning in an adapter's spec; text that has one is quoted


def option(
    default: Any,
    help: str,
    *,
    low: float | None = None,
    high: float | None = None,
    choices: Collection[str] = (),
    joined: str = "",
    weighted: bool = False,
    form: tuple[str, str] | None = None,
    none: str = "none",
    pattern: bool = False,
    **more: Any,
) -> Any:
    """Return a dataclass field.

    Args:
        default: its default.
        help: its meaning and unit.
        low: the smallest valid number.
        high: the largest valid number.
        choices: the valid names, for a tuple those of each member. A `Registry` may grow later.
        joined: the separator that may join several names, such as +.
        weighted: whether a name may have a weight, a number > 0 after a colon.
        form: a regular expression that the whole text must match, and an example of such a text.
        none: text for None, besides "none", if the type allows None.
        pattern: whether one regular expression may replace a tuple's names.
        more: further metadata.
    """
    known = {"help": help, "low": low, "high": high, "choices": choices, "joined": joined, "none": none}
    return field(default=default, metadata={**known, "weighted": weighted, "form": form, "pattern": pattern, **more})


_PLAIN = option(None, "").metadata  # the defaults for a field that `option` did not make


@functools.cache
def _options(config_class: type) -> dict[str, SimpleNamespace]:
    """Return each option by name: the arguments of `option`, its type `kind`, and whether it is `optional`."""
    hints, found = typing.get_type_hints(config_class), {}
    for item in fields(config_class):
        hint = hints[item.name]
        members = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
        kind = next(member for member in members if member is not type(None))
        known = {"kind": typing.get_origin(kind) or kind, "optional": type(None) in members}
        found[item.name] = SimpleNamespace(**{**_PLAIN, **item.metadata, **known})
    return found


def value_type(config_class: type, name: str) -> tuple[Any, bool]:
    """Return the type of an option (int, float, bool, str or tuple) and whether it may be None."""
    about = _options(config_class)[name]
    return about.kind, about.optional


def problems_of(config: Any) -> list[str]:
    """Return one sentence per wrong option of a dataclass instance."""
    options = _options(type(config)).items()
    return [f"{name}: {problem}" for name, about in options if (problem := _problem(about, getattr(config, name)))]


def _problem(about: SimpleNamespace, value: Any) -> str | None:
    kind = about.kind
    if value is None and about.optional:
        return None
    accepted = (int, float) if kind is float else kind
    if not isinstance(value, accepted) or (isinstance(value, bool) and kind is not bool):
        return _sentence(about, value)
    value = cast(Any, value)  # type checkers do not follow `kind`
    if kind in (int, float):
        inside = (about.low is None or about.low <= value) and (about.high is None or value <= about.high)
        is_finite = kind is int or abs(value) <= sys.float_info.max  # as a float, too
        return None if inside and is_finite else _sentence(about, value)
    if kind is str and not is_text(value):
        return "expected text in UTF-8, got other bytes"
    if kind is str and "\0" in value:
        return "expected text, got a zero byte in it"
    if about.form and not re.fullmatch(about.form[0], value):
        return _sentence(about, value)
    if kind is tuple and (not value or len(set(value)) < len(value)):
        return _sentence(about, value)
    if about.pattern and is_pattern(value):
        try:
            re.compile(value[0])
        except re.error as error:
            return f"expected a regular expression, got {quoted(value[0])}: {error}"
        return None
    if not about.choices:
        return None
    names = value if kind is tuple else value.split(about.joined) if about.joined else (value,)
    if about.weighted:
        names, weights = [name.partition(":")[0] for name in names], [name.partition(":")[1:] for name in names]
        if wrong := [f"{colon}{weight}" for colon, weight in weights if colon and not _is_weight(weight)]:
            return f'expected a weight > 0 after the colon, such as "{names[0]}:0.1", got {quoted(wrong[0])}'
    strange = next((name for name in names if name not in about.choices), None)
    return None if strange is None else _sentence(about, strange)


def is_pattern(names: tuple[str, ...]) -> bool:
    """Say whether a tuple is one regular expression: a text that cannot be a name."""
    return len(names) == 1 and isinstance(names[0], str) and re.fullmatch(r"\w*", names[0]) is None


def _is_weight(text: str) -> bool:
    try:
        return 0 < float(text) < math.inf
    except ValueError:
        return False


def _sentence(about: SimpleNamespace, value: Any) -> str:
    """Return `expected ..., got ...`, with the nearest choice if there are choices."""
    near = nearest(value, about.choices) if isinstance(value, str) else None
    hint = f'; did you mean "{near}"?' if near not in (None, value) else ""
    return f"expected {_expected(about)}, got {quoted(value)}{hint}"


def _expected(about: SimpleNamespace) -> str:
    low, high = about.low, about.high
    text = f'text such as "{about.form[1]}"' if about.form else _NAMES[about.kind]
    if about.choices:
        text = f"one of {', '.join(sorted(about.choices))}"
        if about.joined:
            text += f", or several joined by {_SEPARATORS.get(about.joined, about.joined)}"
        elif about.kind is tuple:
            pattern = ", a regular expression in double quotes" if about.pattern else ""
            text += f"{pattern}, or several joined by /, each once"
    elif low is not None and high is not None:
        text += f" from {low:g} to {high if about.kind is int else format(high, 'g')}"
    elif low is not None:
        text += f" >= {low:g}"
    elif high is not None:
        text += f" <= {high:g}"
    return f'{text} or "{about.none}"' if about.optional else text


def quoted(value: Any) -> str:
    """Return a value for error sentences: text in double quotes, other values as in YAML."""
    if isinstance(value, str):
        return f'"{value if len(value) <= _LONGEST_SHOWN else value[:_LONGEST_SHOWN] + "..."}"'
    if isinstance(value, tuple) and all(isinstance(member, str) for member in value):
        return f'"{"/".join(value)}"'
    if value is None or isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int) and abs(value) > 10**_LONGEST_SHOWN:
        return "a longer number"  # Python itself refuses to write one of 4,300 digits
    return repr(value)


def parse_option(config_class: type, name: str, value: Any) -> Any:
    """Turn text, or a YAML value, into the type of the option `name`; tuples are written a/b/c.

    Any other value is returned unchanged (a whole number as a float, if the option is one): the config checks it when
    it is created. Raise ConfigError for text that is not a value of the option's type.
    """
    about = _options(config_class)[name]
    if value is None or (about.optional and value in ("none", "null", about.none)):
        return None
    try:
        if not isinstance(value, str):
            is_whole = isinstance(value, int) and not isinstance(value, bool)
            return float(value) if about.kind is float and is_whole else value
        return _READERS[about.kind](value)
    except (ValueError, KeyError, OverflowError) as error:
        raise ConfigError(f"{name}: {_sentence(about, value)}") from error


def unquote(name: str, text: str) -> str:
    """Unquote text in double quotes, the value of the option `name`; raise ConfigError if the quotes do not match."""
    try:
        return json.loads(text)
    except ValueError as error:
        raise ConfigError(f"{name}: expected text in double quotes, got {text}") from error


def split_unquoted(text: str, separator: str, maxsplit: int = 0) -> list[str]:
    """Split `text` at `separator` where it is not in double quotes."""
    pieces = [""]
    for token in re.findall(r'"(?:[^"\\]|\\.)*"|.', text, flags=re.DOTALL):
        if token == separator and (not maxsplit or len(pieces) <= maxsplit):
            pieces.append("")
        else:
            pieces[-1] += token
    return pieces


def format_option(value: Any) -> str:
    """Return an option's value as text, in the form of an adapter's spec."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return json.dumps(value[0], ensure_ascii=False) if is_pattern(value) else "/".join(value)
    if isinstance(value, str) and (_SPECIAL & set(value) or value != value.strip() or value in ("", "none", "null")):
        return json.dumps(value, ensure_ascii=False)
    return str(value)


class Registry(Mapping[str, Any]):
    """A table of names: built-in names, and names that `add` and `put` set.

    A built-in value may be text, `module:attribute`. It is imported at its first use, so that the names are known
    without torch. Added names are known only to this process; the workers of a grid run its plug-ins. Error sentences
    call a name `what`, such as "adapter".
    """

    all: ClassVar[list["Registry"]] = []

    def __init__(self, what: str, built_in: Mapping[str, Any], *, dashes: bool = False) -> None:
        self.what, self._dashes = what, dashes
        self._built_in = dict(built_in)
        self._all: Mapping[str, Any] = self._built_in  # replaced as a whole, so that `changing` can take it back
        Registry.all.append(self)

    @property
    def state(self) -> Mapping[str, Any]:
        """The table of names; another object after each change."""
        return self._all

    def added(self, name: str) -> Any | None:
        """Return what was added under a name to this process, or None for a name that is unknown or built in."""
        found = self._all.get(name)
        return None if found is self._built_in.get(name) else found

    def add(self, name: str, found: Any, *, replace: bool = False) -> None:
        """Add `found` as `name`. Raise ConfigError if the name is taken, unless `replace` is set.

        Names have only letters, digits and underscores, so that they can be joined by + and lists split at commas.
        """
        if not isinstance(name, str) or not re.fullmatch(f"[A-Za-z][A-Za-z0-9_{'-' * self._dashes}]*", name):
            expected = f"a name of letters, digits{', dashes' * self._dashes} and underscores that begins with a letter"
            raise ConfigError(f"{self.what}: expected {expected}, got {quoted(name)}")
        if name in self._built_in:
            raise ConfigError(f'{self.what}: "{name}" is built in: choose another name')
        if name in self._all and not replace:
            raise ConfigError(
                f'{self.what}: "{name}" is registered already: choose another name, or register it with replace=True'
            )
        self.put(name, found)

    def put(self, name: str, found: Any) -> None:
        """Set a name, even a built-in one."""
        self._all = {**self._all, name: found}

    @classmethod
    @contextlib.contextmanager
    def changing(cls) -> Iterator[None]:
        """Restore all registries if the body fails."""
        before = {id(one): one._all for one in cls.all}
        try:
            yield
        except BaseException:
            for one in cls.all:
                one._all = before.get(id(one), one._built_in)
            raise

    def __getitem__(self, name: str) -> Any:
        found = self._all[name]
        if not isinstance(found, str):
            return found
        module, _, attribute = found.partition(":")
        return getattr(import_module(module), attribute)

    def __contains__(self, name: object) -> bool:  # without importing the object
        return name in self._all

    def __iter__(self) -> Iterator[str]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)
