"""The places of modules in a text tower's backbone, by role.

Adapters name roles (`query`, `attention_output`, ...), so that they work on the towers of every family alike. A family
of `encoders/families` says where its roles are. A regular expression names linear layers by their paths instead, as in
PEFT, also where no family is known.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from torch import nn

from pecl.encoders.families import FAMILIES, TextFamily
from pecl.errors import ConfigError, WeightsError, unknown
from pecl.options import is_pattern, quoted

if TYPE_CHECKING:
    from transformers import PreTrainedModel

LINEAR_ROLES = ("query", "key", "value", "attention_output", "intermediate", "output")
NORM_ROLES = ("attention_norm", "output_norm")


def architecture_of(backbone: PreTrainedModel) -> TextFamily:
    """Return the family of `backbone`, or raise WeightsError, naming those that are known."""
    model_type = backbone.config.model_type
    if model_type not in FAMILIES:
        raise WeightsError(
            f"adapters do not fit this backbone: {unknown('architecture', model_type, FAMILIES)}; in another, a "
            "regular expression as target_modules names the layers"
        )
    return FAMILIES[model_type]


def paths_of(backbone: PreTrainedModel, role: str) -> list[str]:
    """Return the paths within a plain `backbone` of the modules with `role`: one for each layer, or one at the top.

    A role may be a regular expression that matches the whole path of each linear layer.
    """
    if is_pattern((role,)):
        linear = [path for path, module in backbone.named_modules() if isinstance(module, nn.Linear)]
        if found := [path for path in linear if re.fullmatch(role, path)]:
            return found
        raise ConfigError(
            f"target_modules: expected a regular expression of linear layers such as {linear[0]}, got "
            f"{quoted(role)}, which matches none"
        )
    family = architecture_of(backbone)
    if role in family.at_top:
        return [family.at_top[role]]
    if role not in family.in_layer:
        choices = [*family.in_layer, *family.at_top]
        raise WeightsError(f"{backbone.config.model_type} has no such module: {unknown('role', role, choices)}")
    count = len(family.layers_of(backbone))
    return [f"{family.layers}.{i}.{family.in_layer[role]}" for i in range(count)]


def layer_of(backbone: PreTrainedModel, path: str) -> int:
    """Return the lowest layer that depends on the module at `path` in the text tower.

    That is its own layer, from 0; the first for embeddings; the number of layers for modules behind them. It is 0 for
    all modules of an unknown architecture.
    """
    family = FAMILIES.get(backbone.config.model_type)
    if family is None:
        return 0
    if own := re.match(rf"backbone\.{re.escape(family.layers)}\.(\d+)\.", path):
        return int(own[1])
    if path.startswith(("head", "backbone.pooler.")):
        return len(family.layers_of(backbone))
    return 0
