"""Towers of open_clip, an optional dependency (extra `openclip`).

A tower is named `open_clip:<model>/<weights>`, or is a folder with `open_clip_config.json`, which a text tower needs no
open_clip for. Of a text tower only the text half is read from the file of weights. Towers of open_clip around a
transformers encoder, such as XLM-R with a head of two layers, keep the names of the encoder behind `text.transformer.`.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn
from transformers import PretrainedConfig

from pecl.encoders.cleaning import WHITESPACE, WHITESPACE_LOWER
from pecl.encoders.image import ImageEncoder
from pecl.encoders.loading.hub import resolve
from pecl.encoders.loading.shapes import base_config
from pecl.encoders.loading.weights import first_line, read_config, read_json, read_tensors, take_linear
from pecl.errors import WeightsError, install, unknown
from pecl.files import sha256_file

PREFIX = "open_clip:"
_PINNED = re.compile(r"(.+)@([0-9a-f]{64})")  # weights, and the SHA-256 that their file must have
CONFIG_FILE = "open_clip_config.json"
WEIGHT_FILES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
POOLERS = {"mean_pooler": "mean", "cls_pooler": "cls", "cls_last_hidden_state_pooler": "cls"}
LENGTH = 77  # tokens, where the config of a model does not say


def load_image(name: str, model: str, pretrained: str | None = None) -> ImageEncoder:
    """Load the image half of an open_clip model as the tower `name`, with that model's own preprocessing.

    The model is a name of `open_clip.list_models()`, or `local-dir:<folder>`, which holds its weights. Otherwise
    `pretrained` names the weights, or the path of their file. `<weights>@<SHA-256>` has the file checked before it is
    read, since open_clip's table and the model hub decide which file a name means.
    """
    open_clip, weights, checksum = _known(name, model, pretrained)
    with _loading(name, model):
        if checksum is not None:
            _weights_file(open_clip, model, weights, checksum)
        whole, preprocess = open_clip.create_model_from_pretrained(model, pretrained=weights)
    settings = {"library": "open_clip", **whole.visual.preprocess_cfg}
    encoder = ImageEncoder(whole.visual, None, preprocess, name=name, preprocessing=settings)
    encoder.model_config = open_clip.get_model_config(model)
    return encoder


@contextmanager
def _loading(name: str, model: str) -> Iterator[None]:
    try:
        yield
    except WeightsError:
        raise
    except Exception as error:  # open_clip lets through whatever its download and torch raise
        remedy = f"{PREFIX}{model}/PATH names a local file of weights"
        raise WeightsError(f"open_clip cannot load {name}: {first_line(error)}; {remedy}") from error


def _known(name: str, model: str, pretrained: str | None) -> tuple[Any, Any, str | None]:
    """Return open_clip, the weights that `pretrained` names, which there are, and the SHA-256 that they must have."""
    try:
        import open_clip
    except ImportError as error:
        raise WeightsError(f"the tower {name} needs open_clip: {install('openclip')} ({error})") from error
    pinned = _PINNED.fullmatch(pretrained or "")
    weights, checksum = pinned.groups() if pinned is not None else (pretrained, None)
    if model.startswith("local-dir:"):
        return open_clip, weights, checksum
    if model not in open_clip.list_models():
        raise WeightsError(unknown("open_clip model", model, open_clip.list_models()))
    tags = open_clip.list_pretrained_tags_by_model(model)
    if not weights or ("/" not in weights and weights not in tags):
        raise WeightsError(f"{unknown(f'weights of open_clip model {model}', weights, tags)}; or the path of a file")
    return open_clip, weights, checksum


def _weights_file(open_clip: Any, model: str, weights: str, checksum: str | None) -> Path:
    """Return the path of a file of weights; a name is downloaded once by open_clip."""
    path = weights
    if "/" not in weights:
        path = open_clip.download_pretrained(open_clip.get_pretrained_cfg(model, weights))
    if checksum is not None and (found := sha256_file(path)) != checksum:
        raise WeightsError(f"the weights {path} have the SHA-256 {found}, expected {checksum}: they are others")
    return Path(path)


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
        named = (self.settings.get("tokenizer_kwargs") or {}).get("clean", WHITESPACE)
        return WHITESPACE_LOWER if named == "lower" else named

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
    """Read the text half of `open_clip:<model>/<weights>`, whose file is fetched if need be; see `load_image`."""
    model, _, pretrained = name.removeprefix(PREFIX).partition("/")
    open_clip, weights, checksum = _known(name, model, pretrained)
    with _loading(name, model):
        config, source = open_clip.get_model_config(model), _weights_file(open_clip, model, weights, checksum)
    return _read(source, config, None)


def _read(source: Path, config: dict[str, Any], folder: Path | None) -> OpenClipText:
    settings = config["text_cfg"]
    state = {name: tensor for name, tensor in read_tensors(source).items() if not name.endswith("position_ids")}
    text = {name.removeprefix("text."): tensor for name, tensor in state.items() if name.startswith("text.")}
    tokenizer = folder
    if tokenizer is None or not (tokenizer / "tokenizer_config.json").exists():
        named = settings.get("hf_tokenizer_name")
        if not isinstance(named, str):
            raise WeightsError(f"the config of {source} names no hf_tokenizer_name: expected a multilingual text tower")
        tokenizer = resolve(named, "hf_tokenizer_name of its config", weights=False)
    return OpenClipText(source, settings, config["embed_dim"], bool(config.get("quick_gelu")), text or state, tokenizer)


def encoder_parts(
    text: OpenClipText, dtype: torch.dtype
) -> tuple[PretrainedConfig, dict[str, torch.Tensor], nn.Module | None, str]:
    """Return the encoder's config and weights, the head, and the pooling of a tower around a transformers encoder.

    The head is open_clip's projection: none, one linear layer, or two with GELU between them.
    """
    pooler = text.settings.get("hf_pooler_type") or "mean_pooler"
    if pooler not in POOLERS:
        raise WeightsError(f"{text.source}: {unknown('hf_pooler_type', pooler, POOLERS)}")
    if other := [name for name in text.state if not name.startswith(("transformer.", "proj."))]:
        raise WeightsError(f"{text.source} has the weight text.{other[0]}, expected transformer.… and proj.…")
    if (text.tokenizer / "config.json").exists():
        config = read_config(text.tokenizer)
    else:
        name = text.settings["hf_model_name"]
        config = base_config(name) or read_config(resolve(name, "hf_model_name of its config", weights=False))
    prefix, head = "transformer.", None
    if "proj.weight" in text.state:
        head = take_linear(text.state, "proj", text.source, dtype)
    elif "proj.0.weight" in text.state:
        first, last = (take_linear(text.state, f"proj.{i}", text.source, dtype) for i in (0, 2))
        head = nn.Sequential(first, nn.GELU(), last)
    weights = {name.removeprefix(prefix): value for name, value in text.state.items() if name.startswith(prefix)}
    return config, weights, head, POOLERS[pooler]
