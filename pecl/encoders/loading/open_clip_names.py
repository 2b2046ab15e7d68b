"""Names of weights: open_clip's own text transformer against transformers' encoders of SigLIP and MetaCLIP 2.

open_clip fuses the projections of query, key and value in one matrix (3d, d). They are split here, and joined on the
way back. A projection of CLIP's kind is a matrix (d, D), the transpose of a linear layer's weight.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import MetaClip2TextConfig, PretrainedConfig, SiglipTextConfig

from pecl.errors import WeightsError

# open_clip's name -> transformers' name; {} is the number of a layer
_NAMES = {
    "token_embedding.weight": "embeddings.token_embedding.weight",
    "positional_embedding": "embeddings.position_embedding.weight",
    "ln_final.weight": "final_layer_norm.weight",
    "ln_final.bias": "final_layer_norm.bias",
} | {
    f"transformer.resblocks.{{}}.{theirs}.{part}": f"encoder.layers.{{}}.{ours}.{part}"
    for theirs, ours in (
        ("ln_1", "layer_norm1"),
        ("ln_2", "layer_norm2"),
        ("attn.out_proj", "self_attn.out_proj"),
        ("mlp.c_fc", "mlp.fc1"),
        ("mlp.c_proj", "mlp.fc2"),
    )
    for part in ("weight", "bias")
}
_FUSED = "transformer.resblocks.{}.attn.in_proj_{}"
_SPLIT = "encoder.layers.{}.self_attn.{}_proj.{}"
_PROJECTION = "text_projection"
# Settings of open_clip that change the computation, with the values under which it is transformers' encoder
_PLAIN: dict[str, Any] = {
    "ls_init_value": None,
    "embed_cls": False,
    "final_ln_after_pool": False,
    "block_type": None,
    "qk_norm": False,
    "scaled_cosine_attn": False,
    "scale_heads": False,
    "scale_attn_inner": False,
    "scale_attn": False,
    "scale_fc": False,
}


def _layer(name: str) -> tuple[str, str]:
    """Return a name with `{}` for the number of its layer, and the number; no number outside the layers."""
    match = re.fullmatch(r"(transformer\.resblocks|encoder\.layers)\.(\d+)\.(.*)", name)
    return (f"{match[1]}.{{}}.{match[3]}", match[2]) if match else (name, "")


def from_open_clip(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the weights of open_clip's text transformer under transformers' names; `projection.…` is the head.

    Weights of other parts of the model, such as the image half, are left out.
    """
    found: dict[str, torch.Tensor] = {}
    for name, tensor in state.items():
        form, layer = _layer(name)
        fused = re.fullmatch(r"transformer\.resblocks\.\{\}\.attn\.in_proj_(weight|bias)", form)
        if form in _NAMES:
            found[_NAMES[form].format(layer)] = tensor
        elif fused is not None:
            for letter, part in zip("qkv", tensor.chunk(3), strict=True):
                found[_SPLIT.format(layer, letter, fused[1])] = part
        elif name == _PROJECTION:
            found["projection.weight"] = tensor.T.contiguous()
        elif name.startswith(f"{_PROJECTION}."):
            found[name.replace(_PROJECTION, "projection")] = tensor
    return found


def to_open_clip(backbone: Mapping[str, torch.Tensor], weight: torch.Tensor | None, bias: torch.Tensor | None) -> dict:
    """Return the weights of a text half under open_clip's names: the reverse of `from_open_clip`.

    The head has the `weight` (D, d), None without one, and the `bias` (D,), None for CLIP's matrix.
    """
    names = {ours: theirs for theirs, ours in _NAMES.items()}
    found: dict[str, torch.Tensor] = {}
    for name, tensor in backbone.items():
        form, layer = _layer(name)
        split = re.fullmatch(r"encoder\.layers\.\{\}\.self_attn\.(q|k|v)_proj\.(weight|bias)", form)
        if form in names:
            found[names[form].format(layer)] = tensor
        elif split is not None and split[1] == "q":
            parts = [backbone[_SPLIT.format(layer, letter, split[2])] for letter in "qkv"]
            found[_FUSED.format(layer, split[2])] = torch.cat(parts)
    if weight is not None and bias is None:
        found[_PROJECTION] = weight.T.contiguous()
    elif weight is not None and bias is not None:
        found |= {f"{_PROJECTION}.weight": weight, f"{_PROJECTION}.bias": bias}
    return found


def transformer_config(settings: Mapping[str, Any], width: int, is_quick: bool, source: Path) -> PretrainedConfig:
    """Return transformers' config of a text half of open_clip's own; arguments as in `OpenClipText`."""
    pooling = settings.get("pool_type", "argmax"), settings.get("no_causal_mask", False)
    changed = [name for name, plain in _PLAIN.items() if settings.get(name, plain) != plain]
    if pooling not in (("last", True), ("eos", False)) or changed:
        told = ", ".join(changed) or f"pool_type {pooling[0]!r} {'without' if pooling[1] else 'with'} a causal mask"
        raise WeightsError(
            f"{source} is a text tower of open_clip with {told}: expected SigLIP (pool_type 'last', no causal mask), "
            "MetaCLIP 2 (pool_type 'eos', a causal mask), or one around a transformers encoder (hf_model_name)"
        )
    gelu = "gelu_pytorch_tanh" if (settings.get("act_kwargs") or {}).get("approximate") == "tanh" else "gelu"
    d = settings["width"]
    sizes = {
        "vocab_size": settings["vocab_size"],
        "hidden_size": d,
        "num_hidden_layers": settings["layers"],
        "num_attention_heads": settings["heads"],
        "intermediate_size": int(d * settings.get("mlp_ratio", 4.0)),
        "max_position_embeddings": settings.get("context_length", 77),
        "hidden_act": "quick_gelu" if is_quick else gelu,
        "layer_norm_eps": (settings.get("norm_kwargs") or {}).get("eps", 1e-5),
    }
    if pooling[1]:
        return SiglipTextConfig(**sizes, projection_size=width)
    return MetaClip2TextConfig(**sizes, projection_dim=width, eos_token_id=settings.get("eos_id", 2))
