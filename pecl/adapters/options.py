"""Options of adapter configs: declared with help and range, checked when a config is made, written and read as text."""

from __future__ import annotations

import json
import math
import types
import typing
from dataclasses import Field, field, fields
from typing import Any

from pecl.errors import ConfigError, unknown

_SPECIAL = set(',+="\\/:')  # characters with a meaning in a spec; text that has one is quoted


def option(
    default: Any, help: str, *, low: float | None = None, high: float | None = None, choices: tuple[str, ...] = ()
) -> Any:
    """Return a dataclass field: its default, what it means, its range (both ends allowed) or its choices."""
    return field(default=default, metadata={"help": help, "low": low, "high": high, "choices": choices})


def value_type(config_class: type, name: str) -> tuple[Any, bool]:
    """Return the type of an option (int, float, bool, str or tuple) and whether it may be None."""
    hint = typing.get_type_hints(config_class)[name]
    members = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    kind = next(member for member in members if member is not type(None))
    return typing.get_origin(kind) or kind, type(None) in members


def problems_of(config: Any) -> list[str]:
    """Return what is wrong with the options of `config`, a sentence each; empty when all is well."""
    return [problem for item in fields(config) for problem in _problems(config, item)]


def _problems(config: Any, item: Field[Any]) -> list[str]:
    value = getattr(config, item.name)
    kind, optional = value_type(type(config), item.name)
    if value is None and optional:
        return []
    accepted = (int, float) if kind is float else kind
    if not isinstance(value, accepted) or (isinstance(value, bool) and kind is not bool):
        return [f"{item.name} is {value!r}, expected {'a tuple of names' if kind is tuple else kind.__name__}"]
    return _range_problems(item, value) if kind in (int, float) else _choice_problems(item, kind, value)


def _choice_problems(item: Field[Any], kind: type, value: Any) -> list[str]:
    members = value if kind is tuple else (value,)
    problems = [f"{item.name}: {unknown('value', m, c)}" for m in members if (c := _choices(item)) and m not in c]
    if kind is tuple and (not value or len(set(value)) < len(value)):
        problems.append(f"{item.name} is {'/'.join(value)!r}, expected at least one name, each once")
    return problems


def _choices(item: Field[Any]) -> tuple[str, ...]:
    return item.metadata.get("choices", ())


def _range_problems(item: Field[Any], value: Any) -> list[str]:
    low, high = item.metadata.get("low"), item.metadata.get("high")
    if math.isfinite(value) and (low is None or value >= low) and (high is None or value <= high):
        return []
    expected = f"{'' if low is None else low} to {high}" if high is not None else f"at least {low}"
    return [f"{item.name} is {value}, expected {expected}"]


def parse_option(config_class: type, name: str, text: str) -> Any:
    """Read the value of option `name` from `text`; tuples are written a/b/c, None as `none`.

    Raises:
        ConfigError: there is no such option, or the text is no value of its type.
    """
    names = [item.name for item in fields(config_class)]
    if not names:
        raise ConfigError(f"{config_class.kind} takes no options, got {name!r}")
    if name not in names:
        raise ConfigError(f"{config_class.kind}: {unknown('option', name, names)}")
    kind, optional = value_type(config_class, name)
    if optional and text == "none":
        return None
    if kind is tuple:
        return tuple(text.split("/"))
    if kind is bool:
        if text not in ("true", "false"):
            raise ConfigError(f"{config_class.kind}: {name} is {text!r}, expected true or false")
        return text == "true"
    if kind is str:
        return _unquote(config_class, name, text)
    try:
        return kind(text)
    except ValueError as error:
        raise ConfigError(f"{config_class.kind}: {name} is {text!r}, expected {kind.__name__}") from error


def _unquote(config_class: type, name: str, text: str) -> str:
    if not text.startswith('"'):
        return text
    try:
        return json.loads(text)
    except ValueError as error:
        raise ConfigError(f"{config_class.kind}: {name} is {text}, expected text in double quotes") from error


def format_option(value: Any) -> str:
    """Write an option's value as `parse_option` reads it."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return "/".join(value)
    if isinstance(value, str) and (_SPECIAL & set(value) or value != value.strip() or value in ("", "none")):
        return json.dumps(value, ensure_ascii=False)
    return str(value)
