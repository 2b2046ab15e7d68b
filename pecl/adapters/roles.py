"""Where the modules of a role are in a transformers encoder, by architecture.

Adapters name roles (`query`, `attention_output`, ...), never paths, so that they work on XLM-R, BERT and LaBSE towers
alike. A new architecture is a new row of the table.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple, cast

from pecl.errors import WeightsError, unknown

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedModel

LINEAR_ROLES = ("query", "key", "value", "attention_output", "intermediate", "output")
NORM_ROLES = ("attention_norm", "output_norm")


class Architecture(NamedTuple):
    """Paths of an encoder's modules by role."""

    layers: str  # path of the list of layers
    in_layer: dict[str, str]  # role -> path within a layer
    at_top: dict[str, str]  # role -> path of a module that is there once


_BERT = Architecture(
    layers="encoder.layer",
    in_layer={
        "query": "attention.self.query",
        "key": "attention.self.key",
        "value": "attention.self.value",
        "attention_output": "attention.output.dense",
        "intermediate": "intermediate.dense",
        "output": "output.dense",
        "attention_norm": "attention.output.LayerNorm",
        "output_norm": "output.LayerNorm",
        "self_attention": "attention.self",
    },
    at_top={"word_embeddings": "embeddings.word_embeddings", "pooler": "pooler.dense"},
)

# by `model_type` of the backbone's config; LaBSE is a BERT
ARCHITECTURES: dict[str, Architecture] = {"bert": _BERT, "roberta": _BERT, "xlm-roberta": _BERT}


def architecture_of(backbone: PreTrainedModel) -> Architecture:
    """Return the row of the table for `backbone`.

    Raises:
        WeightsError: the architecture is unknown; the message names those that are known.
    """
    model_type = backbone.config.model_type
    if model_type not in ARCHITECTURES:
        raise WeightsError(f"adapters do not fit this backbone: {unknown('architecture', model_type, ARCHITECTURES)}")
    return ARCHITECTURES[model_type]


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
    layers = architecture.layers
    count = len(cast("nn.ModuleList", backbone.get_submodule(layers)))
    return [f"{layers}.{i}.{in_layer[role]}" for i in range(count)]


def layer_of(backbone: PreTrainedModel, path: str) -> int:
    """Return the lowest layer that depends on the module at `path` in the text tower.

    That is its own layer, from 0; the first for embeddings; the number of layers for what lies behind them.
    """
    layers = architecture_of(backbone).layers
    if own := re.match(rf"backbone\.{re.escape(layers)}\.(\d+)\.", path):
        return int(own[1])
    if path.startswith(("head", "backbone.pooler.")):
        return len(cast("nn.ModuleList", backbone.get_submodule(layers)))
    return 0
