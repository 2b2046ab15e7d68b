"""Specs of the engine peft: `vera:r=64`, `lora:use_dora=true,r=4+head`. Options are those of PEFT's config classes.

One part is a method of PEFT. `head` and `word_embeddings`, which are pecl's own, can be joined to it. Modules are
named by pecl's roles, and `layers=top-K` keeps the topmost layers, as in pecl's kinds. Lists are written a/b/c, and
objects as JSON in double quotes.
"""

import json
import types
import typing
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from pecl.adapters.kind import AdapterConfig
from pecl.adapters.peft.method import DIVISORS, ROLE_NAMES, ROLES, PeftMethod, to_options
from pecl.adapters.peft.methods import TOKENS, method_names, option_types, peft_config
from pecl.adapters.spec import KINDS, in_order, parse_part, split_part
from pecl.errors import ConfigError, unknown
from pecl.options import is_pattern, quoted, split_unquoted, unquote

JOINED = ("head", "word_embeddings")  # kinds of pecl that can be joined to a method of PEFT
_INITIAL_FROM_DATA = ("eva", "corda", "lora_ga")  # PEFT starts from random values where it has no data
_WORDS = {"true": True, "false": False}
_OPEN_CHOICES = {"pissa_niter_[number of iters]": "pissa_niter_"}  # a choice of PEFT with a number in it


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
            raise ConfigError(f"adapter: expected each part once, got {name} twice in {quoted(spec)}")
        if name in JOINED:
            joined[name] = parse_part(part)[0][0]
        elif name in KINDS and name not in method_names():
            expected = f"expected one of PEFT's methods, with {' and '.join(JOINED)} or without"
            raise ConfigError(f"engine peft: {expected}, got {name}: use --engine pecl")
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

    for option in ROLES:
        for role in values.get(option) or ():
            if role not in ROLE_NAMES and not is_pattern((role,)):
                problem = unknown("role", role, ROLE_NAMES)
                raise ConfigError(f"{name}: {problem}, or a regular expression in double quotes")
    if values.get(TOKENS, 1) < 1:
        raise ConfigError(f"{name}: {TOKENS}: expected a whole number >= 1, got {values[TOKENS]}")

    # PEFT's own class checks the values, too
    config = peft_config(name, {option: value for option, value in values.items() if option != TOKENS})
    _check_values(name, values, config)
    return PeftMethod(name, to_options(values), options.get("layers"))


def _check_values(name: str, values: dict[str, Any], config: Any) -> None:
    """Raise ConfigError for values that PEFT accepts, but that fail later or do not do here what they say."""
    initial = values.get("init_lora_weights")
    if initial in _INITIAL_FROM_DATA:
        raise ConfigError(
            f"{name}: init_lora_weights: expected initial values that need no data, such as pissa, got {initial}"
        )

    if name == "adalora" and config.target_r >= config.init_r:
        raise ConfigError(
            f"{name}: target_r: expected a rank below init_r, from which it cuts, got {config.target_r} "
            f"with init_r={config.init_r}"
        )

    divisor = DIVISORS.get(name, "")
    if values.get(divisor, 1) < 1:
        raise ConfigError(f"{name}: {divisor}: expected a whole number >= 1, got {values[divisor]}")

    if values.get("sample_at_inference"):
        raise ConfigError(f"{name}: sample_at_inference: expected false, since a text has one embedding here, got true")


def _read(method: str, option: str, kind: Any, text: str) -> Any:
    """Return the value of an option from its text. Raise ConfigError if it is not of the option's type."""
    plain = unquote(option, text) if text.startswith('"') else text
    for member in _members(kind):
        try:
            return _value(member, plain)
        except (ValueError, KeyError, TypeError):
            continue
    raise ConfigError(f"{method}: {option}: expected {_expected(kind)}, got {quoted(plain)}")


def _members(kind: Any) -> list[Any]:
    """Return the types that a type allows, the strictest first."""
    is_union = typing.get_origin(kind) in (typing.Union, types.UnionType)
    members = list(typing.get_args(kind)) if is_union else [kind]
    order: list[Any] = [type(None), bool, int, float, typing.Literal, dict, list, str]
    readable = [member for member in members if _origin(member) in order]
    return sorted(readable, key=lambda member: order.index(_origin(member)))


def _origin(kind: Any) -> Any:
    """Return the type without its arguments: `list` for `list[str]`."""
    return typing.get_origin(kind) or kind


def _value(kind: Any, text: str) -> Any:
    """Return a value of one type; raise ValueError, KeyError or TypeError for text of another."""
    origin = _origin(kind)
    if origin is type(None):
        return {"none": None, "null": None}[text]
    if origin is bool:
        return _WORDS[text.lower()]
    if origin is typing.Literal:
        return _choice(typing.get_args(kind), text)
    if origin is dict:
        return _json_object(text)
    if origin is list:
        (member,) = typing.get_args(kind) or (str,)
        return [_value(member, part) for part in text.split("/")]

    value = origin(text)
    if origin is float and not abs(value) < float("inf"):
        raise ValueError(text)
    return value


def _choice(choices: Sequence[Any], text: str) -> Any:
    by_text = {str(choice): choice for choice in choices}
    for choice, start in _OPEN_CHOICES.items():
        if choice in by_text and text.startswith(start):
            return text
    return by_text[text]


def _json_object(text: str) -> dict[str, Any]:
    value = json.loads(text)
    if not isinstance(value, dict):
        raise ValueError(text)
    return value


def _expected(kind: Any) -> str:
    """Return what an option of a type expects, for error sentences."""
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "text", type(None): "none"}
    texts = []
    for member in _members(kind):
        origin = _origin(member)
        if origin is typing.Literal:
            texts.append(f"one of {', '.join(map(str, typing.get_args(member)))}")
        elif origin is list:
            texts.append("names joined by /")
        else:
            texts.append(names.get(origin, "JSON in double quotes"))
    return " or ".join(texts) or "a value that only Python can give"
