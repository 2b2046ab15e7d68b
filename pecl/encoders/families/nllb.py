"""NLLB-CLIP: the encoder of the translation model NLLB (transformers' M2M100), whose first token names the language.

That token is pooled. transformers drops elements in these layers by functions, which cannot be drawn by row, so the
layers have no dropout here.
"""

import math
from typing import Any, cast

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.models.m2m_100.modeling_m2m_100 import M2M100Encoder

from pecl.encoders.families.family import TextFamily


def _embed(
    backbone: PreTrainedModel, positions: torch.Tensor, input_ids: torch.Tensor | None, words: torch.Tensor | None
) -> torch.Tensor:
    encoder = cast(Any, backbone)
    states: torch.Tensor = encoder.embed_tokens(input_ids) if words is None else words
    scale = math.sqrt(encoder.config.d_model) if encoder.config.scale_embedding else 1.0
    return states * scale + encoder.embed_positions.weights[positions].to(states.dtype)


def _prepare(backbone: PreTrainedModel) -> None:
    """Take the scale out of the word embeddings, so that prompts and trimming meet a plain layer; and the dropout."""
    encoder = cast(Any, backbone)
    scaled = encoder.embed_tokens
    encoder.embed_tokens = nn.Embedding.from_pretrained(scaled.weight, freeze=False, padding_idx=scaled.padding_idx)
    for layer in encoder.layers:
        layer.dropout = layer.activation_dropout = layer.self_attn.dropout = 0.0


NLLB = TextFamily(
    layers="layers",
    in_layer={
        "query": "self_attn.q_proj",
        "key": "self_attn.k_proj",
        "value": "self_attn.v_proj",
        "attention_output": "self_attn.out_proj",
        "intermediate": "fc1",
        "output": "fc2",
        "attention_norm": "self_attn_layer_norm",
        "output_norm": "final_layer_norm",
        "self_attention": "self_attn",
    },
    at_top={"word_embeddings": "embed_tokens"},
    embed=_embed,
    first_position=lambda config: config.pad_token_id + 1,
    final_norm="layer_norm",
    pooling="cls",
    names_languages=True,
    encoder=M2M100Encoder,
    prepare=_prepare,
)
