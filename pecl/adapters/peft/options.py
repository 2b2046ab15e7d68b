"""The options of PEFT's methods that pecl lets in: the only way from a spec, a file or a folder to PEFT's config.

PEFT's config classes also have fields that name modules to import, files, models of a hub, or regular expressions that
may run for hours. `option_types` has none of them: a field is an option if its type is numbers or fixed choices, or if
a table here names it. `check_options` is called again whenever a method is put on a tower, whatever its source.
"""

import re
import sys
import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any

from pecl.adapters.kind import LINEAR_ROLES, NORM_ROLES
from pecl.adapters.peft.methods import config_class_of, peft_config
from pecl.errors import ConfigError, one_line, unknown
from pecl.options import format_option, is_path, is_pattern, quoted

WORDS = "word_embeddings"  # the role of the tower's word embeddings
ROLE_NAMES = (*LINEAR_ROLES, *NORM_ROLES, WORDS)
TOKENS = "tokens"  # option of trainable_tokens: how many of the most frequent tokens of the training text it trains
# Options of PEFT whose values are roles here, and paths of modules in PEFT
ROLES = ("target_modules", "feedforward_modules", "modules_to_save")
# Fields of simple types that are not options here: pecl sets them, or has its own (`layers`, `bitfit`)
_NO_OPTIONS = frozenset({"bias", "inference_mode", "layers_to_transform", "peft_type", "task_type"})
# Options of LoRA that AdaLoRA does not use: it has init_r and target_r, and chooses the pattern itself
INHERITED = {"adalora": ("r", "rank_pattern", "alpha_pattern", "lora_bias", "use_rslora")}
# Options that are text in PEFT, with their choices
_ACTIVATIONS = ("gelu", "gelu_new", "relu", "silu", "tanh", "sigmoid", "leaky_relu", "linear")
_TEXTS: dict[tuple[str, str], Any] = {
    ("peanut", "act_fn"): typing.Literal[_ACTIVATIONS],
    ("road", "variant"): typing.Literal["road_1", "road_2", "road_4"],
    ("tinylora", "init_weights"): bool | typing.Literal["uniform"],
    ("waveft", "wavelet_family"): typing.Literal["db1", "sym2", "coif1"],
}
_SIMPLE = (type(None), bool, int, float, typing.Literal)
_OPEN_CHOICES = {"pissa_niter_[number of iters]": "pissa_niter_"}  # a choice of PEFT with a number in it
_INITIAL_FROM_DATA = ("eva", "corda", "lora_ga")  # PEFT starts from random values where it has no data
# The largest whole numbers, by a part of an option's name; a rank, and whatever else is not here, is a size
_HIGHEST = {
    **dict.fromkeys(("seed", "prng_key"), 2**32 - 1),
    **dict.fromkeys(("tinit", "tfinal", "deltaT", "total_step", "warmup", "interval"), 10**9),
    **dict.fromkeys(("niter", "cayley_neumann_terms", "depth", "subspace"), 100),
    **dict.fromkeys((TOKENS, "token_indices", "n_frequency", "theta_d_length"), 2**24),
}
_HIGHEST_SIZE = 4096
_SCALES = ("alpha", "lambda")  # parts of names of options that are fractions in files, and whole numbers by their types
# Options that divide the widths of all layers; without a value they are the largest divisor of PEFT's own default
DIVISORS = {"c3a": "block_size", "road": "group_size", "vblora": "vector_length"}


def option_types(method: str) -> dict[str, Any]:
    """Return the type of each option of a method: those of PEFT's config class, and `tokens` of trainable_tokens."""
    config_class = config_class_of(method)
    try:
        hints = typing.get_type_hints(config_class)
    except (NameError, TypeError):  # a name that PEFT imports for type checkers only
        hints = {}

    options: dict[str, Any] = {}
    for name in (field.name for field in fields(config_class)):
        kind = _TEXTS.get((method, name), hints.get(name, str))
        if name not in _NO_OPTIONS.union(INHERITED.get(method, ())) and _is_option(name, kind):
            options[name] = kind
    return options | ({TOKENS: int} if method == "trainable_tokens" else {})


def _is_option(name: str, kind: Any) -> bool:
    """Return whether a field of PEFT's is an option: numbers, choices, roles, token ids, or numbers by module."""
    members = members_of(kind)
    if name in ROLES:
        return True
    if name.endswith("_pattern"):
        return any(origin_of(member) is dict for member in members)
    return name == "token_indices" or all(origin_of(member) in _SIMPLE for member in members)


def option_helps(method: str) -> dict[str, tuple[str, str]]:
    """Return the default and PEFT's help, in one sentence, of each option of a method."""
    option_kinds = option_types(method)
    helps = {}
    for field in fields(config_class_of(method)):
        if field.name in option_kinds:
            default = "" if field.default is MISSING else format_option(field.default)
            helps[field.name] = default, one_line(field.metadata.get("help", "")).partition(". ")[0]
    return helps


def check_options(method: str, values: Mapping[str, Any]) -> None:
    """Raise ConfigError unless values, as JSON has them, are options of a method and of their types and ranges."""
    kinds = option_types(method)
    for option, value in values.items():
        if option not in kinds:
            raise ConfigError(f"{method}: {unknown('option', option, [*kinds, 'layers'])}")
        if option in ROLES:
            _check_roles(method, option, value)
        elif option.endswith("_pattern"):
            _check_pattern(method, option, value)
        elif not any(_fits(option, member, value) for member in members_of(kinds[option])):
            raise ConfigError(f"{method}: {option}: expected {expected_of(option, kinds[option])}, got {quoted(value)}")

    if values.get(TOKENS, 1) < 1:
        raise ConfigError(f"{method}: {TOKENS}: expected a whole number >= 1, got {values[TOKENS]}")

    # PEFT's own class checks the values, too
    config = peft_config(method, {option: value for option, value in values.items() if option != TOKENS})
    _check_together(method, values, config)


