"""`PRE_NORM`: the common part of MetaCLIP 2 and SigLIP, transformers' pre-LN encoders of CLIP's kind; and `METACLIP`.

MetaCLIP 2 is causal and pooled at the first end-of-text token. Tokens behind that token never reach it, so a text is
cut there and packed without a change of its embedding.
"""

from dataclasses import replace
from typing import Any, cast

import torch
from transformers import MetaClip2Model, MetaClip2TextModel, PreTrainedModel

from pecl.encoders.families.family import TextFamily


def _embed(
    backbone: PreTrainedModel, positions: torch.Tensor, input_ids: torch.Tensor | None, words: torch.Tensor | None
) -> torch.Tensor:
    """Return words plus positions, (B, L, d). transformers' own refuses tokens packed in one row."""
    embeddings = cast(Any, backbone.embeddings)
    words = embeddings.token_embedding(input_ids) if words is None else words
    return words + embeddings.position_embedding(positions)


PRE_NORM = TextFamily(
    layers="encoder.layers",
    in_layer={
        "query": "self_attn.q_proj",
        "key": "self_attn.k_proj",
        "value": "self_attn.v_proj",
        "attention_output": "self_attn.out_proj",
        "intermediate": "mlp.fc1",
        "output": "mlp.fc2",
        "attention_norm": "layer_norm1",
        "output_norm": "layer_norm2",
        "self_attention": "self_attn",
    },
    at_top={"word_embeddings": "embeddings.token_embedding"},
    embed=_embed,
    final_norm="final_layer_norm",
    pooling="lasttoken",
)

METACLIP = replace(
    PRE_NORM, causal=True, encoder=MetaClip2TextModel, projection="text_projection", whole=MetaClip2Model
)
