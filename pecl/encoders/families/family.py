"""`TextFamily`: how the encoders of one architecture compute, in the steps that pecl runs one by one.

A pass embeds the tokens, runs the layers and ends, with the final LayerNorm where the architecture has one. Pooling and
projection follow in the tower. Adapters name modules by role, so a family also says where each role is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, cast

import torch
from torch import nn

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel


class Embed(Protocol):
    """The first step of a pass."""

    def __call__(
        self,
        backbone: PreTrainedModel,
        positions: torch.Tensor,
        input_ids: torch.Tensor | None,
        words: torch.Tensor | None,
    ) -> torch.Tensor:
        """Return the states that the first layer is given, (B, L, d).

        Args:
            backbone: an encoder of the family.
            positions: (B or 1, L) int64, counted from `first_position`.
            input_ids: (B, L) int64, or None.
            words: (B, L, d) word embeddings in place of `input_ids`, or None.
        """
        ...


def from_zero(config: PretrainedConfig) -> int:
    """Return the position of the first token in an encoder that counts from 0."""
    return 0


@dataclass(frozen=True, eq=False)
class TextFamily:
    """One architecture.

    Attributes:
        layers: path of the list of layers in the backbone.
        in_layer: role -> path within a layer; see `adapters.roles` for the roles.
        at_top: role -> path in the backbone of a module that is there once.
        embed: the first step of a pass.
        first_position: the position of the first token, by the backbone's config.
        final_norm: path of the LayerNorm behind the last layer; None where each layer ends with its own.
        causal: whether a position attends only to itself and the positions before it.
        is_fixed: whether every text is padded to all positions, and padding is attended to.
        names_languages: whether the first token of a text names its language.
        pooling: name of the pooling.
        clean: name of the cleaning of texts.
        encoder: class of the text half in a checkpoint of both halves; None where `AutoModel` names it.
        projection: name of the linear layer behind the pooling, in a checkpoint of both halves.
        whole: class of both halves, where transformers has no `AutoModel` for the text half.
        prepare: changes an encoder that was built, so that its layers hand on what pecl passes to attention.
        top: the last layer at the last position: (layer, hidden (B, L, d), mask) -> (B, 1, d).
    """

    layers: str
    in_layer: Mapping[str, str]
    at_top: Mapping[str, str]
    embed: Embed
    first_position: Callable[[PretrainedConfig], int] = from_zero
    final_norm: str | None = None
    causal: bool = False
    is_fixed: bool = False
    names_languages: bool = False
    pooling: str = "mean"
    clean: str = ""
    encoder: type[PreTrainedModel] | None = None
    projection: str = ""
    whole: type[PreTrainedModel] | None = None
    prepare: Callable[[PreTrainedModel], None] | None = None
    top: Callable[[nn.Module, torch.Tensor, torch.Tensor | None], torch.Tensor] | None = None

    def layers_of(self, backbone: PreTrainedModel) -> nn.ModuleList:
        """Return the layers, lowest first."""
        return cast("nn.ModuleList", backbone.get_submodule(self.layers))

    def finish(self, backbone: PreTrainedModel, hidden: torch.Tensor) -> torch.Tensor:
        """Return the last hidden states (B, L, d) from the output of the last layer."""
        return hidden if self.final_norm is None else backbone.get_submodule(self.final_norm)(hidden)
