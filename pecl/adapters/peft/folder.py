"""Folders that PEFT wrote with any of its methods, read as adapters of the engine peft."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, cast

import torch

from pecl.adapters.adapter import attach, check_finite
from pecl.adapters.formats.peft import CONFIG_FILE, WEIGHTS_FILE, read_weights, roles_of
from pecl.adapters.kind import LINEAR_ROLES, NORM_ROLES, AdapterConfig, architecture_of, paths_of
from pecl.adapters.peft.adapter import PeftAdapter
from pecl.adapters.peft.method import PeftMethod, to_options
from pecl.adapters.peft.methods import PEFT_ERRORS, config_class_of, import_peft, peft_config, quiet
from pecl.adapters.peft.options import INHERITED, ROLE_NAMES, ROLES, check_options, is_literal, option_types
from pecl.encoders.text import MultilingualTextEncoder
from pecl.errors import ConfigError, WeightsError, one_line
from pecl.files import load_json
from pecl.options import quoted

_PREFIX = "base_model.model."  # of the name of each tensor in PEFT's file
# Fields of PEFT's configs that select modules by their names; in a file, PEFT reads some of them as patterns
_SELECTING = (*ROLES, "exclude_modules", "layers_pattern", "layers_to_transform")
# Fields that do not change the embeddings of trained weights
_WITHOUT_EFFECT = frozenset(
    {
        *("auto_mapping", "base_model_name_or_path", "eva_config", "inference_mode", "peft_type", "peft_version"),
        *("revision", "task_type"),
    }
)
_NOTHING = (None, False, "none", [], {})  # values of any other field


def read_method(
    folder: Path, tower: MultilingualTextEncoder
) -> tuple[tuple[AdapterConfig, ...], dict[str, torch.Tensor], int]:
    """Return the config, the tensors (as in `Adapter.slot_state`) and the number of trained parameters of a folder.

    PEFT records only the name of the weights that an adapter was trained on: you must pass the right `tower`.

    Raises:
        ConfigError: PEFT is missing, or its version here lacks the method.
        WeightsError: the folder is damaged, or changes modules that have no role here.
    """
    document = _read_document(folder / CONFIG_FILE)
    pattern = document.pop("rank_pattern", None) if document["peft_type"] == "ADALORA" else None
    try:
        method = _method_of(document, tower, folder)
    except ConfigError as error:
        raise ConfigError(f"{folder / CONFIG_FILE}: {error}") from error

    tensors = read_weights(folder / WEIGHTS_FILE)
    check_finite(tensors, folder / WEIGHTS_FILE)
    if pattern:
        tensors = _with_cut_ranks(tensors, pattern, folder)

    adapter = cast(PeftAdapter, attach(tower, method))
    try:
        _load(adapter, _without_prefix(tensors, tower), folder)
        return (method,), adapter.slot_state(0), adapter.num_parameters()
    finally:
        adapter.remove()


def _read_document(path: Path) -> dict[str, Any]:
    """Return PEFT's config of an adapter as written."""
    try:
        document = load_json(path)
    except (OSError, ValueError) as error:
        raise WeightsError(f"cannot read {path}: {error}") from error
    if not isinstance(document, dict) or not isinstance(document.get("peft_type"), str):
        raise WeightsError(f"{path}: expected PEFT's config of an adapter")
    return document


def _method_of(document: Mapping[str, Any], tower: MultilingualTextEncoder, folder: Path) -> PeftMethod:
    """Return the method, with the options that differ from PEFT's defaults, and roles in place of names of modules."""
    name = document["peft_type"].lower()
    defaults = peft_config(name, {})
    kinds = option_types(name)
    for option, value in document.items():
        is_known = option in kinds or option in _WITHOUT_EFFECT or option in INHERITED.get(name, ())
        if option in _SELECTING:
            _check_literal(option, value, folder)
        elif not is_known and value not in (*_NOTHING, getattr(defaults, option, None)):
            raise WeightsError(f"{folder / CONFIG_FILE}: {option}: pecl computes none, got {quoted(value)}")

    options = {option: document[option] for option in kinds.keys() - set(ROLES) if option in document}
    options = {option: value for option, value in options.items() if value != getattr(defaults, option)}
    if options.get("init_lora_weights") == "eva":  # initial values that were trained since; others change the tower
        del options["init_lora_weights"]
    check_options(name, options)
    fields_of_config = {field.name for field in fields(config_class_of(name))}
    selecting = {option: document[option] for option in _SELECTING if option in document and option in fields_of_config}
    config = peft_config(name, {**options, **selecting})

    modules = _modules_of(config, tower)
    if not any(modules.values()):
        raise WeightsError(f"{folder} changes no module of the text tower {tower.name!r}")

    default_roles = PeftMethod(name).roles()
    for option, paths in modules.items():
        roles, _ = roles_of(set(paths), tower, ROLE_NAMES, folder)
        if roles and set(roles) != set(default_roles.get(option, ())):
            options[option] = roles

    everywhere = {path for paths in modules.values() for path in paths}
    _, layers = roles_of(everywhere, tower, [*LINEAR_ROLES, *NORM_ROLES], folder)
    return PeftMethod(name, to_options(options), layers)


