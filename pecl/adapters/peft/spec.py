"""Specs of the engine peft: `vera:r=64`, `lora:use_dora=true,r=4+head`. Options are those of PEFT's config classes.

One part is a method of PEFT. `head` and `word_embeddings`, which are pecl's own, can be joined to it. Modules are
named by pecl's roles, and `layers=top-K` keeps the topmost layers, as in pecl's kinds. Lists are written a/b/c, and
objects as JSON in double quotes.
"""

import json
import typing
from dataclasses import replace
from typing import Any

from pecl.adapters.kind import AdapterConfig
from pecl.adapters.peft.method import PeftMethod, to_options
from pecl.adapters.peft.methods import method_names
from pecl.adapters.peft.options import check_options, expected_of, members_of, option_types, origin_of
from pecl.adapters.spec import KINDS, in_order, parse_part, split_part
from pecl.errors import ConfigError, setting, unknown
from pecl.options import quoted, split_unquoted, unquote

JOINED = ("head", "word_embeddings")  # kinds of pecl that can be joined to a method of PEFT
_WORDS = {"true": True, "false": False}


def parse_adapter(spec: str, rank: int | None = None, layers: str | None = None) -> tuple[AdapterConfig, ...]:
    """Return the configs that `spec` names: a method of PEFT, and perhaps a head and word embeddings.

    Args:
        spec: for example `vera:r=64` or `lora:use_dora=true,r=4+head`.
        rank: the option r of the method instead of its own.
        layers: topmost layers, such as `top-3`, instead of the method's own.

    Raises:
        ConfigError: PEFT is missing, or the spec has an unknown name, option or value (the valid ones are named).

    Example:
        >>> parse_adapter("vera:r=64+head:rank=8")
        (PeftMethod(method='vera', options='{"r": 64}', layers=None), HeadConfig(rank=8, lr_scale=1.0))
    """
    methods: list[PeftMethod] = []
    joined: dict[str, AdapterConfig] = {}
    for part in split_unquoted(spec, "+"):
        name, options = split_part(part)
        if name in joined or any(name == method.name for method in methods):
            raise ConfigError(f"expected each part once, got {name} twice in {quoted(spec)}", field="adapter")
        if name in JOINED:
            joined[name] = parse_part(part)[0][0]
        elif name in KINDS and name not in method_names():
            expected = f"expected one of PEFT's methods, with {' and '.join(JOINED)} or without"
            raise ConfigError(f"engine peft: {expected}, got {name}: use {setting(engine='pecl')}")
        else:
            methods.append(_parse_method(name, options))

    if len(methods) != 1:
        names = " and ".join(method.name for method in methods) or "none"
        raise ConfigError(f"engine peft: expected one of PEFT's methods, such as lora, got {names} in {quoted(spec)}")
    (method,) = methods
    if rank is not None:
        method = _parse_method(method.name, {**method.given(), "r": str(rank)})
    if layers is not None:
        method = replace(method, layers=layers)

    if method.trains_words and "word_embeddings" in joined:
        raise ConfigError(f"engine peft: {method.name} and word_embeddings exclude each other: both train the words")
    return in_order([method, *joined.values()])


def _parse_method(name: str, options: dict[str, str]) -> PeftMethod:
    """Return a method of PEFT with checked options."""
    types_by_option = option_types(name)
    values = dict[str, Any]()
    for option, text in options.items():
        if option == "layers":
            continue
        if option not in types_by_option:
            raise ConfigError(f"{name}: {unknown('option', option, [*types_by_option, 'layers'])}")
        values[option] = _read(name, option, types_by_option[option], text)

    check_options(name, values)
    return PeftMethod(name, to_options(values), options.get("layers"))


def _read(method: str, option: str, kind: Any, text: str) -> Any:
    """Return the value of an option from its text. Raise ConfigError if it is not of the option's type."""
    plain = unquote(option, text) if text.startswith('"') else text
    for member in members_of(kind):
        try:
            return _value(member, plain)
        except (ValueError, KeyError, TypeError):
            continue
    raise ConfigError(f"{method}: {option}: expected {expected_of(option, kind)}, got {quoted(plain)}")


def _value(kind: Any, text: str) -> Any:
    """Return a value of one type; raise ValueError, KeyError or TypeError for text of another."""
    origin = origin_of(kind)
    if origin is type(None):
        return {"none": None, "null": None}[text]
    if origin is bool:
        return _WORDS[text.lower()]
    if origin is typing.Literal:
        return text  # `check_options` knows the choices
    if origin is dict:
        return _json_object(text)
    if origin is list:
        (member,) = typing.get_args(kind) or (str,)
        return [_value(member, part) for part in text.split("/")]

    value = origin(text)
    if origin is float and not abs(value) < float("inf"):
        raise ValueError(text)
    return value


def _json_object(text: str) -> dict[str, Any]:
    value = json.loads(text)
    if not isinstance(value, dict):
        raise ValueError(text)
    return value
