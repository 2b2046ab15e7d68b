"""Read adapters that OpenDelta trained, the method's released checkpoints among them, under pecl's parameter names.

Needs no OpenDelta. The names on both sides: docs/opendelta.md, "State-dict names" and "The released checkpoints".
"""

import logging
import re
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from pecl.adapters.kind import LINEAR_ROLES, AdapterConfig
from pecl.adapters.spec import KINDS
from pecl.encoders.families import FAMILIES
from pecl.errors import WeightsError
from pecl.files import check_regular

logger = logging.getLogger(__name__)

Tensors = Mapping[str, torch.Tensor]

_PROJECTIONS = ("down", "up")
_PHM = {"phm_rule": "rule", "W_left": "left", "W_right": "right", "b": "bias"}
# OpenDelta's ending of a parameter name -> the kind, and pecl's ending.
_ENDINGS: dict[str, tuple[str, str]] = {
    "lora.lora_A": ("lora", "lora_A"),
    "lora.lora_B": ("lora", "lora_B"),
    "soft_prompt_layer.soft_embeds": ("soft_prompt", "embeddings.word_embeddings.prompt"),
    **{
        f"adapter.modulelist.{projection}_proj.{parameter}": ("bottleneck", f"{projection}_{parameter}")
        for projection in _PROJECTIONS
        for parameter in ("weight", "bias")
    },
    **{
        f"compactor.{projection}_sampler.{parameter}": ("compacter", f"{projection}_{pecl_parameter}")
        for projection in _PROJECTIONS
        for parameter, pecl_parameter in _PHM.items()
    },
}

# Options that can be read from shapes: the parameter that shows each, and its dimension.
_SIZES: dict[str, dict[str, tuple[str, int]]] = {
    "lora": {"r": ("lora_A", 0)},
    "bottleneck": {"bottleneck_dim": ("down_bias", 0)},
    "compacter": {"phm_dim": ("down_rule", 0), "phm_rank": ("down_left", 2)},
    "soft_prompt": {"num_virtual_tokens": ("prompt", 0)},
}
# Prefixes of a name: none in the backbone's own state, `transformer.` in M-CLIP's, `backbone.` in a tower's.
_OF_BACKBONE = ("transformer.", "backbone.")
_OF_HEAD = ("LinearTransformation.", "head.")


def load_released_checkpoint(path: str | Path) -> dict[str, torch.Tensor]:
    """Return the tensors of a `text_model_best.ckpt` as the method's released code writes it, on the CPU.

    The file is a pickle, read with `weights_only=True`. It also needs the name `typing.OrderedDict`, the alias that its
    dictionary was made with. Raise WeightsError for a missing or damaged file, or one with more than tensors.
    """
    try:
        check_regular(path)
        with torch.serialization.safe_globals([typing.OrderedDict]):
            state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise WeightsError(f"checkpoint {path} is missing") from error
    except Exception as error:  # of many kinds, and torch's own words would advise to run the file's code
        raise WeightsError(
            f"checkpoint {path}: expected a state dict that can be read safely: it is damaged, or holds more than "
            "tensors, which is never loaded"
        ) from error

    if not isinstance(state, Mapping) or not all(isinstance(tensor, torch.Tensor) for tensor in state.values()):
        raise WeightsError(f"checkpoint {path} holds a {type(state).__name__}, expected a dictionary of tensors")
    return dict(state)


def from_opendelta_state_dict(state: Tensors) -> tuple[str, dict[str, torch.Tensor]]:
    """Return the kind of an OpenDelta state, and its tensors under the names of `Adapter.slot_state`.

    LayerNorms and head are included if the state has them. A pooler, which run_cross.py saves, is left out: no
    embedding depends on it. Names and shapes are checked when the state is loaded. Raise WeightsError unless the state
    has the parameters of exactly one kind.
    """
    kinds = set[str]()
    converted: dict[str, torch.Tensor] = {}
    for name, tensor in state.items():
        tower_name = _tower_name(name)
        if tower_name.startswith("backbone.pooler."):
            logger.info("left out %s: embeddings are a mean over tokens and do not depend on the pooler", name)
            continue

        for ending, (kind, pecl_ending) in _ENDINGS.items():
            if tower_name.endswith(f".{ending}"):
                kinds.add(kind)
                tower_name = tower_name.removesuffix(ending) + pecl_ending
        converted[tower_name] = tensor

    if len(kinds) != 1:
        names = " and ".join(sorted(kinds)) or "none"
        raise WeightsError(f"expected the parameters of one adapter, found {names} among {len(state)} tensors")
    return kinds.pop(), converted


def _tower_name(name: str) -> str:
    """Return the name with the prefix that a tower has for it, `backbone.` or `head.`."""
    for prefix in _OF_BACKBONE:
        if name.startswith(prefix):
            return "backbone." + name.removeprefix(prefix)
    for prefix in _OF_HEAD:
        if name.startswith(prefix):
            return "head." + name.removeprefix(prefix)
    return f"backbone.{name}"


def infer_configs(kind: str, tensors: Tensors) -> tuple[AdapterConfig, ...]:
    """Infer the configs of a state from `from_opendelta_state_dict`, as far as names and shapes show them.

    lora_alpha and the non-linearity leave no trace: they get the released code's values (16; gelu_new and relu). Raise
    WeightsError if a parameter is missing that every state of the kind has.
    """
    options: dict[str, Any] = {}
    if kind != "soft_prompt":
        options["target_modules"] = _target_roles(tensors)

    shapes = {name.rpartition(".")[2]: tensor.shape for name, tensor in tensors.items()}
    try:
        for option, (name, dimension) in _SIZES[kind].items():
            options[option] = shapes[name][dimension]
        if kind == "compacter":
            options["reduction_factor"] = shapes["up_bias"][0] // shapes["down_bias"][0]
    except KeyError as error:
        raise WeightsError(f"the {kind} state has no parameter named {error.args[0]!r}") from error

    configs = [KINDS[kind](**options)]
    if any(".LayerNorm." in name for name in tensors):
        configs.append(KINDS["layernorm"]())
    if "head.weight" in tensors:
        configs.append(KINDS["head"]())
    return tuple(configs)


def _target_roles(tensors: Tensors) -> tuple[str, ...]:
    """Return the roles of the layers whose parameters a state has."""
    architecture = FAMILIES["xlm-roberta"]
    layer = rf"^backbone\.{architecture.layers}\.\d+\."
    paths = {re.sub(layer, "", name.rpartition(".")[0]) for name in tensors}
    return tuple(role for role in LINEAR_ROLES if architecture.in_layer[role] in paths)
