"""BERT and its kin: LaBSE, RoBERTa, XLM-R, and with them M-CLIP's, E5's and open_clip's XLM-R towers."""

from typing import cast

import torch
from torch import nn
from transformers import PreTrainedModel

from pecl.encoders.families.family import TextFamily


def _embed(
    backbone: PreTrainedModel, positions: torch.Tensor, input_ids: torch.Tensor | None, words: torch.Tensor | None
) -> torch.Tensor:
    return cast("nn.Module", backbone.embeddings)(input_ids=input_ids, position_ids=positions, inputs_embeds=words)


BERT = TextFamily(
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
    embed=_embed,
)
