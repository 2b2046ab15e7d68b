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
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from importlib import import_module
from typing import Any, ClassVar

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
_UNFILLED: Any = object()  # value of a built-in name whose package is not imported yet
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
    **extra: Any,
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
        extra: further metadata.
    """
    metadata: dict[str, Any] = {"help": help, "low": low, "high": high, "choices": choices, "joined": joined}
    metadata |= {"weighted": weighted, "form": form, "none": none, "pattern": pattern}
    return field(default=default, metadata={**metadata, **extra})


@dataclass(frozen=True)
class _Rule:
    """What a value of an option must be: its type, and the arguments of `option` that restrict it."""

    name: str
    kind: type  # int, float, bool, str or tuple
    optional: bool  # whether it may be None
    low: float | None = None
    high: float | None = None
    choices: Collection[str] = ()
    joined: str = ""
    weighted: bool = False
    form: tuple[str, str] | None = None
    none: str = "none"
    pattern: bool = False


@functools.cache
def _rules(config_class: type) -> dict[str, _Rule]:
    """Return the rule of each option by the option's name."""
    hints = typing.get_type_hints(config_class)
    rules = {}
    for config_field in fields(config_class):
        rules[config_field.name] = _make_rule(config_field.name, hints[config_field.name], config_field.metadata)
    return rules


def _make_rule(name: str, hint: Any, metadata: Mapping[str, Any]) -> _Rule:
    members = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    kind = next(member for member in members if member is not type(None))

    known = {rule_field.name for rule_field in fields(_Rule)}  # metadata has more, such as the help
    arguments = {key: value for key, value in metadata.items() if key in known}
    arguments |= {"name": name, "kind": typing.get_origin(kind) or kind, "optional": type(None) in members}
    return _Rule(**arguments)


def value_type(config_class: type, name: str) -> tuple[Any, bool]:
    """Return the type of an option (int, float, bool, str or tuple) and whether it may be None."""
    rule = _rules(config_class)[name]
    return rule.kind, rule.optional


def problems_of(config: Any) -> list[ConfigError]:
    """Return one error per wrong option of a dataclass instance."""
    found = (_problem(rule, getattr(config, name)) for name, rule in _rules(type(config)).items())
    return [problem for problem in found if problem is not None]


def _problem(rule: _Rule, value: Any) -> ConfigError | None:
    """Return what is wrong with the value of an option, or None."""
    if value is None:
        return None if rule.optional else _mismatch(rule, value)
    if not _has_type(value, rule.kind):
        return _mismatch(rule, value)

    if rule.kind in (int, float):
        return _number_problem(rule, value)
    if rule.kind is str:
        return _text_problem(rule, value)
    if rule.kind is tuple:
        return _names_problem(rule, value)
    return None


def _has_type(value: Any, kind: type) -> bool:
    """Return whether a value is of the type `kind`: a whole number is a float, too, and a bool is no number."""
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, (int, float) if kind is float else kind)


def _number_problem(rule: _Rule, value: float) -> ConfigError | None:
    is_in_range = (rule.low is None or rule.low <= value) and (rule.high is None or value <= rule.high)
    # not NaN or infinite; a whole number can also be too large for a float
    is_finite = rule.kind is int or abs(value) <= sys.float_info.max
    return None if is_in_range and is_finite else _mismatch(rule, value)


def _text_problem(rule: _Rule, value: str) -> ConfigError | None:
    if not is_text(value):
        return ConfigError("expected text in UTF-8, got other bytes", field=rule.name)
    if "\0" in value:
        return ConfigError("expected text, got a zero byte in it", field=rule.name)
    if rule.form and not re.fullmatch(rule.form[0], value):
        return _mismatch(rule, value)
    return _choice_problem(rule, value.split(rule.joined) if rule.joined else [value])


