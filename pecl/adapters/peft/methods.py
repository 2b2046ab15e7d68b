"""PEFT's methods by name: those that work on a text tower, and those that cannot, with the reason."""

import contextlib
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import fields
from importlib import import_module
from typing import Any

from pecl.errors import ConfigError, install, one_line, setting, unknown

# What PEFT raises for options that do not fit each other or the model
PEFT_ERRORS = (
    *(ValueError, TypeError, KeyError, AttributeError, AssertionError, RuntimeError, ImportError),
    ArithmeticError,
)
UNKNOWN_STEPS = 10**9
_FILLED = {"total_step": UNKNOWN_STEPS, "progressbar": False}

# Methods that cannot work on a text tower: the reason, and engine and kind of the nearest adapter that can
REFUSED: dict[str, tuple[str, str, str]] = {
    "adaption_prompt": ("changes the attention of LLaMA, Mistral and GPT-2 only", "pecl", "prefix"),
    "cartridge": ("trains the cache of a decoder", "pecl", "prefix"),
    "cpt": ("is for causal language models only", "pecl", "soft_prompt"),
    "lily": (
        "averages its router over all tokens of a batch, so an embedding would depend on the other texts",
        "peft",
        "lora",
    ),
    "multitask_prompt_tuning": (
        "puts a prompt into the pass of a whole model of PEFT",
        "pecl",
        "soft_prompt",
    ),
    "p_tuning": ("puts a prompt into the pass of a whole model of PEFT", "pecl", "soft_prompt"),
    "poly": ("needs the number of a task with each text", "peft", "lora"),
    "prefix_tuning": ("trains the cache of a decoder", "pecl", "prefix"),
    "prompt_tuning": ("puts a prompt into the pass of a whole model of PEFT", "pecl", "soft_prompt"),
    "shadow": ("runs a second model beside a causal language model", "pecl", "bottleneck"),
    "xlora": ("mixes trained adapters of a causal language model", "peft", "lora"),
}
# Methods of PEFT 0.21 that were tried on every family of text towers; others are tried on two texts when attached
TRIED = frozenset(
    {
        *("adalora", "adamss", "beft", "boft", "c3a", "deft", "delora", "fourierft", "frod", "glora", "gralora"),
        *("hira", "hra", "ia3", "ln_tuning", "loha", "lokr", "lora", "miss", "oft", "osf", "peanut", "psoft"),
        *("pvera", "randlora", "road", "shira", "supertuning", "tinylora", "trainable_tokens", "unilora", "vblora"),
        *("vera", "waveft"),
    }
)


def import_peft() -> Any:
    """Return PEFT. Raise ConfigError with the install command if it cannot be imported."""
    try:
        with quiet():
            return import_module("peft")
    except ImportError as error:
        raise ConfigError(f"engine peft: PEFT cannot be imported ({error}): {install('peft')}") from error


def config_classes() -> dict[str, Any]:
    """Return PEFT's config class of each registered method, by name in lower case."""
    mapping = import_peft().PEFT_TYPE_TO_CONFIG_MAPPING
    return {getattr(kind, "value", str(kind)).lower(): config_class for kind, config_class in mapping.items()}


def method_names() -> list[str]:
    """Return the names of PEFT's methods that work on a text tower."""
    return sorted(config_classes().keys() - REFUSED.keys())


def config_class_of(method: str) -> Any:
    """Return PEFT's config class of a method. Raise ConfigError for an unknown one, or one that cannot work."""
    classes = config_classes()
    if method in REFUSED:
        reason, engine, adapter = REFUSED[method]
        nearest = setting(engine=engine, adapter=adapter)
        raise ConfigError(f"engine peft: {method} {reason}, so it does not work here: use {nearest}")
    if method not in classes:
        raise ConfigError(f"engine peft: {unknown('method', method, method_names())}")
    return classes[method]


def peft_config(method: str, values: Mapping[str, Any]) -> Any:
    """Return PEFT's config of a method with `values`; raise ConfigError with PEFT's own reason for wrong ones.

    The number of steps, which AdaLoRA needs, is not known before a training: it is a large one until then.
    """
    config_class = config_class_of(method)
    names = {field.name for field in fields(config_class)}
    filled = {name: value for name, value in _FILLED.items() if name in names}
    try:
        with quiet():
            return config_class(**{**filled, **values})
    except PEFT_ERRORS as error:
        raise ConfigError(f"engine peft: {method}: {one_line(error)}") from error


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence PEFT's warnings within the body: options that it ignores, and what it fills in itself."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
