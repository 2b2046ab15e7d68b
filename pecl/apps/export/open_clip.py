"""A folder that open_clip, and with it CLIP_benchmark, opens as `local-dir:FOLDER`: both towers, an adapter merged in.

open_clip's text towers have no prefix and, except SigLIP, no bias in their projection. The prefix
becomes part of the tokenizer's template, and the bias goes into the last LayerNorm, see `fold_bias`.
"""

import copy
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pecl.apps.export import contract
from pecl.apps.export.folders import fold_bias
from pecl.apps.export.sentence_transformers import timm_name
from pecl.encoders.cleaning import LOWER, WHITESPACE, WHITESPACE_LOWER, cleaning
from pecl.encoders.image import ImageEncoder
from pecl.encoders.loading.open_clip import CONFIG_FILE, to_open_clip
from pecl.encoders.loading.text import load_text_checkpoint
from pecl.encoders.text import MultilingualTextEncoder
from pecl.encoders.towers import check_pair
from pecl.errors import ConfigError
from pecl.files import checked_folder, write_json, write_tensors

# pecl's name -> open_clip's
POOLERS = {"mean": "mean_pooler", "cls": "cls_last_hidden_state_pooler"}
RESIZING = {"squash": "squash", "center": "shortest"}  # timm's crop_mode -> open_clip's resize_mode
LOGIT_SCALE = math.log(1 / 0.07)  # open_clip's own start; no ranking depends on it
_PLACES = ("hf_model_name", "hf_tokenizer_name")  # settings that hold the folder's own path


def export_open_clip(
    text: MultilingualTextEncoder,
    image: ImageEncoder,
    target: str | Path,
) -> Path:
    """Write both towers as a folder of open_clip; an adapter must be merged into the text tower before.

    The folder holds its own absolute path, by which open_clip finds the text tower's shape: it
    cannot be moved.

    Raises:
        ConfigError: open_clip has no such tower; the message names the part that it cannot hold.
        WeightsError: the towers differ in width.
        OutputError: `target` exists already or cannot be written.
    """
    check_pair(text, image)
    if text.adapter is not None:
        raise ConfigError("the text tower has an adapter: merge it, or remove it, before saving the tower")

    target = Path(target).absolute()
    if text.shapes_texts:
        return _export_own(text, image, target)

    architecture = timm_name(image)
    if architecture is None or not isinstance(image.head, nn.Linear):
        raise contract.refused(image, "open_clip", "a model of timm with a linear layer")

    if text.pooling not in POOLERS or text.family is None or not isinstance(text.head, nn.Linear):
        expected = f"a pooling of {', '.join(POOLERS)} and one linear layer behind it"
        raise contract.refused(text, "open_clip", f"{expected}, got {text.pooling} and {type(text.head).__name__}")

    backbone, projection = fold_bias(text)
    config = copy.deepcopy(backbone.config)
    padding = text.tokenizer.pad_token_id
    # RoBERTa counts positions from it
    if config.model_type != "bert" and config.pad_token_id != padding:
        expected = f"a tokenizer that pads with {config.pad_token_id} as its encoder does, got {padding}"
        raise contract.refused(text, "open_clip", expected)

    config.pad_token_id = padding  # by which open_clip masks
    model = {
        "embed_dim": text.embedding_dim,
        "vision_cfg": {
            "timm_model_name": architecture,
            "timm_model_pretrained": False,
            "timm_pool": "",  # the architecture's own
            "timm_proj": "linear",
            "timm_proj_bias": image.head.bias is not None,
            "image_size": image.preprocessing["input_size"][-1],
        },
        "text_cfg": {
            "hf_model_name": str(target),
            "hf_tokenizer_name": str(target),
            "hf_pooler_type": POOLERS[text.pooling],
            "hf_proj_type": "linear",
            "context_length": text.max_length,
        },
    }
    state = {f"text.transformer.{name}": tensor for name, tensor in backbone.state_dict().items()}
    state |= {f"visual.trunk.{name}": tensor for name, tensor in image.backbone.state_dict().items()}
    state |= {f"visual.head.proj.{name}": tensor for name, tensor in image.head.state_dict().items()}
    state |= {"text.proj.weight": projection, "logit_scale": torch.tensor(LOGIT_SCALE)}

    return _write(text, target, state, model, preprocessing_of(image), config)


