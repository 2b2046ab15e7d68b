"""Text towers from checkpoints: M-CLIP, sentence-transformers, open_clip and plain transformers encoders.

A checkpoint is fetched once, and nothing else is needed: an M-CLIP tower is built from its config,
not from the base model that the config names. The files of a folder show its kind: `modules.json`
is sentence-transformers, `open_clip_config.json` open_clip, `model_type` "M-CLIP" M-CLIP, and
anything else an encoder with mean pooling.

`shapes.json` has the shapes of published towers, and of encoders that checkpoints of M-CLIP and
open_clip only name. These checkpoints load without their base model, and a dry run needs no
checkpoint. Sources: the `config.json` of each, and open_clip's table of models. An encoder has the
fields of its config. A tower has its `encoder`, the `width` of the embeddings (null without a layer
after the pooling), whether that layer `has_bias`, and, in a head of two layers, the width `between` them.
"""

import re
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn
from transformers import (
    CONFIG_MAPPING,
    MODEL_MAPPING,
    AutoModel,
    AutoTokenizer,
    PretrainedConfig,
    PreTrainedTokenizerBase,
    SiglipTextConfig,
)

from pecl.encoders.families import FAMILIES, finish_backbone, longest_sequence
from pecl.encoders.loading import open_clip, weights
from pecl.encoders.loading.hub import resolve
from pecl.encoders.loading.sentence_transformers import read_layout
from pecl.encoders.text import MultilingualTextEncoder
from pecl.errors import ConfigError, WeightsError, unknown
from pecl.files import load_json

# of a checkpoint of both halves
IMAGE_PARTS = ("vision_model.", "visual_projection.", "logit_scale", "logit_bias")
DEFAULT_MAX_LENGTH = 128  # tokens; captions are far shorter
POOLERS = {"mean_pooler": "mean", "cls_pooler": "cls", "cls_last_hidden_state_pooler": "cls"}  # open_clip's names
_TABLE: dict[str, dict[str, Any]] = load_json(Path(__file__).with_name("shapes.json"))

Parts = dict[str, Any]  # arguments of a `MultilingualTextEncoder`, and `longest`, the format's own limit in tokens


def load_text_checkpoint(
    name_or_path: str | Path,
    *,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    max_length: int | None = None,
    pooling: str | None = None,
) -> MultilingualTextEncoder:
    """Load a text tower from a checkpoint; arguments and errors as in `pecl.encoders.towers.load_text_encoder`.

    `name_or_path` is a hub id, a local folder, or `open_clip:<model>/<weights>`.
    """
    if (name := str(name_or_path)).startswith(open_clip.PREFIX):
        parts = _read_open_clip(open_clip.read_named(name), dtype)
    else:
        folder = resolve(name_or_path, "text_model")
        if (folder / "modules.json").exists():
            encoder, around = read_layout(folder, dtype)
            parts = _read_encoder(encoder, dtype) | around
        elif open_clip.is_open_clip(folder):
            parts = _read_open_clip(open_clip.read_folder(folder), dtype)
        elif weights.read_json(folder / "config.json").get("model_type") == "M-CLIP":
            parts = _read_mclip(folder, dtype)
        else:
            parts = _read_encoder(folder, dtype)

    longest = _max_length(max_length, parts["tokenizer"], parts["backbone"].config, parts.pop("longest", None))
    parts |= {} if pooling is None else {"pooling": pooling}
    return MultilingualTextEncoder(**parts, name=name, max_length=longest).to(device)


def base_config(name: str) -> PretrainedConfig | None:
    """Return the config of the encoder `name`; None if `shapes.json` lacks it."""
    return _config(name) if name in _TABLE["encoders"] else None


def _config(encoder: str | dict[str, Any]) -> PretrainedConfig:
    """Return the config of an encoder, given its name in `shapes.json` or its fields."""
    if isinstance(encoder, str):
        return _config(_TABLE["encoders"][encoder])
    return CONFIG_MAPPING[encoder["model_type"]](**{k: v for k, v in encoder.items() if k != "model_type"})


