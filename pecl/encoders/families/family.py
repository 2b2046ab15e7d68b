"""`TextFamily`: how the encoders of one architecture compute, in the steps that pecl runs one by one.

A pass embeds the tokens, runs the layers and ends, with the final LayerNorm where the architecture has one. Pooling and
projection follow in the tower. Adapters name modules by role, so a family also says where each role is.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import cast

import torch
from torch import nn
from transformers import PretrainedConfig, PreTrainedModel

# Model types that count positions from behind the padding token's id
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

    `embed` is the first step of a pass: (backbone, positions (B or 1, L) int64 from `first_position` on, input_ids
    (B, L) int64 or None, words (B, L, d) in their place or None) -> states for the first layer, (B, L, d). `top` is the
    last layer at the last position: (layer, hidden (B, L, d), mask) -> (B, 1, d).
    """

    layers: str  # path of the list of layers in the backbone
    in_layer: Mapping[str, str]  # role -> path within a layer; see `adapters.roles` for the roles
    at_top: Mapping[str, str]  # role -> path in the backbone of a module that is there once
    embed: Callable[[PreTrainedModel, torch.Tensor, torch.Tensor | None, torch.Tensor | None], torch.Tensor]
    first_position: Callable[[PretrainedConfig], int] = first_position  # that of the first token
    final_norm: str | None = None  # path of the LayerNorm behind the last layer; None where each ends with its own
    causal: bool = False  # whether a position attends only to itself and the positions before it
    is_fixed: bool = False  # whether every text is padded to all positions, and padding is attended to
    names_languages: bool = False  # whether the first token of a text names its language
    pooling: str = "mean"  # in `POOLINGS`
    clean: str = ""  # in `CLEANINGS`
    encoder: type[PreTrainedModel] | None = None  # the text half in a checkpoint of both; None where `AutoModel` has it
    projection: str = ""  # the linear layer behind the pooling, in a checkpoint of both halves
    whole: type[PreTrainedModel] | None = None  # both halves, where transformers has no `AutoModel` for the text half
    prepare: Callable[[PreTrainedModel], None] | None = None  # lets built layers hand pecl's arguments on to attention
    top: Callable[[nn.Module, torch.Tensor, torch.Tensor | None], torch.Tensor] | None = None

    def layers_of(self, backbone: PreTrainedModel) -> nn.ModuleList:
        """Return the layers, lowest first."""
        return cast("nn.ModuleList", backbone.get_submodule(self.layers))

    def finish(self, backbone: PreTrainedModel, hidden: torch.Tensor) -> torch.Tensor:
        """Return the last hidden states (B, L, d) from the output of the last layer."""
        return hidden if self.final_norm is None else backbone.get_submodule(self.final_norm)(hidden)
