"""Configs from text, YAML files and mappings, and back to YAML."""

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import yaml

from pecl.config.experiment import ExperimentConfig
from pecl.config.recipes import RECIPES
from pecl.config.spelling import one_spelling
from pecl.errors import ConfigError, not_none, raise_problems, suggest
from pecl.files import read_regular
from pecl.options import check_option, parse_option

FILES = Path(__file__).with_name("files")  # pecl's own configs, in an installed package, too


def make_config(values: Mapping[str, Any], where: str | None = "config") -> ExperimentConfig:
    """Return the config with `values` over the defaults, in one spelling for equal runs, see `one_spelling`.

    A recipe in `values` sets the fields that `values` lacks.

    Raises:
        ConfigError: unknown keys (the nearest is named) or wrong values, all at once; the sentence
            begins with `where`.
    """
    problems = []
    parsed = {}
    for key, value in values.items():
        try:
            name = _field_name(key)
            parsed[name] = parse_option(ExperimentConfig, name, value)
        except ConfigError as error:
            problems.append(error)

    if parsed.get("recipe") in RECIPES:
        parsed = {**RECIPES[parsed["recipe"]].values, **parsed}
        if parsed["recipe"] == parsed.get("route"):  # one run has one id
            parsed["recipe"] = None

    config = None
    try:
        config = ExperimentConfig(**one_spelling(parsed))
    except ConfigError as error:
        problems.append(error)

    raise_problems(problems, where)
    return not_none(config, "config")


def check_fields(values: Mapping[str, Any], where: str) -> None:
    """Check each value by itself, and each member of a list; `make_config` checks what several fields must be together.

    Raises:
        ConfigError: unknown keys or wrong values, all at once; the sentence begins with `where`.
    """
    problems = []
    for key, value in values.items():
        for choice in value if isinstance(value, list) else [value]:
            try:
                check_option(ExperimentConfig, _field_name(key), choice)
            except ConfigError as error:
                problems.append(error.keyed)

    if problems:
        raise ConfigError("; ".join(dict.fromkeys(problems)), place=where)


def _field_name(key: Any) -> str:
    """Return the field that a key names, with - or _. Raise ConfigError for an unknown key."""
    name = str(key).replace("-", "_")
    names = {field.name for field in fields(ExperimentConfig)}
    if name not in names:
        raise ConfigError(f"unknown key {key!r}{suggest(name, names)}")
    return name


def each_language(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return `values` once per language of a joint training, if they name no language; otherwise unchanged."""
    if values.get("joint") is None or "language" in values:
        return [dict(values)]
    return [{**values, "language": code} for code in str(values["joint"]).split("+")]


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Return the mapping that a YAML file holds; `batch-size` and `batch_size` are one key, the latter.

    Args:
        path: the file, or the name of one of pecl's own without `.yaml`, such as `distil_mini_lexicon`.

    Raises:
        ConfigError: the file is missing, no YAML (the line is named), no mapping, or names a key twice.
    """
    shipped = {file.stem: file for file in FILES.glob("*.yaml")}
    path = Path(path)
    try:
        if not path.is_file():
            path = shipped.get(str(path), path)
        text = read_regular(path).decode("utf-8")
        document = yaml.safe_load(text)
        node = yaml.compose(text)
    except OSError as error:
        hint = suggest(path.stem, shipped)
        raise ConfigError(f"cannot read config {path}: {error.strerror or error}{hint}") from error
    except (yaml.YAMLError, ValueError, ArithmeticError, RecursionError) as error:  # of dates, numbers and depth
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise ConfigError(f"{path}{line}: expected YAML: {problem}") from error

    if document is None:
        return {}
    if not isinstance(document, dict):
        raise ConfigError(f"{path}: expected keys and values, such as `language: de`, got a {type(document).__name__}")

    names: set[str] = set()
    for key_node, _ in node.value:
        name = key_node.value.replace("-", "_")
        if name in names:
            line = key_node.start_mark.line + 1
            raise ConfigError(f"{path}, line {line}: key {key_node.value!r} twice, expected once")
        names.add(name)

    return {str(key).replace("-", "_"): value for key, value in document.items()}
