"""Where the modules of a role are in a text tower's backbone.

Adapters name roles (`query`, `attention_output`, ...), never paths, so that they work on the towers of every family
alike. A family of `encoders/families` says where its roles are.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pecl.encoders.families import FAMILIES
from pecl.encoders.families.family import TextFamily
from pecl.errors import WeightsError, unknown

if TYPE_CHECKING:
    from transformers import PreTrainedModel

LINEAR_ROLES = ("query", "key", "value", "attention_output", "intermediate", "output")
NORM_ROLES = ("attention_norm", "output_norm")


def architecture_of(backbone: PreTrainedModel) -> TextFamily:
    """Return the family of `backbone`.

    Raises:
        WeightsError: the architecture is unknown; the message names those that are known.
    """
    model_type = backbone.config.model_type
    if model_type not in FAMILIES:
        raise WeightsError(f"adapters do not fit this backbone: {unknown('architecture', model_type, FAMILIES)}")
    return FAMILIES[model_type]


def paths_of(backbone: PreTrainedModel, role: str) -> list[str]:
    """Return the paths within `backbone` of the modules with `role`, in order: one for each layer, or one at the top.

    Raises:
        WeightsError: the architecture or the role is unknown; the message names those that are known.
    """
    architecture = architecture_of(backbone)
    in_layer, at_top = architecture.in_layer, architecture.at_top
    if role in at_top:
        return [at_top[role]]
    if role not in in_layer:
        choices = [*in_layer, *at_top]
        raise WeightsError(f"{backbone.config.model_type} has no such module: {unknown('role', role, choices)}")
    count = len(architecture.layers_of(backbone))
    return [f"{architecture.layers}.{i}.{in_layer[role]}" for i in range(count)]


def layer_of(backbone: PreTrainedModel, path: str) -> int:
    """Return the lowest layer that depends on the module at `path` in the text tower.

    That is its own layer, from 0; the first for embeddings; the number of layers for what lies behind them.
    """
    family = architecture_of(backbone)
    if own := re.match(rf"backbone\.{re.escape(family.layers)}\.(\d+)\.", path):
        return int(own[1])
    if path.startswith(("head", "backbone.pooler.")):
        return len(family.layers_of(backbone))
    return 0
