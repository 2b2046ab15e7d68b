"""Shapes of published text towers, and of the encoders that the checkpoints of M-CLIP and open_clip only name.

With them a checkpoint loads without fetching its base model, and a dry run needs no checkpoint at all. Source: the
`config.json` of each, and open_clip's table of models. `shapes.json` has of each encoder the fields of its config, and
of each tower its encoder, the `width` of the embeddings (null without a layer behind the pooling), whether that layer
`has_bias`, and the width `between` the two layers of a head of two.
"""

from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import CONFIG_MAPPING, AutoModel, PretrainedConfig

from pecl.encoders.families import FAMILIES, finish_backbone, longest_sequence
from pecl.encoders.text import MultilingualTextEncoder
from pecl.files import load_json

_TABLE: dict[str, dict[str, Any]] = load_json(Path(__file__).with_name("shapes.json"))


def base_config(name: str) -> PretrainedConfig | None:
    """Return the shape of the encoder `name`, or None for one that is not known here."""
    return _config(name) if name in _TABLE["encoders"] else None


def _config(encoder: str | dict[str, Any]) -> PretrainedConfig:
    """Return the config of an encoder by its name or its fields."""
    if isinstance(encoder, str):
        return _config(_TABLE["encoders"][encoder])
    return CONFIG_MAPPING[encoder["model_type"]](**{k: v for k, v in encoder.items() if k != "model_type"})


def known_tower(name: str) -> MultilingualTextEncoder | None:
    """Return the text tower of a published checkpoint, without values and tokenizer; None for all other names.

    Its parameters are on the device `meta`.
    """
    shape = _TABLE["towers"].get(name)
    if shape is None:
        return None
    config, width, between = _config(shape["encoder"]), shape["width"], shape.get("between")
    family = FAMILIES[config.model_type]
    d = config.hidden_size
    with torch.device("meta"):
        backbone = AutoModel.from_config(config) if family.encoder is None else family.encoder(config)
        head: nn.Module | None = None if width is None else nn.Linear(d, width, shape.get("has_bias", True))
        if width is not None and between is not None:
            head = nn.Sequential(nn.Linear(d, between, False), nn.GELU(), nn.Linear(between, width, False))
    finish_backbone(backbone)
    length = min(77 if name.startswith("open_clip:") else 128, longest_sequence(config))
    return MultilingualTextEncoder(backbone, None, head, name=name, pooling=family.pooling, max_length=length)