def _names_problem(rule: _Rule, names: tuple[str, ...]) -> ConfigError | None:
    if not names or len(set(names)) < len(names):
        return _mismatch(rule, names)

    if rule.pattern and is_pattern(names):
        try:
            re.compile(names[0])
        except (re.error, OverflowError, RecursionError) as error:
            return ConfigError(f"expected a regular expression, got {quoted(names[0])}: {error}", field=rule.name)
        return None

    return _choice_problem(rule, [name for name in names if not (rule.pattern and is_path(name))])


def _choice_problem(rule: _Rule, names: Sequence[str]) -> ConfigError | None:
    """Return what is wrong with names that must be among the choices, if there are choices."""
    if not rule.choices:
        return None

    if rule.weighted:
        parts = [name.partition(":") for name in names]
        names = [name for name, _, _ in parts]
        for _, colon, weight in parts:
            if colon and not _is_weight(weight):
                expected = f'a weight > 0 after the colon, such as "{names[0]}:0.1"'
                return ConfigError(field=rule.name, expected=expected, got=quoted(f"{colon}{weight}"))

    for name in names:
        if name not in rule.choices:
            return _mismatch(rule, name)
    return None


def is_pattern(names: tuple[str, ...]) -> bool:
    """Return whether a tuple is one regular expression: a text that can be neither a name nor a path."""
    return len(names) == 1 and isinstance(names[0], str) and re.fullmatch(r"[\w.]*", names[0]) is None


def is_path(name: object) -> bool:
    """Return whether a text is the path of a module in a tower, such as `backbone.encoder.layer.0.output.dense`."""
    return isinstance(name, str) and re.fullmatch(r"\w+(\.\w+)+", name) is not None


def _is_weight(text: str) -> bool:
    try:
        return 0 < float(text) < math.inf
    except ValueError:
        return False


def _mismatch(rule: _Rule, value: Any) -> ConfigError:
    """Return the error for a value that is not what an option accepts, with the nearest choice if there are choices."""
    near = nearest(value, rule.choices) if isinstance(value, str) else None
    got = quoted(value)
    return ConfigError(field=rule.name, expected=_expected(rule), got=got, nearest=None if near == value else near)


def _expected(rule: _Rule) -> str:
    """Return what an option accepts, None included."""
    text = _expected_choices(rule) if rule.choices else _expected_type(rule)
    return f'{text} or "{rule.none}"' if rule.optional else text


def _expected_choices(rule: _Rule) -> str:
    text = f"one of {', '.join(sorted(rule.choices))}"
    if rule.joined:
        return f"{text}, or several joined by {_SEPARATORS.get(rule.joined, rule.joined)}"
    if rule.kind is not tuple:
        return text

    if rule.pattern:
        text += ", paths of layers, a regular expression in double quotes"
    return f"{text}, or several joined by /, each once"


def _expected_type(rule: _Rule) -> str:
    """Return the type with its range, or an example of the text."""
    text = f'text such as "{rule.form[1]}"' if rule.form else _NAMES[rule.kind]
    if rule.low is not None and rule.high is not None:
        # in full for whole numbers: `g` rounds large ones
        high = rule.high if rule.kind is int else f"{rule.high:g}"
        return f"{text} from {rule.low:g} to {high}"
    if rule.low is not None:
        return f"{text} >= {rule.low:g}"
    if rule.high is not None:
        return f"{text} <= {rule.high:g}"
    return text


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
    rule = _rules(config_class)[name]
    if value is None or (rule.optional and value in ("none", "null", rule.none)):
        return None

    try:
        if isinstance(value, str):
            return _READERS[rule.kind](value)
        is_whole_number = isinstance(value, int) and not isinstance(value, bool)
        return float(value) if rule.kind is float and is_whole_number else value
    except (ValueError, KeyError, OverflowError) as error:
        raise _mismatch(rule, value) from error


