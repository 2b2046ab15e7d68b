"""DistilBERT, the text tower of sentence-transformers' clip-ViT-B-32-multilingual-v1."""

from typing import cast

import torch
from torch import nn
from transformers import PreTrainedModel

from pecl.encoders.families.family import TextFamily


def _embed(
    backbone: PreTrainedModel, positions: torch.Tensor, input_ids: torch.Tensor | None, words: torch.Tensor | None
) -> torch.Tensor:
    return cast("nn.Module", backbone.embeddings)(input_ids, words, positions)


DISTILBERT = TextFamily(
    layers="transformer.layer",
    in_layer={
        "query": "attention.q_lin",
        "key": "attention.k_lin",
        "value": "attention.v_lin",
        "attention_output": "attention.out_lin",
        "intermediate": "ffn.lin1",
        "output": "ffn.lin2",
        "attention_norm": "sa_layer_norm",
        "output_norm": "output_layer_norm",
        "self_attention": "attention",
    },
    at_top={"word_embeddings": "embeddings.word_embeddings"},
    embed=_embed,
)