def known_tower(name: str) -> MultilingualTextEncoder | None:
    """Return the text tower of a published checkpoint in `shapes.json`, without a tokenizer; None for other names.

    Its parameters are on the device `meta`: they have shapes, but no values.
    """
    shape = _TABLE["towers"].get(name)
    if shape is None:
        return None

    config = _config(shape["encoder"])
    width = shape["width"]
    between = shape.get("between")
    family = FAMILIES[config.model_type]
    d = config.hidden_size

    with torch.device("meta"):
        backbone = AutoModel.from_config(config) if family.encoder is None else family.encoder(config)
        head: nn.Module | None = None
        if width is not None:
            head = nn.Linear(d, width, shape.get("has_bias", True))
        if width is not None and between is not None:
            head = nn.Sequential(nn.Linear(d, between, False), nn.GELU(), nn.Linear(between, width, False))

    finish_backbone(backbone)
    longest = open_clip.LENGTH if name.startswith(open_clip.PREFIX) else DEFAULT_MAX_LENGTH
    length = min(longest, longest_sequence(config))
    return MultilingualTextEncoder(backbone, None, head, name=name, pooling=family.pooling, max_length=length)


def _read_mclip(folder: Path, dtype: torch.dtype) -> Parts:
    base = weights.read_json(folder / "config.json").get("modelBase")
    if not isinstance(base, str):
        raise WeightsError(f"{folder / 'config.json'} lacks modelBase, the name of the encoder that M-CLIP was made of")

    config = base_config(base) or weights.read_config(resolve(base, "modelBase of its config.json", weights=False))
    state = weights.read_state_dict(folder)
    prefixes = ("transformer", "LinearTransformation")
    weights.check_names((), {name for name in state if name.split(".")[0] not in prefixes}, folder, "M-CLIP")
    head = weights.take_linear(state, "LinearTransformation", folder, dtype)

    return _parts(config, weights.below(state, "transformer."), folder, dtype, folder, "transformer.") | {"head": head}


def _read_open_clip(text: open_clip.OpenClipText, dtype: torch.dtype) -> Parts:
    """Return the parts of open_clip's own text transformer, or of a tower around a transformers encoder.

    The head of the latter is open_clip's projection: none, one linear layer, or two with GELU between them.
    """
    if not text.settings.get("hf_model_name"):
        config = open_clip.transformer_config(text.settings, text.width, text.is_quick, text.source)
        state = open_clip.from_open_clip(text.state)
        last = "bias" if text.settings.get("proj_bias") else "weight"
        if text.settings.get("proj_type") != "none":
            lacking = {f"text_projection.{name}" for name in ("weight", last) if f"projection.{name}" not in state}
            weights.check_names(lacking, (), text.source, "its config")
        return _half_parts(config, state, text.source, dtype, text.tokenizer, text.clean)

    pooler = text.settings.get("hf_pooler_type", "mean_pooler")
    if pooler not in POOLERS:
        raise WeightsError(f"{text.source}: {unknown('hf_pooler_type', pooler, POOLERS)}")
    if pooler == "cls_pooler" and "transformer.pooler.dense.weight" in text.state:
        raise WeightsError(f"{text.source} pools with the encoder's own pooler: expected cls_last_hidden_state_pooler")

    unexpected = [name for name in text.state if not name.startswith(("transformer.", "proj."))]
    if unexpected:
        raise WeightsError(f"{text.source} has the weight text.{unexpected[0]}, expected transformer.… and proj.…")

    if (text.tokenizer / "config.json").exists():
        config = weights.read_config(text.tokenizer)
    else:
        name = text.settings["hf_model_name"]
        config = base_config(name) or weights.read_config(resolve(name, "hf_model_name of its config", weights=False))

    state = weights.below(text.state, "transformer.")
    longest = text.settings.get("context_length", open_clip.LENGTH)
    parts = _parts(config, state, text.source, dtype, text.tokenizer, "text.transformer.")

    projection = text.settings.get("hf_proj_type", "mlp")
    if projection == "linear":
        parts["head"] = weights.take_linear(text.state, "proj", text.source, dtype)
    elif projection == "mlp":
        first, last = (weights.take_linear(text.state, f"proj.{i}", text.source, dtype) for i in (0, 2))
        parts["head"] = nn.Sequential(first, nn.GELU(), last)

    return parts | {"pooling": POOLERS[pooler], "longest": longest, "clean": text.clean}