def check_option(config_class: type, name: str, value: Any) -> None:
    """Raise ConfigError if a value, or its text, is wrong for the option `name`, whatever the other options are."""
    problem = _problem(_rules(config_class)[name], parse_option(config_class, name, value))
    if problem is not None:
        raise problem


def unquote(name: str, text: str) -> str:
    """Unquote text in double quotes, the value of the option `name`; raise ConfigError if the quotes do not match."""
    try:
        return json.loads(text)
    except ValueError as error:
        raise ConfigError(field=name, expected="text in double quotes", got=text) from error


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

    A built-in value may be text, `module:attribute`, which is imported at its first use. If `built_in` has only names,
    the package of their values calls `fill` when it is imported: configs check names without torch. Added names are
    known only to this process; the workers of a grid run its plug-ins. Error messages call a name by its `kind`, such
    as "adapter".
    """

    all: ClassVar[list["Registry"]] = []

    def __init__(self, kind: str, built_in: Mapping[str, Any] | Sequence[str], *, dashes: bool = False) -> None:
        self.kind = kind
        self._dashes = dashes
        values = built_in if isinstance(built_in, Mapping) else dict.fromkeys(built_in, _UNFILLED)
        self._built_in: dict[str, Any] = dict(values)
        self._added: Mapping[str, Any] = {}  # replaced as a whole, so that `changing` can take it back
        Registry.all.append(self)

    def fill(self, values: Mapping[str, Any]) -> None:
        """Set the values of all built-in names. Raise KeyError for other names, or if one is missing."""
        if values.keys() != self._built_in.keys():
            raise KeyError(f"{self.kind}: expected values of {sorted(self._built_in)}, got {sorted(values)}")
        self._built_in.update(values)

    @property
    def state(self) -> Mapping[str, Any]:
        """The names that were added; another object after each change."""
        return self._added

    def added(self, name: str) -> Any | None:
        """Return what was added under a name to this process, or None for a name that is unknown or built in."""
        return self._added.get(name)

    def add(self, name: str, value: Any, *, replace: bool = False) -> None:
        """Add `value` as `name`. Raise ConfigError if the name is taken, unless `replace` is set.

        Names have only letters, digits and underscores, so that they can be joined by + and lists split at commas.
        """
        if not isinstance(name, str) or not re.fullmatch(f"[A-Za-z][A-Za-z0-9_{'-' * self._dashes}]*", name):
            expected = f"a name of letters, digits{', dashes' * self._dashes} and underscores that begins with a letter"
            raise ConfigError(f"{self.kind}: expected {expected}, got {quoted(name)}")

        if name in self._built_in:
            raise ConfigError(f'{self.kind}: "{name}" is built in: choose another name')
        if name in self._added and not replace:
            raise ConfigError(
                f'{self.kind}: "{name}" is registered already: choose another name, or register it with replace=True'
            )

        self.put(name, value)

    def put(self, name: str, value: Any) -> None:
        """Set a name, even a built-in one."""
        self._added = {**self._added, name: value}

    @classmethod
    @contextlib.contextmanager
    def changing(cls) -> Iterator[None]:
        """Restore all registries if the body fails."""
        before = {id(registry): registry._added for registry in cls.all}
        try:
            yield
        except BaseException:
            for registry in cls.all:
                registry._added = before.get(id(registry), {})
            raise

    def __getitem__(self, name: str) -> Any:
        value = self._added[name] if name in self._added else self._built_in[name]
        if value is _UNFILLED:
            raise TypeError(f"{self.kind} {name}: the package that fills this table is not imported")
        if not isinstance(value, str):
            return value

        module, _, attribute = value.partition(":")
        return getattr(import_module(module), attribute)

    def __contains__(self, name: object) -> bool:  # without importing the object
        return name in self._added or name in self._built_in

    def __iter__(self) -> Iterator[str]:
        return iter({**self._built_in, **self._added})

    def __len__(self) -> int:
        return len({**self._built_in, **self._added})
