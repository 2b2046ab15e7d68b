"""The text half of a checkpoint of both halves: SigLIP's and MetaCLIP 2's, in transformers' form or in open_clip's."""

from pathlib import Path

import torch
from torch import nn
from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase, SiglipTextConfig

from pecl.encoders.families import FAMILIES, finish_backbone
from pecl.encoders.loading.open_clip_names import from_open_clip, transformer_config
from pecl.encoders.loading.open_clip_text import OpenClipText
from pecl.encoders.loading.weights import build_model, read_state_dict, take_linear
from pecl.errors import WeightsError, not_none

OTHER_PARTS = ("vision_model.", "visual_projection.", "logit_scale", "logit_bias")


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


def read_half(folder: Path, config: PretrainedConfig, dtype: torch.dtype) -> tuple[PreTrainedModel, nn.Linear | None]:
    """Return the encoder and the layer behind its pooling, of a folder of transformers whose text half has `config`."""
    state = {
        name.removeprefix("text_model."): value
        for name, value in read_state_dict(folder).items()
        if not name.startswith(OTHER_PARTS)
    }
    prefix = f"{FAMILIES[config.model_type].projection}."
    for name in [name for name in state if name.startswith(prefix)]:
        state[f"projection.{name.removeprefix(prefix)}"] = state.pop(name)
    return _build(config, state, folder, dtype)


def read_open_clip_half(text: OpenClipText, dtype: torch.dtype) -> tuple[PreTrainedModel, nn.Linear | None]:
    """Return those of a model of open_clip with a transformer of its own."""
    config = transformer_config(text.settings, text.width, text.is_quick, text.source)
    return _build(config, from_open_clip(text.state, text.source), text.source, dtype)


def _build(
    config: PretrainedConfig, state: dict[str, torch.Tensor], source: Path, dtype: torch.dtype
) -> tuple[PreTrainedModel, nn.Linear | None]:
    projection = {name: state.pop(name) for name in list(state) if name.startswith("projection.")}
    head = take_linear(projection, "projection", source, dtype) if projection else None
    config.attention_dropout = 0.0  # torch would draw it for a whole batch; the published towers have none
    if isinstance(config, SiglipTextConfig):  # transformers puts a head into the encoder, which pecl does not use
        d, width = config.hidden_size, config.projection_size or config.hidden_size
        state |= {"head.weight": torch.zeros(width, d, dtype=dtype), "head.bias": torch.zeros(width, dtype=dtype)}
    encoder = not_none(FAMILIES[config.model_type].encoder, "encoder")
    backbone = build_model(encoder, config, state, source, dtype)
    finish_backbone(backbone)
    return backbone, head


def check_tokenizer(tokenizer: PreTrainedTokenizerBase, config: PretrainedConfig, folder: Path) -> None:
    """Refuse a tokenizer that does not end a text as the encoder was trained with, or pads at the wrong end."""
    family, last = FAMILIES[config.model_type], tokenizer("a")["input_ids"][-1:]
    end = config.eos_token_id if family.causal else tokenizer.eos_token_id
    if end is None or last != [end]:
        raise WeightsError(
            f"the tokenizer in {folder} ends a text with the token {last[0] if last else None}, expected the end of "
            f"text, {end}: set its add_eos_token"
        )
    if family.is_fixed and tokenizer.padding_side != "right":
        raise WeightsError(
            f"the tokenizer in {folder} pads on the {tokenizer.padding_side}, and the text tower pools the last "
            'position: expected the padding_side "right"'
        )