def _read_encoder(folder: Path, dtype: torch.dtype) -> Parts:
    whole_config = weights.read_config(folder)
    config = _text_config(whole_config)
    family = FAMILIES.get(config.model_type)
    if family is not None and family.encoder is not None:
        text_prefix = re.compile(rf"^(text_model\.)?{family.projection}\.")
        state = {
            text_prefix.sub("projection.", name).removeprefix("text_model."): value
            for name, value in weights.read_state_dict(folder).items()
            if not name.startswith(IMAGE_PARTS)
        }

        needed = ()
        if family.projection_bias:
            needed = ("weight", "bias")
        elif config is not whole_config:
            needed = ("weight",)
        lacking = {f"{family.projection}.{name}" for name in needed if f"projection.{name}" not in state}
        weights.check_names(lacking, (), folder, "its config")
        return _half_parts(config, state, folder, dtype, folder, family.clean)

    if type(config) not in MODEL_MAPPING or config.is_encoder_decoder or not hasattr(config, "vocab_size"):
        kind = config.model_type
        raise WeightsError(f"{folder} holds the architecture {kind!r}, expected a text tower: {', '.join(FAMILIES)}")

    state = weights.read_state_dict(folder)
    prefix = cast(Any, MODEL_MAPPING[type(config)]).base_model_prefix  # of one with task heads: `roberta`, `bert` etc.
    return _parts(config, weights.below(state, f"{prefix}.") or state, folder, dtype, folder)


def _parts(
    config: PretrainedConfig,
    state: dict[str, torch.Tensor],
    source: Path,
    dtype: torch.dtype,
    folder: Path,
    prefix: str = "",
) -> Parts:
    """Return the encoder with the weights of `source`, see `build_model`, and the tokenizer in `folder`."""
    family = FAMILIES.get(config.model_type)
    model_class = (family and family.encoder) or cast(Any, MODEL_MAPPING[type(config)])
    backbone = weights.build_model(model_class, config, state, source, dtype, prefix=prefix)
    finish_backbone(backbone)
    return {"backbone": backbone, "tokenizer": _read_tokenizer(folder, config), "head": None}


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
        text.projection_dim = config.projection_dim  # both halves have that of the whole model
    return text


def _half_parts(
    config: PretrainedConfig,
    state: dict[str, torch.Tensor],
    source: Path,
    dtype: torch.dtype,
    folder: Path,
    clean: str,
) -> Parts:
    """Return the parts of a text half, arguments as in `_parts`; the weights `projection.…` are the head's.

    Raise WeightsError for a tokenizer that does not end a text with the token of the encoder, or
    pads on the left.
    """
    projection = {name: state.pop(name) for name in list(state) if name.startswith("projection.")}
    head = None
    if projection:
        head = weights.take_linear(projection, "projection", source, dtype)

    # torch would draw it for a whole batch; the published towers have none
    config.attention_dropout = 0.0
    if isinstance(config, SiglipTextConfig):  # transformers puts a head into the encoder, which pecl does not use
        d = config.hidden_size
        width = config.projection_size or config.hidden_size
        state |= {"head.weight": torch.zeros(width, d, dtype=dtype), "head.bias": torch.zeros(width, dtype=dtype)}

    parts = _parts(config, state, source, dtype, folder)
    tokenizer = parts["tokenizer"]
    family = FAMILIES[config.model_type]
    last = tokenizer("a")["input_ids"][-1:]
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

    return parts | {"head": head, "pooling": family.pooling, "clean": clean}


def _read_tokenizer(folder: Path, config: PretrainedConfig) -> PreTrainedTokenizerBase:
    try:
        # without the last argument transformers would ask whether to run a folder's own code
        tokenizer = AutoTokenizer.from_pretrained(folder, config=config, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WeightsError(
            f"{folder} holds no tokenizer that transformers can read: {weights.first_line(error)}"
        ) from error

    if tokenizer.pad_token_id is None:
        raise WeightsError(f"the tokenizer in {folder} has no padding token, which batches need")
    if len(tokenizer) > config.vocab_size:
        raise WeightsError(
            f"the tokenizer in {folder} has {len(tokenizer)} entries and the encoder {config.vocab_size}: "
            "they do not belong together"
        )

    return tokenizer


def _max_length(
    max_length: int | None,
    tokenizer: PreTrainedTokenizerBase,
    config: PretrainedConfig,
    longest: int | None,
) -> int:
    limit = tokenizer.model_max_length
    if hasattr(config, "max_position_embeddings"):
        limit = min(limit, longest_sequence(config))

    if max_length is None:
        return min(DEFAULT_MAX_LENGTH, limit, longest or limit)
    if not 1 <= max_length <= limit:
        raise ConfigError(f"expected a whole number from 1 to {limit}, got {max_length}", field="max_length")
    return max_length
