"""Towers of open_clip, an optional dependency (extra `openclip`).

A tower is named `open_clip:<model>/<weights>`, or is a folder with `open_clip_config.json`. A text
tower in a folder loads without open_clip. For a text tower only the text half of the weights is
read. In towers of open_clip around a transformers encoder, such as XLM-R with a head of two layers,
the encoder's own names follow `text.transformer.`.

The weights of open_clip's own text transformer are renamed to those of transformers' SigLIP and
MetaCLIP 2. open_clip fuses the projections of query, key and value in one matrix (3d, d), which is
split on reading and joined on writing. A projection of CLIP's kind is a matrix (d, D), the
transpose of a linear layer's weight.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from transformers import MetaClip2TextConfig, PretrainedConfig, SiglipTextConfig

from pecl.encoders.cleaning import WHITESPACE, WHITESPACE_LOWER
from pecl.encoders.image import ImageEncoder
from pecl.encoders.loading.hub import resolve
from pecl.encoders.loading.weights import below, read_json, read_tensors
from pecl.errors import WeightsError, install, one_line, unknown
from pecl.files import sha256_file

PREFIX = "open_clip:"
_PINNED = re.compile(r"(.+)@([0-9a-f]{64})")  # weights, and the SHA-256 that their file must have
CONFIG_FILE = "open_clip_config.json"
WEIGHT_FILES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
LENGTH = 77  # tokens, if the config of a model has none
# Parts of open_clip's names, and their replacements in transformers' names; {} stands for q, k and v
_RENAMED = (
    ("token_embedding.", "embeddings.token_embedding."),
    ("positional_embedding", "embeddings.position_embedding.weight"),
    ("ln_final.", "final_layer_norm."),
    ("transformer.resblocks.", "encoder.layers."),
    (".ln_1.", ".layer_norm1."),
    (".ln_2.", ".layer_norm2."),
    (".attn.in_proj_", ".self_attn.{}_proj."),
    (".attn.out_proj.", ".self_attn.out_proj."),
    (".mlp.c_fc.", ".mlp.fc1."),
    (".mlp.c_proj.", ".mlp.fc2."),
)
_TEXT = tuple(theirs for theirs, _ in _RENAMED if not theirs.startswith("."))  # prefixes of the text half's names
_PROJECTION = "text_projection"
# Settings of open_clip that change the computation, with the values for which it equals
# transformers' encoder
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


def load_image(name: str, model: str, pretrained: str | None = None) -> ImageEncoder:
    """Load the image half of an open_clip model as the tower `name`, with that model's own preprocessing.

    `model` is a name in `open_clip.list_models()`, with `pretrained`, the name of its weights or
    the path of their file; or `local-dir:<folder>`, whose folder holds the weights.
    `<weights>@<SHA-256>` checks the file before it is read, since open_clip's table and the model
    hub can change the file behind a name. Raise WeightsError.
    """
    with _loading(name, model, pretrained) as (open_clip, weights, checksum):
        if checksum is not None:
            _weights_file(open_clip, model, weights, checksum)
        clip_model, preprocess = open_clip.create_model_from_pretrained(model, pretrained=weights)

    settings = {"library": "open_clip", **clip_model.visual.preprocess_cfg}
    encoder = ImageEncoder(clip_model.visual, None, preprocess, name=name, preprocessing=settings)
    encoder.model_config = open_clip.get_model_config(model)
    return encoder


@contextmanager
def _loading(
    name: str,
    model: str,
    pretrained: str | None,
) -> Iterator[tuple[Any, Any, str | None]]:
    """Yield open_clip, the weights that `pretrained` names, after a check of the name, and their expected SHA-256."""
    try:
        import open_clip
    except ImportError as error:
        raise WeightsError(f"the tower {name} needs open_clip: {install('openclip')} ({error})") from error

    pinned = _PINNED.fullmatch(pretrained or "")
    weights, checksum = pinned.groups() if pinned is not None else (pretrained, None)
    if not model.startswith("local-dir:"):
        if model not in open_clip.list_models():
            raise WeightsError(unknown("open_clip model", model, open_clip.list_models()))
        tags = open_clip.list_pretrained_tags_by_model(model)
        if not weights or ("/" not in weights and weights not in tags):
            message = unknown(f"weights of open_clip model {model}", weights, tags)
            raise WeightsError(f"{message}; or the path of a file")

    try:
        yield open_clip, weights, checksum
    except WeightsError:
        raise
    except Exception as error:  # open_clip passes on any error of its download and of torch
        remedy = f"; {PREFIX}{model}/PATH names a local file of weights" if pretrained else ""
        raise WeightsError(f"open_clip cannot load {name}: {one_line(error)[:300]}{remedy}") from error


def _weights_file(open_clip: Any, model: str, weights: str, checksum: str | None) -> Path:
    """Return the path of a file of weights; a name is downloaded once by open_clip."""
    path = weights
    if "/" not in weights:
        path = open_clip.download_pretrained(open_clip.get_pretrained_cfg(model, weights))
    if checksum is not None and (actual := sha256_file(path)) != checksum:
        raise WeightsError(f"the weights {path} have the SHA-256 {actual}, expected {checksum}: this is another file")
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
        cleaning = (self.settings.get("tokenizer_kwargs") or {}).get("clean", WHITESPACE)
        return WHITESPACE_LOWER if cleaning == "lower" else cleaning


def is_open_clip(folder: Path) -> bool:
    """Return whether a folder is in open_clip's format."""
    return (folder / CONFIG_FILE).exists() and any((folder / name).exists() for name in WEIGHT_FILES)


