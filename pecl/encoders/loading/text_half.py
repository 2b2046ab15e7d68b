"""The text half of a checkpoint of both halves: SigLIP's and MetaCLIP 2's, in transformers' form or in open_clip's."""

from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn
from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase, SiglipTextConfig

from pecl.encoders.families import FAMILIES, finish_backbone
from pecl.encoders.families.family import TextFamily
from pecl.encoders.loading.open_clip_names import from_open_clip, transformer_config
from pecl.encoders.loading.open_clip_text import OpenClipText
from pecl.encoders.loading.weights import build_model, read_state_dict, take_linear
from pecl.errors import WeightsError, not_none

OTHER_PARTS = ("vision_model.", "visual_projection.", "logit_scale", "logit_bias")


class TextHalf(NamedTuple):
    """A text half.

    Attributes:
        family: family of the backbone.
        backbone: the encoder.
        head: the linear layer behind the pooling, or None.
    """

    family: TextFamily
    backbone: PreTrainedModel
    head: nn.Linear | None


def text_config(config: PretrainedConfig) -> PretrainedConfig:
    """Return the config of the text half of a checkpoint of both halves; that of any other encoder as it is.

    The text half of a SigLIP 2 of variable resolution (NaFlex) is that of a SigLIP.
    """
    text = getattr(config, "text_config", config)
    if text.model_type not in (*FAMILIES, "siglip2_text_model"):
        return config
    if text.model_type == "siglip2_text_model":
        text = SiglipTextConfig(**{k: v for k, v in text.to_dict().items() if k != "model_type"})
    if hasattr(config, "projection_dim") and text is not config:
        text.projection_dim = config.projection_dim  # the whole model's is the one that both halves were made with
    return text


def read_half(folder: Path, config: PretrainedConfig, dtype: torch.dtype) -> TextHalf:
    """Read the text half of a folder of transformers.

    Args:
        folder: folder of the checkpoint.
        config: config of its text half; its family has an `encoder`.
        dtype: type of the weights.

    Raises:
        WeightsError: weights are missing, damaged or of another shape.
    """
    state = {name: value for name, value in read_state_dict(folder).items() if not name.startswith(OTHER_PARTS)}
    state = {name.removeprefix("text_model."): value for name, value in state.items()}
    family = FAMILIES[config.model_type]
    prefix = f"{family.projection}."
    renamed = {
        f"projection.{name.removeprefix(prefix)}" if name.startswith(prefix) else name: value
        for name, value in state.items()
    }
    return _build(family, config, renamed, folder, dtype)


def read_open_clip_half(text: OpenClipText, dtype: torch.dtype) -> TextHalf:
    """Read the text half of a model of open_clip with a transformer of its own.

    Raises:
        WeightsError: it is of no known family, or weights are missing, damaged or of another shape.
    """
    config = transformer_config(text.settings, text.width, text.is_quick, text.source)
    state = from_open_clip(text.state, text.source)
    return _build(FAMILIES[config.model_type], config, state, text.source, dtype)


def _build(
    family: TextFamily, config: PretrainedConfig, state: dict[str, torch.Tensor], source: Path, dtype: torch.dtype
) -> TextHalf:
    projection = {name: state.pop(name) for name in list(state) if name.startswith("projection.")}
    head = take_linear(projection, "projection", source, dtype) if projection else None
    config.attention_dropout = 0.0  # torch would draw it for a whole batch; the published towers have none
    backbone = build_model(not_none(family.encoder, "encoder"), config, state | _own_head(config, dtype), source, dtype)
    finish_backbone(backbone)
    return TextHalf(family, backbone, head)


def _own_head(config: PretrainedConfig, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """Return values for the head that transformers puts into SigLIP's encoder, where pecl does not use it."""
    if not isinstance(config, SiglipTextConfig):
        return {}
    d, width = config.hidden_size, config.projection_size or config.hidden_size
    return {"head.weight": torch.zeros(width, d, dtype=dtype), "head.bias": torch.zeros(width, dtype=dtype)}


def check_tokenizer(tokenizer: PreTrainedTokenizerBase, half: TextHalf, folder: Path) -> None:
    """Refuse a tokenizer that does not end a text as the encoder was trained with, or pads at the wrong end.

    Raises:
        WeightsError: it lacks the token of the end, or pads on the left where the last position is pooled.
    """
    last = tokenizer("a")["input_ids"][-1:]
    end = half.backbone.config.eos_token_id if half.family.causal else tokenizer.eos_token_id
    if end is None or last != [end]:
        raise WeightsError(
            f"the tokenizer in {folder} ends a text with the token {last[0] if last else None}, expected the end of "
            f"text, {end}: set its add_eos_token"
        )
    if half.family.is_fixed and tokenizer.padding_side != "right":
        raise WeightsError(
            f"the tokenizer in {folder} pads on the {tokenizer.padding_side}, and the text tower pools the last "
            'position: expected the padding_side "right"'
        )
