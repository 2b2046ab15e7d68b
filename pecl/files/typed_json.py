"""Frozen dataclasses to JSON and back. Types are checked on the way in; what is wrong is named by its dotted path.

Field types may be str, int, float, bool, Any, Literal, `X | None`, `Mapping[str, X]`, `tuple[X, ...]`, other
dataclasses, and long lists: `Sequence[int]` and `Sequence[tuple[int, float]]`, read as the classes of `compact`. A
field's key in JSON is its name, or `metadata["key"]`; one with `metadata["json"]` False is not in it, and
`metadata["decode"]` reads one instead of its type. A field with a default may be missing, and is left out where it is
None and that is its default. A class with `from_json` and `to_json` of its own is read and written by them. Equal texts
become one object: thousands of results repeat the same names and checksums.
"""

from __future__ import annotations

import math
import sys
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import cache
from typing import Any

from pecl.files.compact import Numbers, Points

Decoder = Callable[[Any, str], Any]  # (value, dotted path of it) -> the same as its type has it

_NAMES = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}


class FieldError(ValueError):
    """A value is missing or of another type than its field; the message begins with the dotted path."""


def decode(kind: Any, value: Any, path: str = "") -> Any:
    """Return a JSON value as an instance of the type `kind`.

    Raises:
        FieldError: something is missing or of another type.
    """
    return _decoder(kind)(value, path)


def encode(value: Any) -> Any:
    """Return a value as JSON takes it: dataclasses and mappings as dicts, tuples as lists."""
    if is_dataclass(value):
        own = getattr(value, "to_json", None)
        return encode_fields(value) if own is None else own()
    if isinstance(value, Numbers):
        return list(value)
    if isinstance(value, Mapping):
        return {name: encode(one) for name, one in value.items()}
    if isinstance(value, (tuple, list, Points)):
        return [encode(one) for one in value]
    return value


def encode_fields(value: Any) -> dict[str, Any]:
    """Return the fields of a dataclass by their keys, without those that are None and may be missing."""
    found = [(item, getattr(value, item.name)) for item in fields(value) if item.metadata.get("json", True)]
    return {key_of(item): encode(one) for item, one in found if one is not None or item.default is not None}


def decode_fields(kind: type, values: Any, path: str = "") -> dict[str, Any]:
    """Return field name -> value of the dataclass `kind` from a JSON object; other keys are passed over.

    Raises:
        FieldError: as `decode`.
    """
    if not isinstance(values, dict):
        raise wrong(path, values, "an object")
    prefix = f"{path}." if path else ""
    found = {}
    for name, key, read, default in _fields(kind):
        if key in values:
            value = values[key]
            found[name] = None if default is None and value is None else read(value, f"{prefix}{key}")
        elif default is MISSING:
            raise FieldError(f"{prefix}{key} is missing")
    return found


def wrong(path: str, value: Any, expected: str) -> FieldError:
    """Return the error that says what a value is and what was expected."""
    return FieldError(f"{path} is {brief(value)}, expected {expected}")


def brief(value: Any) -> str:
    """Return how a message shows a value of JSON."""
    if value is None:
        return "null"
    return f"a {type(value).__name__}" if isinstance(value, (dict, list)) else repr(value)


def key_of(item: Field[Any]) -> str:
    """Return the key of a field in JSON."""
    return item.metadata.get("key", item.name)


@cache
def _fields(kind: type) -> list[tuple[str, str, Decoder, Any]]:
    """Return (name, key, decoder, default) of the fields of `kind` that JSON holds."""
    hints = typing.get_type_hints(kind)
    kept = [item for item in fields(kind) if item.metadata.get("json", True)]
    return [
        (item.name, key_of(item), item.metadata.get("decode") or _decoder(hints[item.name]), _default(item))
        for item in kept
    ]


def _default(item: Field[Any]) -> Any:
    """Return a field's default, MISSING where it has to be there."""
    return item.default if item.default_factory is MISSING else item.default_factory()


@cache
def _decoder(hint: Any) -> Decoder:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return lambda value, _: value
    if hint in _NAMES:
        return _scalar(hint)
    if origin in (types.UnionType, typing.Union):
        inner = _decoder(next(one for one in arguments if one is not type(None)))
        return lambda value, path: None if value is None else inner(value, path)
    if origin is typing.Literal:
        return _literal(arguments)
    if origin is tuple:
        return _list(_decoder(arguments[0]))
    if origin is Sequence:
        return _numbers if arguments == (int,) else _points
    if is_dataclass(hint):
        made = typing.cast(type, hint)
        return getattr(made, "from_json", None) or (lambda value, path: made(**decode_fields(made, value, path)))
    return _mapping(_decoder(arguments[1]))


def _scalar(kind: type) -> Decoder:
    accepted = {float: {int, float}}.get(kind, {kind})

    def read(value: Any, path: str) -> Any:
        if type(value) not in accepted or (kind is float and not math.isfinite(value)):
            raise wrong(path, value, _NAMES[kind])
        return sys.intern(value) if kind is str else value

    return read


def _literal(choices: tuple[Any, ...]) -> Decoder:
    def read(value: Any, path: str) -> Any:
        if value not in choices:
            raise wrong(path, value, f"one of {', '.join(choices)}")
        return value

    return read


def _numbers(value: Any, path: str) -> Numbers:
    if not isinstance(value, list) or set(map(type, value)) - {int}:
        raise wrong(path, value, "a list of whole numbers")
    try:
        return Numbers(value)
    except OverflowError:
        raise FieldError(
            f"{path} holds a whole number below 0 beside one of 64 bits, expected ranks or places"
        ) from None


def _points(value: Any, path: str) -> Points:
    """Read (step, value) pairs; values may be infinite or NaN."""
    if not isinstance(value, list):
        raise wrong(path, value, "a list")
    for i, one in enumerate(value):
        if not isinstance(one, list) or len(one) != 2 or type(one[0]) is not int or type(one[1]) not in (int, float):
            raise wrong(f"{path}.{i}", one, "a step and a number")
    try:
        return Points(value)
    except OverflowError:
        raise FieldError(f"{path} holds a step below 0 beside one of 64 bits") from None


def _list(each: Decoder) -> Decoder:
    def read(value: Any, path: str) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise wrong(path, value, "a list")
        return tuple(each(one, f"{path}.{i}") for i, one in enumerate(value))

    return read


def _mapping(each: Decoder) -> Decoder:
    def read(value: Any, path: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise wrong(path, value, "an object")
        return {sys.intern(name): each(one, f"{path}.{name}") for name, one in value.items()}

    return read
