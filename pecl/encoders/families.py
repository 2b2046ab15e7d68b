"""Architectures of text towers, one `TextFamily` each. `FAMILIES` maps the `model_type` of a config to its family.

A pass embeds the tokens, runs the layers, and applies the final LayerNorm if the architecture has
one. The tower then pools and projects. Adapters name modules by role, so a family also maps roles to modules.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import nn

from pecl.encoders.cleaning import LOWER

# transformers' models take seconds to import: only those of a tower that is loaded
if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

# Model types whose positions begin after the padding token's id
_AFTER_PADDING = frozenset({"camembert", "mpnet", "roberta", "xlm-roberta", "xlm-roberta-xl", "xmod"})


def first_position(config: PretrainedConfig) -> int:
    """Return the position of the first token in an encoder of `config`."""
    return config.pad_token_id + 1 if config.model_type in _AFTER_PADDING else 0


def longest_sequence(config: PretrainedConfig) -> int:
    """Return the number of positions that an encoder of `config` has for tokens."""
    return config.max_position_embeddings - first_position(config)


@dataclass(frozen=True, eq=False)
class TextFamily:
    """One architecture.

    `embed` is the first step of a pass: (backbone, positions (B or 1, L) int64 from
    `first_position` on, input_ids (B, L) int64 or None, words (B, L, d) in their place or None) ->
    states for the first layer, (B, L, d). `top` is the last layer, for the last position only:
    (layer, hidden (B, L, d), mask) -> (B, 1, d).
    """

    layers: str  # path of the list of layers in the backbone
    in_layer: Mapping[str, str]  # role -> path within a layer; see `adapters.kind` for the roles
    at_top: Mapping[str, str]  # role -> path in the backbone of a module that exists once
    embed: Callable[[PreTrainedModel, torch.Tensor, torch.Tensor | None, torch.Tensor | None], torch.Tensor]
    first_position: Callable[[PretrainedConfig], int] = first_position  # that of the first token
    # path of the LayerNorm after the last layer; None if each layer ends with its own
    final_norm: str | None = None
    causal: bool = False  # whether a position attends only to itself and the positions before it
    # whether every text is padded to all positions, and padding is attended to
    is_fixed: bool = False
    projection_bias: bool = False  # whether the projection of a contrastive model adds a bias
    names_languages: bool = False  # whether the first token of a text names its language
    pooling: str = "mean"  # in `POOLINGS`
    clean: str = ""  # in `CLEANINGS`
    # class of the text half in `transformers.models`; empty if `AutoModel` has it
    encoder_name: str = ""
    whole_name: str = ""  # class of both halves, if `AutoModel` has no text half
    projection: str = ""  # the linear layer after the pooling, in a checkpoint of both halves
    prepare: Callable[[PreTrainedModel], None] | None = None  # changes a new backbone, see `finish_backbone`
    top: Callable[[nn.Module, torch.Tensor, torch.Tensor | None], torch.Tensor] | None = None

    def layers_of(self, backbone: PreTrainedModel) -> nn.ModuleList:
        """Return the layers, lowest first."""
        return cast("nn.ModuleList", backbone.get_submodule(self.layers))

    @property
    def encoder(self) -> type[PreTrainedModel] | None:
        """The class of the text half; None if `AutoModel` has it."""
        return _class_named(self.encoder_name) if self.encoder_name else None

    @property
    def whole(self) -> type[PreTrainedModel] | None:
        """The class of both halves; None if `AutoModel` has the text half."""
        return _class_named(self.whole_name) if self.whole_name else None

    def finish(self, backbone: PreTrainedModel, hidden: torch.Tensor) -> torch.Tensor:
        """Return the last hidden states (B, L, d) from the output of the last layer."""
        if self.final_norm is None:
            return hidden
        return backbone.get_submodule(self.final_norm)(hidden)


def _class_named(name: str) -> Any:
    module, _, class_name = name.rpartition(".")
    return getattr(import_module(f"transformers.models.{module}"), class_name)


def _embed_by_module(
    backbone: PreTrainedModel,
    positions: torch.Tensor,
    input_ids: torch.Tensor | None,
    words: torch.Tensor | None,
) -> torch.Tensor:
    return cast("nn.Module", backbone.embeddings)(input_ids=input_ids, position_ids=positions, inputs_embeds=words)


# Also LaBSE, RoBERTa and XLM-R, and with them the towers of M-CLIP and E5, and open_clip's XLM-R towers
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
    embed=_embed_by_module,
)

# --8<-- [start:distilbert]
# The text tower of sentence-transformers' clip-ViT-B-32-multilingual-v1
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
    embed=_embed_by_module,
)
# --8<-- [end:distilbert]


def _embed_scaled(
    backbone: PreTrainedModel,
    positions: torch.Tensor,
    input_ids: torch.Tensor | None,
    words: torch.Tensor | None,
) -> torch.Tensor:
    encoder = cast(Any, backbone)
    states: torch.Tensor = encoder.embed_tokens(input_ids) if words is None else words
    scale = math.sqrt(encoder.config.d_model) if encoder.config.scale_embedding else 1.0
    return states * scale + encoder.embed_positions.weights[positions].to(states.dtype)


def _prepare_nllb(backbone: PreTrainedModel) -> None:
    """Make the word embeddings a plain layer, which prompts need, and switch dropout off."""
    encoder = cast(Any, backbone)
    scaled = encoder.embed_tokens
    encoder.embed_tokens = nn.Embedding.from_pretrained(scaled.weight, freeze=False, padding_idx=scaled.padding_idx)
    for layer in encoder.layers:
        layer.dropout = layer.activation_dropout = layer.self_attn.dropout = 0.0


# NLLB-CLIP: the encoder of the translation model NLLB (transformers' M2M100), whose first token
# names the language and is pooled. These layers of transformers call dropout as a function, which
# cannot draw per row, so here they have no dropout.
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
    embed=_embed_scaled,
    first_position=lambda config: config.pad_token_id + 1,
    final_norm="layer_norm",
    pooling="cls",
    names_languages=True,
    encoder_name="m2m_100.modeling_m2m_100.M2M100Encoder",
    prepare=_prepare_nllb,
)


def _embed_plain(
    backbone: PreTrainedModel,
    positions: torch.Tensor,
    input_ids: torch.Tensor | None,
    words: torch.Tensor | None,
) -> torch.Tensor:
    """Return words plus positions, (B, L, d). transformers' own function refuses tokens packed in one row."""
    embeddings = cast(Any, backbone.embeddings)
    words = embeddings.token_embedding(input_ids) if words is None else words
    return words + embeddings.position_embedding(positions)


