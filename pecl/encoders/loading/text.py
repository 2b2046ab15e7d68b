"""Text towers from checkpoints: M-CLIP, sentence-transformers, open_clip and plain transformers encoders.

A checkpoint is fetched once and is all that is needed: an M-CLIP tower is built from its config, not from the base
model that the config names. The files of a folder tell its kind: `modules.json` is sentence-transformers,
`open_clip_config.json` open_clip, `model_type` "M-CLIP" M-CLIP, and anything else an encoder, pooled by its mean.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import torch
from torch import nn
from transformers import (
    MODEL_MAPPING,
    AutoTokenizer,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    SiglipTextConfig,
)

from pecl.encoders.families import FAMILIES, finish_backbone, longest_sequence
from pecl.encoders.loading import open_clip
from pecl.encoders.loading.hub import resolve
from pecl.encoders.loading.open_clip_names import from_open_clip, transformer_config
from pecl.encoders.loading.sentence_transformers import read_layout
from pecl.encoders.loading.shapes import base_config
from pecl.encoders.loading.weights import (
    build_model,
    check_names,
    first_line,
    read_config,
    read_json,
    read_state_dict,
    take_linear,
)
from pecl.encoders.text import MultilingualTextEncoder
from pecl.errors import ConfigError, WeightsError

IMAGE_PARTS = ("vision_model.", "visual_projection.", "logit_scale", "logit_bias")  # of a checkpoint of both halves
DEFAULT_MAX_LENGTH = 128  # tokens; captions are far shorter


@dataclass(frozen=True)
class TextParts:
    """Parts of a tower from a checkpoint; each reader fills in those of its format."""

    backbone: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    head: nn.Module | None = None
    pooling: str = "mean"
    text_prefix: str = ""
    longest: int | None = None  # tokens; the format's own limit
    clean: str = ""


def load_text_checkpoint(
    name_or_path: str | Path,
    *,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    max_length: int | None = None,
    pooling: str | None = None,
) -> MultilingualTextEncoder:
    """Load a text tower from a checkpoint; arguments and errors as in `pecl.encoders.towers.load_text_encoder`.

    It is named by a hub id, a local folder, or `open_clip:<model>/<weights>`.
    """
    if (name := str(name_or_path)).startswith(open_clip.PREFIX):
        parts = _read_open_clip(open_clip.read_named(name), dtype)
    else:
        folder = resolve(name_or_path, "--text-model PATH")
        if (folder / "modules.json").exists():
            encoder, around = read_layout(folder, dtype)
            parts = replace(_read_encoder(encoder, dtype), **around)
        elif open_clip.is_open_clip(folder):
            parts = _read_open_clip(open_clip.read_folder(folder), dtype)
        elif read_json(folder / "config.json").get("model_type") == "M-CLIP":
            parts = _read_mclip(folder, dtype)
        else:
            parts = _read_encoder(folder, dtype)
    tower = MultilingualTextEncoder(
        parts.backbone,
        parts.tokenizer,
        parts.head,
        name=name,
        text_prefix=parts.text_prefix,
        max_length=_max_length(max_length, parts),
        pooling=pooling or parts.pooling,
        clean=parts.clean,
    )
    return tower.to(device)


def _read_mclip(folder: Path, dtype: torch.dtype) -> TextParts:
    base = read_json(folder / "config.json").get("modelBase")
    if not isinstance(base, str):
        raise WeightsError(f"{folder / 'config.json'} lacks modelBase, the name of the encoder that M-CLIP was made of")
    config = base_config(base) or read_config(resolve(base, "modelBase of its config.json", weights=False))
    state = read_state_dict(folder)
    known = ("transformer", "LinearTransformation")
    check_names((), {name for name in state if name.split(".")[0] not in known}, folder, "M-CLIP")
    head = take_linear(state, "LinearTransformation", folder, dtype)
    prefix = "transformer."
    weights = {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}
    backbone = build_model(_model_class(config), config, weights, folder, dtype, prefix=prefix)
    return TextParts(backbone, _read_tokenizer(folder, config), head)


def _read_open_clip(text: open_clip.OpenClipText, dtype: torch.dtype) -> TextParts:
    if not text.settings.get("hf_model_name"):
        config = transformer_config(text.settings, text.width, text.is_quick, text.source)
        state = from_open_clip(text.state)
        return _half_parts(config, state, text.source, dtype, text.tokenizer, text.clean)
    config, weights, head, pooling = open_clip.encoder_parts(text, dtype)
    backbone = build_model(_model_class(config), config, weights, text.source, dtype, prefix="text.transformer.")
    finish_backbone(backbone)
    tokenizer = _read_tokenizer(text.tokenizer, config)
    return TextParts(backbone, tokenizer, head, pooling, longest=text.length, clean=text.clean)


def _read_encoder(folder: Path, dtype: torch.dtype) -> TextParts:
    config = _text_config(read_config(folder))
    family = FAMILIES.get(config.model_type)
    if family is not None and family.encoder is not None:
        return _half_parts(config, _half_of(folder, config), folder, dtype, folder, family.clean)
    if type(config) not in MODEL_MAPPING or config.is_encoder_decoder or not hasattr(config, "vocab_size"):
        kind = config.model_type
        raise WeightsError(f"{folder} holds the architecture {kind!r}, expected a text tower: {', '.join(FAMILIES)}")
    model_class, state = _model_class(config), read_state_dict(folder)
    prefix = f"{model_class.base_model_prefix}."  # of a checkpoint with task heads: `roberta.`, `bert.` etc.
    own = {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}
    backbone = build_model(model_class, config, own or state, folder, dtype)
    return TextParts(backbone, _read_tokenizer(folder, config))


def _text_config(config: PretrainedConfig) -> PretrainedConfig:
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


def _half_of(folder: Path, config: PretrainedConfig) -> dict[str, torch.Tensor]:
    """Return the weights of the text half in a folder of transformers; `projection.…` is the head."""
    state = {
        name.removeprefix("text_model."): value
        for name, value in read_state_dict(folder).items()
        if not name.startswith(IMAGE_PARTS)
    }
    prefix = f"{FAMILIES[config.model_type].projection}."
    return {
        f"projection.{name.removeprefix(prefix)}" if name.startswith(prefix) else name: value
        for name, value in state.items()
    }


def _half_parts(
    config: PretrainedConfig, state: dict[str, torch.Tensor], source: Path, dtype: torch.dtype, folder: Path, clean: str
) -> TextParts:
    """Return the parts of a text half, by its weights of the file or folder `source`, and the tokenizer in `folder`."""
    projection = {name: state.pop(name) for name in list(state) if name.startswith("projection.")}
    head = take_linear(projection, "projection", source, dtype) if projection else None
    config.attention_dropout = 0.0  # torch would draw it for a whole batch; the published towers have none
    if isinstance(config, SiglipTextConfig):  # transformers puts a head into the encoder, which pecl does not use
        d, width = config.hidden_size, config.projection_size or config.hidden_size
        state |= {"head.weight": torch.zeros(width, d, dtype=dtype), "head.bias": torch.zeros(width, dtype=dtype)}
    backbone = build_model(_model_class(config), config, state, source, dtype)
    finish_backbone(backbone)
    tokenizer = _read_tokenizer(folder, backbone.config)
    _check_ends(tokenizer, backbone.config, folder)
    return TextParts(backbone, tokenizer, head, FAMILIES[config.model_type].pooling, clean=clean)


def _check_ends(tokenizer: PreTrainedTokenizerBase, config: PretrainedConfig, folder: Path) -> None:
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


def _model_class(config: PretrainedConfig) -> type[PreTrainedModel]:
    family = FAMILIES.get(config.model_type)
    own = None if family is None else family.encoder
    return own or cast("type[PreTrainedModel]", MODEL_MAPPING[type(config)])


def _read_tokenizer(folder: Path, config: PretrainedConfig) -> PreTrainedTokenizerBase:
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, config=config, local_files_only=True)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WeightsError(f"{folder} holds no tokenizer that transformers can read: {first_line(error)}") from error
    if tokenizer.pad_token_id is None:
        raise WeightsError(f"the tokenizer in {folder} has no padding token, which batches need")
    if len(tokenizer) > config.vocab_size:
        raise WeightsError(
            f"the tokenizer in {folder} has {len(tokenizer)} entries and the encoder {config.vocab_size}: "
            "they do not belong together"
        )
    return tokenizer


def _max_length(asked: int | None, parts: TextParts) -> int:
    config = parts.backbone.config
    limit = parts.tokenizer.model_max_length
    if hasattr(config, "max_position_embeddings"):
        limit = min(limit, longest_sequence(config))
    if asked is None:
        return min(DEFAULT_MAX_LENGTH, limit, parts.longest or limit)
    if not 1 <= asked <= limit:
        raise ConfigError(f"max_length: expected a whole number from 1 to {limit}, got {asked}")
    return asked