def read_folder(folder: Path) -> OpenClipText:
    """Read the text half of a folder in open_clip's format, which also holds the tokenizer."""
    document = read_json(folder / CONFIG_FILE)
    source = next(folder / name for name in WEIGHT_FILES if (folder / name).exists())
    try:
        return _read(source, document.get("model_cfg", document), folder)
    except (AttributeError, KeyError, TypeError) as error:
        raise WeightsError(f"{folder / CONFIG_FILE}: expected the config of a model of open_clip ({error})") from error


def read_named(name: str) -> OpenClipText:
    """Read the text half of `open_clip:<model>/<weights>`, whose file is fetched if needed; see `load_image`."""
    model, _, pretrained = name.removeprefix(PREFIX).partition("/")
    with _loading(name, model, pretrained) as (open_clip, weights, checksum):
        config = open_clip.get_model_config(model)
        source = _weights_file(open_clip, model, weights, checksum)
    return _read(source, config, None)


def _read(source: Path, config: dict[str, Any], folder: Path | None) -> OpenClipText:
    settings = config["text_cfg"]
    state = {name: tensor for name, tensor in read_tensors(source).items() if not name.endswith("position_ids")}

    tokenizer = folder
    if tokenizer is None or not (tokenizer / "tokenizer_config.json").exists():
        tokenizer_name = settings.get("hf_tokenizer_name")
        if not isinstance(tokenizer_name, str):
            raise WeightsError(f"the config of {source} names no hf_tokenizer_name: expected a multilingual text tower")
        tokenizer = resolve(tokenizer_name, "hf_tokenizer_name of its config", weights=False)

    return OpenClipText(
        source, settings, config["embed_dim"], bool(config.get("quick_gelu")), below(state, "text.") or state, tokenizer
    )


def from_open_clip(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the weights of open_clip's text transformer under transformers' names; `projection.…` is the head.

    Weights of other parts of the model, such as the image half, are left out.
    """
    converted: dict[str, torch.Tensor] = {}
    for name, tensor in state.items():
        if name == _PROJECTION:
            converted["projection.weight"] = tensor.T.contiguous()
        elif name.startswith(_PROJECTION):
            converted[name.replace(_PROJECTION, "projection")] = tensor
        elif name.startswith(_TEXT):
            for old, new in _RENAMED:
                name = name.replace(old, new)
            parts = zip("qkv", tensor.chunk(3), strict=True) if "{}" in name else [("", tensor)]
            converted |= {name.format(letter): part for letter, part in parts}

    return converted


def to_open_clip(
    backbone: Mapping[str, torch.Tensor],
    weight: torch.Tensor | None,
    bias: torch.Tensor | None,
) -> dict:
    """Return the weights of a text half under open_clip's names: the reverse of `from_open_clip`.

    `weight` (D, d) and `bias` (D,) are the head's: both None without a head; the bias None for CLIP's matrix.
    """
    converted: dict[str, torch.Tensor] = {}
    for name, tensor in backbone.items():
        if ".k_proj." in name or ".v_proj." in name:
            continue
        if ".q_proj." in name:
            tensor = torch.cat([backbone[name.replace(".q_proj.", f".{letter}_proj.")] for letter in "qkv"])
        name = name.replace(".q_proj.", ".{}_proj.")
        for old, new in _RENAMED:
            name = name.replace(new, old)
        converted[name] = tensor

    if weight is not None and bias is None:
        converted[_PROJECTION] = weight.T.contiguous()
    elif weight is not None and bias is not None:
        converted |= {f"{_PROJECTION}.weight": weight, f"{_PROJECTION}.bias": bias}

    return converted


def transformer_config(
    settings: Mapping[str, Any],
    width: int,
    is_quick: bool,
    source: Path,
) -> PretrainedConfig:
    """Return transformers' config of open_clip's own text half; arguments as in `OpenClipText`. Raise WeightsError."""
    pooling = settings.get("pool_type", "argmax"), settings.get("no_causal_mask", False)
    changed = [name for name, plain in _PLAIN.items() if settings.get(name, plain) != plain]
    if pooling not in (("last", True), ("eos", False)) or changed:
        actual = ", ".join(changed)
        if not changed:
            actual = f"pool_type {pooling[0]!r} {'without' if pooling[1] else 'with'} a causal mask"
        raise WeightsError(
            f"{source} is a text tower of open_clip with {actual}: expected SigLIP (pool_type 'last', no causal mask), "
            "MetaCLIP 2 (pool_type 'eos', a causal mask), or one around a transformers encoder (hf_model_name)"
        )

    gelu = "gelu"
    if (settings.get("act_kwargs") or {}).get("approximate") == "tanh":
        gelu = "gelu_pytorch_tanh"

    d = settings.get("width", 512)
    sizes = {
        "vocab_size": settings.get("vocab_size", 49_408),
        "hidden_size": d,
        "num_hidden_layers": settings.get("layers", 12),
        "num_attention_heads": settings.get("heads", 8),
        "intermediate_size": int(d * settings.get("mlp_ratio", 4.0)),
        "max_position_embeddings": settings.get("context_length", LENGTH),
        "hidden_act": "quick_gelu" if is_quick else gelu,
        "layer_norm_eps": (settings.get("norm_kwargs") or {}).get("eps", 1e-5),
    }
    if pooling[1]:
        return SiglipTextConfig(**sizes, projection_size=width)
    return MetaClip2TextConfig(**sizes, projection_dim=width, eos_token_id=settings.get("eos_id", 2))