# The common part of MetaCLIP 2 and SigLIP, transformers' pre-LN encoders of CLIP's kind
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
    embed=_embed_plain,
    final_norm="final_layer_norm",
    pooling="lasttoken",
)

# Causal, and pooled at the first end-of-text token. Later tokens never reach that token, so a text
# is cut after it and can be packed; its embedding stays the same.
METACLIP = replace(
    PRE_NORM,
    causal=True,
    encoder_name="metaclip_2.MetaClip2TextModel",
    projection="text_projection",
    whole_name="metaclip_2.MetaClip2Model",
)


def _prepare_siglip(backbone: PreTrainedModel) -> None:
    from pecl.encoders.siglip import Attention

    cast(Any, backbone).head = nn.Identity()  # the tower has its own head, after the pooling
    for layer in cast(Any, backbone).encoder.layers:
        layer.self_attn = Attention(layer.self_attn)


def _top_siglip(layer: Any, hidden: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    normed = layer.layer_norm1(hidden)  # (B, L, d)
    mask = None if mask is None else mask[:, :, -1:]  # (B, 1, 1, L)
    attended, _ = layer.self_attn(normed, mask, asking=normed[:, -1:])  # (B, 1, d)
    state = hidden[:, -1:] + attended
    return state + layer.mlp(layer.layer_norm2(state))


# SigLIP, SigLIP 2 and mSigLIP: every text has 64 positions, all are attended to, and the last one
# is pooled. It is usually padding, so padding cannot be left out. In the last layer only that
# position needs a query, an output and a feed-forward layer, which saves most of the layer exactly.
SIGLIP = replace(
    PRE_NORM,
    is_fixed=True,
    projection_bias=True,
    clean=LOWER,
    encoder_name="siglip.SiglipTextModel",
    projection="head",
    whole_name="siglip.SiglipModel",
    prepare=_prepare_siglip,
    top=_top_siglip,
)

FAMILIES: dict[str, TextFamily] = {
    "bert": BERT,  # LaBSE is a BERT
    "roberta": BERT,
    "xlm-roberta": BERT,
    "distilbert": DISTILBERT,
    "m2m_100": NLLB,
    "metaclip_2_text_model": METACLIP,
    "siglip_text_model": SIGLIP,
}


def family_of(config: PretrainedConfig) -> TextFamily | None:
    """Return the family of an encoder with `config`; None for an architecture that pecl runs only as a whole."""
    return FAMILIES.get(config.model_type)


def finish_backbone(backbone: PreTrainedModel) -> None:
    """Apply the changes of its family to a newly built backbone."""
    family = family_of(backbone.config)
    if family is not None and family.prepare is not None:
        family.prepare(backbone)
