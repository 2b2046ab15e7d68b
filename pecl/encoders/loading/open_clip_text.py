"""Text towers in open_clip's form: a folder with `open_clip_config.json`, or `open_clip:<model>/<weights>`.

Only the text half is read from the file of weights. Towers of open_clip around a transformers encoder, such as XLM-R
with a head of two layers, keep the names of the encoder behind `text.transformer.`.
"""

from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn
from transformers import PretrainedConfig

from pecl.encoders.cleaning import WHITESPACE
from pecl.encoders.loading.clip import PREFIX, locate
from pecl.encoders.loading.hub import resolve
from pecl.encoders.loading.shapes import base_config
from pecl.encoders.loading.weights import read_config, read_json, read_tensors, take_linear
from pecl.errors import WeightsError, unknown

CONFIG_FILE = "open_clip_config.json"
WEIGHT_FILES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
POOLERS = {"mean_pooler": "mean", "cls_pooler": "cls", "cls_last_hidden_state_pooler": "cls"}
LENGTH = 77  # tokens, where the config of a model does not say


class OpenClipText(NamedTuple):
    """The text half of a model of open_clip."""

    source: Path  # the file of weights
    settings: dict[str, Any]  # `text_cfg` of the model's config
    width: int  # width D of the embeddings
    is_quick: bool  # whether the activation is CLIP's fast GELU
    state: dict[str, torch.Tensor]  # all weights of the text half, without the prefix `text.`
    tokenizer: Path  # its folder

    @property
    def clean(self) -> str:
        """Name of the cleaning of texts."""
        return (self.settings.get("tokenizer_kwargs") or {}).get("clean", WHITESPACE)

    @property
    def length(self) -> int:
        """Most tokens of a text."""
        return self.settings.get("context_length", LENGTH)


def is_open_clip(folder: Path) -> bool:
    """Return whether a folder is in open_clip's form."""
    return (folder / CONFIG_FILE).exists() and any((folder / name).exists() for name in WEIGHT_FILES)


def read_folder(folder: Path) -> OpenClipText:
    """Read the text half of a folder in open_clip's form, which holds the tokenizer as well."""
    document = read_json(folder / CONFIG_FILE)
    source = next(folder / name for name in WEIGHT_FILES if (folder / name).exists())
    return _read(source, document.get("model_cfg", document), folder)


def read_named(name: str) -> OpenClipText:
    """Read the text half of `open_clip:<model>/<weights>`."""
    config, source = locate(name, *name.removeprefix(PREFIX).partition("/")[::2], option="--text-model")
    return _read(source, config, None)


def _read(source: Path, config: dict[str, Any], folder: Path | None) -> OpenClipText:
    settings, width = config.get("text_cfg"), config.get("embed_dim")
    if not isinstance(settings, dict) or not isinstance(width, int):
        raise WeightsError(
            f"the config of {source} lacks text_cfg or embed_dim: expected open_clip's config of a model"
        )
    state = {name: tensor for name, tensor in read_tensors(source).items() if not name.endswith("position_ids")}
    text = {name.removeprefix("text."): tensor for name, tensor in state.items() if name.startswith("text.")}
    tokenizer = folder
    if tokenizer is None or not (tokenizer / "tokenizer_config.json").exists():
        named = settings.get("hf_tokenizer_name")
        if not isinstance(named, str):
            raise WeightsError(f"the config of {source} names no hf_tokenizer_name: expected a multilingual text tower")
        tokenizer = resolve(named, "hf_tokenizer_name of its config", weights=False)
    return OpenClipText(source, settings, width, bool(config.get("quick_gelu")), text or state, tokenizer)


def encoder_config(text: OpenClipText) -> PretrainedConfig:
    """Return the config of the transformers encoder in a tower of open_clip."""
    if (text.tokenizer / "config.json").exists():
        return read_config(text.tokenizer)
    name = text.settings["hf_model_name"]
    return base_config(name) or read_config(resolve(name, "hf_model_name of its config", weights=False))


def encoder_parts(text: OpenClipText, dtype: torch.dtype) -> tuple[dict[str, torch.Tensor], nn.Module | None, str]:
    """Return the encoder's weights, the head, and the pooling of a tower around a transformers encoder."""
    pooler = text.settings.get("hf_pooler_type") or "mean_pooler"
    if pooler not in POOLERS:
        raise WeightsError(f"{text.source}: {unknown('hf_pooler_type', pooler, POOLERS)}")
    encoder, head = "transformer.", "proj."
    if other := [name for name in text.state if not name.startswith((encoder, head))]:
        raise WeightsError(
            f"{text.source} has the weight text.{other[0]}, expected transformer.… and proj.… of a tower"
        )
    weights = {name.removeprefix(encoder): value for name, value in text.state.items() if name.startswith(encoder)}
    return weights, _head(text, dtype), POOLERS[pooler]


def _head(text: OpenClipText, dtype: torch.dtype) -> nn.Module | None:
    """Return open_clip's projection: none, one linear layer, or two with GELU between them."""
    if "proj.weight" in text.state:
        return take_linear(text.state, "proj", text.source, dtype)
    if "proj.0.weight" not in text.state:
        return None
    first, last = (take_linear(text.state, f"proj.{i}", text.source, dtype) for i in (0, 2))
    return nn.Sequential(first, nn.GELU(), last)
