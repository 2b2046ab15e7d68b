"""Shapes of published text towers, and of the encoders that the checkpoints of M-CLIP and open_clip only name.

With them a checkpoint loads without fetching its base model, and a dry run needs no checkpoint at all. Source: the
`config.json` of each, and open_clip's table of models.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import nn
from transformers import (
    AutoModel,
    BertConfig,
    DistilBertConfig,
    M2M100Config,
    MetaClip2TextConfig,
    PretrainedConfig,
    SiglipTextConfig,
    XLMRobertaConfig,
)

from pecl.encoders.families import FAMILIES, finish_backbone, longest_sequence
from pecl.encoders.text import MultilingualTextEncoder


def xlm_roberta_large() -> XLMRobertaConfig:
    """Return the shape of XLM-R Large: 24 layers, 1024 wide, 559,890,432 parameters with its pooler."""
    return xlm_roberta_base(hidden_size=1024, num_hidden_layers=24, num_attention_heads=16, intermediate_size=4096)


def xlm_roberta_base(**sizes: Any) -> XLMRobertaConfig:
    """Return the shape of XLM-R Base but for `sizes`: 12 layers, 768 wide, 277,453,056 parameters without a pooler."""
    sizes |= {"vocab_size": 250_002, "max_position_embeddings": 514, "type_vocab_size": 1, "layer_norm_eps": 1e-5}
    return XLMRobertaConfig(bos_token_id=0, pad_token_id=1, eos_token_id=2, **sizes)


def nllb(layers: int, wide: int) -> M2M100Config:
    """Return the shape of a distilled NLLB-200 with `layers` layers in its encoder and `wide` units between them."""
    half = {"layers": layers, "ffn_dim": wide, "attention_heads": 16}
    halves = {f"{name}_{key}": value for name in ("encoder", "decoder") for key, value in half.items()}
    sizes: dict[str, Any] = {**halves, "vocab_size": 256_206, "d_model": 1024, "max_position_embeddings": 1024}
    special: dict[str, Any] = {"bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2}
    return M2M100Config(**sizes, **special, activation_function="relu", scale_embedding=True)


def labse() -> BertConfig:
    """Return the shape of LaBSE: 12 layers, 768 wide, 470,926,848 parameters with its pooler."""
    return BertConfig(vocab_size=501_153)  # the rest is as in BERT's base


def base_config(name: str) -> PretrainedConfig | None:
    """Return the shape of the base model `name`, or None for one that is not known here."""
    shapes = {
        "xlm-roberta-base": xlm_roberta_base,
        "FacebookAI/xlm-roberta-base": xlm_roberta_base,
        "xlm-roberta-large": xlm_roberta_large,
        "FacebookAI/xlm-roberta-large": xlm_roberta_large,
        "sentence-transformers/LaBSE": labse,
        "facebook/nllb-200-distilled-600M": lambda: nllb(12, 4096),
        "facebook/nllb-200-distilled-1.3B": lambda: nllb(24, 8192),
    }
    return shapes[name]() if name in shapes else None


def _siglip(
    layers: int, width: int, wide: int, heads: int, vocabulary: int = 256_000, out: int | None = None
) -> "Shape":
    """Return the shape of a SigLIP's text tower, whose embeddings are as wide as its layers unless `out` says more."""
    sizes: dict[str, Any] = {"hidden_size": width, "intermediate_size": wide, "num_hidden_layers": layers}
    config = SiglipTextConfig(**sizes, num_attention_heads=heads, vocab_size=vocabulary)
    return Shape(config, out or width, has_bias=True)