def _export_own(text: MultilingualTextEncoder, image: ImageEncoder, target: Path) -> Path:
    """Write a SigLIP or MetaCLIP 2 as the model of open_clip that its image half comes from.

    Raise ConfigError if the image tower is not open_clip's, or the text half of its model has another shape.
    """
    if image.model_config is None or image.model_config.get("text_cfg", {}).get("hf_model_name"):
        same = f"the image tower of the same model in open_clip's form, got {image.name}"
        raise contract.refused(text, "open_clip", same)

    settings = copy.deepcopy(image.model_config)
    config: Any = text.backbone.config
    sizes_of_tower = config.hidden_size, config.num_hidden_layers, config.vocab_size
    if sizes_of_tower != (expected := tuple(settings["text_cfg"][name] for name in ("width", "layers", "vocab_size"))):
        sizes = f"width, layers and vocabulary {expected}, got {sizes_of_tower}"
        raise contract.refused(text, f"open_clip as the model of {image.name}", sizes)

    settings["text_cfg"] |= {"hf_tokenizer_name": str(target), "context_length": text.max_length}
    head: Any = text.head
    backbone = text.backbone
    weight = getattr(head, "weight", None)
    bias = getattr(head, "bias", None)
    if bias is not None and not settings["text_cfg"].get("proj_bias"):
        (backbone, weight), bias = fold_bias(text), None

    state = to_open_clip(backbone.state_dict(), weight, bias)
    if settings.get("custom_text"):
        state = {f"text.{name}": tensor for name, tensor in state.items()}

    state |= {f"visual.{name}": tensor for name, tensor in image.backbone.state_dict().items()}
    state["logit_scale"] = torch.tensor(LOGIT_SCALE)
    if "init_logit_bias" in settings:
        state["logit_bias"] = torch.tensor(float(settings["init_logit_bias"]))

    preprocessing = {name: value for name, value in image.preprocessing.items() if name != "library"}
    return _write(text, target, state, settings, preprocessing)


def _write(
    text: MultilingualTextEncoder,
    target: Path,
    state: dict[str, torch.Tensor],
    model: dict[str, Any],
    preprocessing: dict[str, Any],
    config: Any = None,
) -> Path:
    """Write the files; `config` is that of the encoder in a text tower with `hf_model_name`.

    While the folder is checked, it has a temporary name, which its config then contains.
    """
    tokenizer = contract.portable_tokenizer(text, with_prefix=True)
    clean = {"": WHITESPACE, LOWER: WHITESPACE_LOWER}.get(text.clean, text.clean)  # open_clip cleans white space always
    cleaning = {"clean": "lower" if clean == WHITESPACE_LOWER else clean}
    model["text_cfg"]["tokenizer_kwargs"] = model["text_cfg"].get("tokenizer_kwargs", {}) | cleaning

    def write_config(folder: Path, folder_of_text: Path) -> None:
        model["text_cfg"] |= {name: str(folder_of_text) for name in _PLACES if name in model["text_cfg"]}
        write_json(folder / CONFIG_FILE, {"model_cfg": model, "preprocess_cfg": preprocessing})

    def check(folder: Path) -> None:
        write_config(folder, folder)
        _check_texts(text, clean, folder)
        write_config(folder, target)

    with checked_folder(target, check) as folder:
        if config is not None:
            config.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        write_tensors(folder / "open_clip_model.safetensors", state, {"format": "pt"})
        write_config(folder, target)

    return target


def _check_texts(text: MultilingualTextEncoder, clean: str, folder: Path) -> None:
    """Compare a folder, opened by open_clip and by pecl, with the tower, on texts cleaned by `clean`."""
    texts = contract.texts_for(text, has_prefix=True, pads_by_token=not text.shapes_texts)
    if not contract.is_there("open_clip", "open_clip"):
        return

    import open_clip

    cleaned: Callable[[str], str] = str if text.clean == clean else cleaning(clean)
    with contract.opening("open_clip"):
        model: Any = open_clip.create_model_and_transforms(f"local-dir:{folder}")[0]
        tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")

    def expected(sentences: Sequence[str]) -> torch.Tensor:
        return text.encode_text([cleaned(sentence) for sentence in sentences])

    def embed(sentences: Sequence[str]) -> torch.Tensor:
        with torch.no_grad():
            return model.eval().encode_text(tokenizer(list(sentences)), normalize=True)

    contract.check_equal("open_clip", embed, expected, texts)
    contract.check_equal("pecl", load_text_checkpoint(folder).encode_text, expected, texts)
    contract.write_card(folder, "open_clip", text, embed, expected)


def preprocessing_of(image: ImageEncoder) -> dict[str, Any]:
    """Return the preprocessing of a model of timm in open_clip's terms; raise ConfigError if it crops."""
    settings = image.preprocessing
    mode = settings.get("crop_mode")
    share = settings.get("crop_pct")
    if mode not in RESIZING or share != 1:
        expected = f"crop_pct 1 and crop_mode {' or '.join(RESIZING)}, got {share} and {mode}"
        raise contract.refused(image, "open_clip, which crops nothing it has resized", expected)

    return {
        "size": list(settings["input_size"][1:]),
        "mode": "RGB",
        "mean": settings["mean"],
        "std": settings["std"],
        "interpolation": settings["interpolation"],
        "resize_mode": RESIZING[mode],
    }