def _check_literal(option: str, value: Any, folder: Path) -> None:
    """Raise WeightsError unless a value is names, or numbers of layers: PEFT reads other text as a pattern."""
    for name in value if isinstance(value, list) else [value]:
        is_number = option == "layers_to_transform" and isinstance(name, int) and not isinstance(name, bool)
        if name is not None and not is_number and not (isinstance(name, str) and is_literal(name)):
            raise WeightsError(
                f"{folder / CONFIG_FILE}: {option}: expected names of modules, got {quoted(name)}: regular expressions "
                "of a file are not used; write the names"
            )


def _modules_of(config: Any, tower: MultilingualTextEncoder) -> dict[str, list[str]]:
    """Return the paths of the modules that each option in `ROLES` names, among those that have a role here."""
    from peft.tuners.tuners_utils import check_target_module_exists

    paths = [path for role in ROLE_NAMES for path in paths_of(tower.backbone, role)]
    changed = [path for path in paths if check_target_module_exists(config, path)]
    modules = {"target_modules": changed}

    feedforward = getattr(config, "feedforward_modules", None)
    if feedforward is not None:
        modules["feedforward_modules"] = [path for path in changed if _is_named(path, feedforward)]

    saved_modules = getattr(config, "modules_to_save", None)
    if saved_modules is not None:
        modules["modules_to_save"] = [path for path in paths if _is_named(path, saved_modules)]
    return modules


def _is_named(path: str, names: str | Iterable[str]) -> bool:
    """Return whether a name is a whole path, or one of several names is the end of it."""
    if isinstance(names, str):
        return path == names
    return any(path == name or path.endswith(f".{name}") for name in names)


def _with_cut_ranks(
    tensors: Mapping[str, torch.Tensor], pattern: Mapping[str, Sequence[bool]], folder: Path
) -> dict[str, torch.Tensor]:
    """Return AdaLoRA's factors with all ranks of the training; those that it cut, which PEFT does not write, are 0."""
    whole = dict(tensors)
    try:
        for name, has_rank in pattern.items():
            path, _, _ = name.rpartition(".lora_E")  # perhaps with the name of an adapter after it
            ranks = torch.tensor(has_rank).nonzero().flatten()
            for factor, axis in (("lora_E", 0), ("lora_A", 0), ("lora_B", 1)):
                key = f"{_PREFIX}{path}.{factor}"
                shape = [len(has_rank) if i == axis else size for i, size in enumerate(tensors[key].shape)]
                whole[key] = torch.zeros(shape).index_copy(axis, ranks, tensors[key].float())
    except (KeyError, TypeError, ValueError, RuntimeError, IndexError, AttributeError) as error:
        raise WeightsError(f"{folder}: rank_pattern does not fit the weights ({one_line(error)})") from error
    return whole


def _without_prefix(tensors: Mapping[str, torch.Tensor], tower: MultilingualTextEncoder) -> dict[str, torch.Tensor]:
    """Return tensors with the names that they have on the encoder alone, whatever model PEFT had wrapped around it."""
    family = architecture_of(tower.backbone)
    places = "|".join(re.escape(path) for path in (f"{family.layers}.", *family.at_top.values()))
    prefix = re.compile(rf"{re.escape(_PREFIX)}(?:.*?\.)?(?={places})")
    return {prefix.sub(_PREFIX, name): tensor for name, tensor in tensors.items()}


def _load(adapter: PeftAdapter, tensors: Mapping[str, torch.Tensor], folder: Path) -> None:
    """Let PEFT put tensors into its modules; raise WeightsError if they are not exactly those of the adapter."""
    try:
        with quiet():
            outcome = import_peft().set_peft_model_state_dict(adapter.wrapped, dict(tensors))
    except PEFT_ERRORS as error:
        raise WeightsError(f"{folder} does not fit its config: {one_line(error)}") from error

    live = {id(parameter) for parameter in adapter.wrapped.parameters()}
    if not live.issuperset(id(parameter) for _, parameter in adapter.own_parameters()):
        raise WeightsError(f"{folder}: pecl cannot read weights for which PEFT changes the shapes of its modules")

    if outcome.unexpected_keys:
        raise WeightsError(f"{folder / WEIGHTS_FILE}: {outcome.unexpected_keys[0]} is of no module of the text tower")

    # layers share some parameters, and PEFT writes those once, under one of their names
    names: dict[int, list[str]] = {}
    for name, parameter in adapter.wrapped.named_parameters(remove_duplicate=False):
        if parameter.requires_grad:
            names.setdefault(id(parameter), []).append(name)
    absent = set(outcome.missing_keys)
    missing = [aliases[0] for aliases in names.values() if absent.issuperset(aliases)]
    if missing:
        raise WeightsError(f"{folder / WEIGHTS_FILE} has no {missing[0]}")
