"""Where a module of a given role stands in a transformers encoder, by architecture.

Adapters name roles (`query`, `attention_output`, ...), never paths, so that they work on XLM-R, BERT and LaBSE towers
alike. A new architecture is a new row of the table.
"""

from __future__ import annotations

from torch import nn

from pecl.errors import WeightsError

_BERT = {
    "query": "attention.self.query",
    "key": "attention.self.key",
    "value": "attention.self.value",
    "attention_output": "attention.output.dense",
    "intermediate": "intermediate.dense",
    "output": "output.dense",
    "attention_norm": "attention.output.LayerNorm",
    "output_norm": "output.LayerNorm",
    "self_attention": "attention.self",
}
_DISTILBERT = {
    "query": "attention.q_lin",
    "key": "attention.k_lin",
    "value": "attention.v_lin",
    "attention_output": "attention.out_lin",
    "intermediate": "ffn.lin1",
    "output": "ffn.lin2",
    "attention_norm": "sa_layer_norm",
    "output_norm": "output_layer_norm",
    "self_attention": "attention",
}

# model_type -> (path of the list of layers, role -> path within a layer)
ARCHITECTURES: dict[str, tuple[str, dict[str, str]]] = {
    "bert": ("encoder.layer", _BERT),
    "xlm-roberta": ("encoder.layer", _BERT),
    "roberta": ("encoder.layer", _BERT),
    "distilbert": ("transformer.layer", _DISTILBERT),
}


def paths_of(backbone: nn.Module, role: str) -> list[str]:
    """Return the paths within `backbone` of the modules with `role`, one for each layer, in order.

    Raises:
        WeightsError: the architecture or the role is unknown; the message names those that are known.
    """
    model_type = backbone.config.model_type
    if model_type not in ARCHITECTURES:
        known = ", ".join(sorted(ARCHITECTURES))
        raise WeightsError(f"adapters do not know the architecture {model_type!r}: expected one of {known}")
    layers, roles = ARCHITECTURES[model_type]
    if role not in roles:
        raise WeightsError(
            f"target module {role!r} matches nothing in {model_type}: expected one of {', '.join(roles)}"
        )
    return [f"{layers}.{i}.{roles[role]}" for i in range(len(backbone.get_submodule(layers)))]