def _metaclip(layers: int, width: int, vocabulary: int = 901_629) -> "Shape":
    """Return the shape of a MetaCLIP 2's text tower, whose heads are 64 wide."""
    sizes: dict[str, Any] = {"hidden_size": width, "intermediate_size": 4 * width, "num_hidden_layers": layers}
    config = MetaClip2TextConfig(**sizes, num_attention_heads=width // 64, vocab_size=vocabulary, eos_token_id=2)
    return Shape(config, width, has_bias=False)


class Shape(NamedTuple):
    """The shape of a text tower."""

    config: PretrainedConfig  # of its encoder
    width: int | None  # width D of its embeddings; None without a layer behind the pooling
    has_bias: bool = True  # whether the linear layer behind the pooling has a bias
    between: int | None = None  # width between the two layers of a head of two


_MT5 = 250_112
_SHAPES: dict[str, Callable[[], Shape]] = {
    "M-CLIP/XLM-Roberta-Large-Vit-L-14": lambda: Shape(xlm_roberta_large(), 768),
    "M-CLIP/XLM-Roberta-Large-Vit-B-32": lambda: Shape(xlm_roberta_large(), 512),
    "M-CLIP/XLM-Roberta-Large-Vit-B-16Plus": lambda: Shape(xlm_roberta_large(), 640),
    "M-CLIP/LABSE-Vit-L-14": lambda: Shape(labse(), 768),
    "sentence-transformers/clip-ViT-B-32-multilingual-v1": lambda: Shape(
        DistilBertConfig(vocab_size=119_547), 512, has_bias=False
    ),
    "open_clip:xlm-roberta-base-ViT-B-32/laion5b_s13b_b90k": lambda: Shape(xlm_roberta_base(), 512, False, 640),
    "open_clip:xlm-roberta-large-ViT-H-14/frozen_laion5b_s13b_b90k": lambda: Shape(
        xlm_roberta_large(), 1024, False, 1024
    ),
    "google/siglip2-base-patch16-224": lambda: _siglip(12, 768, 3072, 12),
    "google/siglip2-large-patch16-256": lambda: _siglip(24, 1024, 4096, 16),
    "google/siglip2-so400m-patch14-384": lambda: _siglip(27, 1152, 4304, 16),
    "google/siglip2-giant-opt-patch16-256": lambda: _siglip(27, 1152, 4304, 16, out=1536),
    "open_clip:ViT-B-16-SigLIP-i18n-256/webli": lambda: _siglip(12, 768, 3072, 12, 250_000),
    "open_clip:ViT-SO400M-16-SigLIP-i18n-256/webli": lambda: _siglip(27, 1152, 4304, 16, 250_000)._replace(width=None),
    "facebook/metaclip-2-mt5-worldwide-s16": lambda: _metaclip(12, 384, _MT5),
    "facebook/metaclip-2-mt5-worldwide-m16": lambda: _metaclip(12, 512, _MT5),
    "facebook/metaclip-2-mt5-worldwide-b32": lambda: _metaclip(12, 512, _MT5),
    "facebook/metaclip-2-worldwide-s16": lambda: _metaclip(12, 384),
    "facebook/metaclip-2-worldwide-b16": lambda: _metaclip(12, 512),
    "facebook/metaclip-2-worldwide-l14": lambda: _metaclip(12, 768),
    "facebook/metaclip-2-worldwide-huge-quickgelu": lambda: _metaclip(24, 1024),
    "open_clip:nllb-clip-base-siglip/v1": lambda: Shape(nllb(12, 4096), 768, False),
    "open_clip:nllb-clip-large-siglip/v1": lambda: Shape(nllb(24, 8192), 1152, False),
}


def known_tower(name: str) -> MultilingualTextEncoder | None:
    """Return the text tower of a published checkpoint, without values and tokenizer; None for all other names.

    Its parameters are on the device `meta`.
    """
    if name not in _SHAPES:
        return None
    config, width, has_bias, between = _SHAPES[name]()
    family = FAMILIES[config.model_type]
    d = config.hidden_size
    with torch.device("meta"):
        backbone = AutoModel.from_config(config) if family.encoder is None else family.encoder(config)
        head: nn.Module | None = None if width is None else nn.Linear(d, width, has_bias)
        if width is not None and between is not None:
            head = nn.Sequential(nn.Linear(d, between, False), nn.GELU(), nn.Linear(between, width, False))
    finish_backbone(backbone)
    length = min(77 if name.startswith("open_clip:") else 128, longest_sequence(config))
    return MultilingualTextEncoder(backbone, None, head, name=name, pooling=family.pooling, max_length=length)
