"""Shapes of the encoders that M-CLIP and open_clip's text towers were built on; their checkpoints only name them.

With them a checkpoint loads without fetching its base model. Source: the `config.json` of xlm-roberta-base,
xlm-roberta-large, sentence-transformers/LaBSE and the distilled NLLB-200.
"""

from __future__ import annotations

import torch
from torch import nn
from transformers import AutoModel, BertConfig, M2M100Config, PretrainedConfig, XLMRobertaConfig

from pecl.encoders.text import MultilingualTextEncoder
from pecl.errors import not_none


def xlm_roberta_large() -> XLMRobertaConfig:
    """Return the shape of XLM-R Large: 24 layers, 1024 wide, 559,890,432 parameters with its pooler."""
    return XLMRobertaConfig(
        vocab_size=250_002,
        hidden_size=1024,
        num_hidden_layers=24,
        num_attention_heads=16,
        intermediate_size=4096,
        max_position_embeddings=514,
        type_vocab_size=1,
        layer_norm_eps=1e-5,
        bos_token_id=0,
        pad_token_id=1,
        eos_token_id=2,
    )


def xlm_roberta_base() -> XLMRobertaConfig:
    """Return the shape of XLM-R Base: 12 layers, 768 wide, 277,453,056 parameters without a pooler."""
    return XLMRobertaConfig(
        vocab_size=250_002,
        max_position_embeddings=514,
        type_vocab_size=1,
        layer_norm_eps=1e-5,
        bos_token_id=0,
        pad_token_id=1,
        eos_token_id=2,
    )


def nllb(layers: int, wide: int) -> M2M100Config:
    """Return the shape of a distilled NLLB-200 with `layers` layers in its encoder and `wide` units between them."""
    return M2M100Config(
        vocab_size=256_206,
        d_model=1024,
        encoder_layers=layers,
        decoder_layers=layers,
        encoder_ffn_dim=wide,
        decoder_ffn_dim=wide,
        encoder_attention_heads=16,
        decoder_attention_heads=16,
        max_position_embeddings=1024,
        activation_function="relu",
        scale_embedding=True,
        bos_token_id=0,
        pad_token_id=1,
        eos_token_id=2,
    )


def labse() -> BertConfig:
    """Return the shape of LaBSE: 12 layers, 768 wide, 470,926,848 parameters with its pooler."""
    return BertConfig(
        vocab_size=501_153,
        hidden_size=768,
        num_hidden_layers=12,
        num_attention_heads=12,
        intermediate_size=3072,
        max_position_embeddings=512,
        type_vocab_size=2,
        layer_norm_eps=1e-12,
        pad_token_id=0,
    )


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


# M-CLIP's checkpoints on the hub -> the base model that they name, and the width of their embeddings
_MCLIP = {
    "M-CLIP/XLM-Roberta-Large-Vit-L-14": ("xlm-roberta-large", 768),
    "M-CLIP/XLM-Roberta-Large-Vit-B-32": ("xlm-roberta-large", 512),
    "M-CLIP/XLM-Roberta-Large-Vit-B-16Plus": ("xlm-roberta-large", 640),
    "M-CLIP/LABSE-Vit-L-14": ("sentence-transformers/LaBSE", 768),
}


def known_tower(name: str) -> MultilingualTextEncoder | None:
    """Return the text tower of an M-CLIP checkpoint, without values and tokenizer; None for all other names.

    Its parameters are on the device `meta`.
    """
    if name not in _MCLIP:
        return None
    base, width = _MCLIP[name]
    config = not_none(base_config(base), base)
    with torch.device("meta"):
        backbone = AutoModel.from_config(config)
        head = nn.Linear(config.hidden_size, width)
    return MultilingualTextEncoder(backbone, None, head, name=name)