def _check_roles(method: str, option: str, value: Any) -> None:
    """Raise ConfigError unless a value is roles or paths of modules, or one regular expression."""
    if value is None:
        return
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise ConfigError(f"{method}: {option}: expected names of modules, got {quoted(value)}")
    for name in () if is_pattern(tuple(value)) else value:
        if name not in ROLE_NAMES and not is_path(name):
            problem = unknown("role", name, ROLE_NAMES)
            raise ConfigError(f"{method}: {problem}, or a regular expression in double quotes")


def _check_pattern(method: str, option: str, value: Any) -> None:
    """Raise ConfigError unless a value is an object with numbers by names of modules: PEFT reads names as patterns."""
    if value is None:
        return
    if not isinstance(value, dict):
        raise ConfigError(f"{method}: {option}: expected numbers by names of modules, got {quoted(value)}")
    for name, number in value.items():
        if not is_literal(name):
            raise ConfigError(f"{method}: {option}: expected the name of a module, got {quoted(name)}")
        if not any(_fits(option, kind, number) for kind in (int, float)) or not number <= _highest(option):
            raise ConfigError(f"{method}: {option}: expected {_number(option)}, got {quoted(number)} for {name}")


def is_literal(name: str) -> bool:
    """Return whether a regular expression can only match its own characters, and any character at a dot."""
    return re.fullmatch(r"[\w.]+", name) is not None


def _check_together(method: str, values: Mapping[str, Any], config: Any) -> None:
    """Raise ConfigError for values that PEFT accepts, but that fail later or do not do here what they say."""
    initial = values.get("init_lora_weights")
    if initial in _INITIAL_FROM_DATA:
        raise ConfigError(
            f"{method}: init_lora_weights: expected initial values that need no data, such as pissa, got {initial}"
        )

    if method == "adalora" and config.target_r >= config.init_r:
        raise ConfigError(
            f"{method}: target_r: expected a rank below init_r, from which it cuts, got {config.target_r} "
            f"with init_r={config.init_r}"
        )

    divisor = DIVISORS.get(method, "")
    if values.get(divisor, 1) < 1:
        raise ConfigError(f"{method}: {divisor}: expected a whole number >= 1, got {values[divisor]}")

    if values.get("sample_at_inference"):
        raise ConfigError(
            f"{method}: sample_at_inference: expected false, since a text has one embedding here, got true"
        )


def _fits(option: str, kind: Any, value: Any) -> bool:
    """Return whether a value, as JSON has it, is of one type, finite and within the option's range."""
    origin = origin_of(kind)
    if origin is type(None):
        return value is None
    if origin is typing.Literal:
        return isinstance(value, str) and _choice(typing.get_args(kind), value) is not None
    if origin is list:
        return isinstance(value, list) and all(_fits(option, int, member) for member in value)
    if origin is bool or isinstance(value, bool):
        return origin is bool and isinstance(value, bool)
    if origin is int and not any(part in option for part in _SCALES):
        return isinstance(value, int) and 0 <= value <= _highest(option)
    return isinstance(value, int | float) and abs(value) <= sys.float_info.max


def _highest(option: str) -> float:
    """Return the largest value of a whole number."""
    if any(part in option for part in _SCALES):
        return sys.float_info.max
    return next((highest for part, highest in _HIGHEST.items() if part in option), _HIGHEST_SIZE)


def _choice(choices: tuple[str, ...], text: str) -> str | None:
    """Return a choice if it is one; `pissa_niter_16` is one, too, up to 100 steps."""
    for choice, start in _OPEN_CHOICES.items():
        if choice in choices and re.fullmatch(rf"{start}([1-9][0-9]?|100)", text):
            return text
    return text if text in choices and text not in _OPEN_CHOICES else None


def members_of(kind: Any) -> list[Any]:
    """Return the types that a type allows, the strictest first."""
    is_union = typing.get_origin(kind) in (typing.Union, types.UnionType)
    members = list(typing.get_args(kind)) if is_union else [kind]
    order: list[Any] = [type(None), bool, int, float, typing.Literal, dict, list, str]
    return sorted(members, key=lambda member: order.index(origin_of(member)) if origin_of(member) in order else 99)


def origin_of(kind: Any) -> Any:
    """Return the type without its arguments: `list` for `list[str]`."""
    return typing.get_origin(kind) or kind


def expected_of(option: str, kind: Any) -> str:
    """Return what an option of a type expects, for error sentences."""
    names = {bool: "true or false", str: "text", type(None): "none"}
    texts = []
    for member in members_of(kind):
        origin = origin_of(member)
        if origin is typing.Literal:
            texts.append(f"one of {', '.join(map(str, typing.get_args(member)))}")
        elif origin is list:
            texts.append("names joined by /")
        elif origin is int:
            texts.append(_number(option))
        elif origin is float:
            texts.append("a number")
        else:
            texts.append(names.get(origin, "JSON in double quotes"))
    return " or ".join(texts)


def _number(option: str) -> str:
    highest = _highest(option)
    return "a number" if highest == sys.float_info.max else f"a whole number from 0 to {highest}"
