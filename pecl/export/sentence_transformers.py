"""Folders that `sentence_transformers.SentenceTransformer(folder)` opens: both towers, text only, or an adapter only.

Both towers lie in one Router, which sends texts through the text tower and pictures through the image tower. Text only
has its encoder at the root, where AutoModel and servers of embeddings look for it. An adapter only names the encoder
that it belongs to; a head, which it changes behind the encoder, is written whole.

The image tower is a Transformer over transformers' classes and a Dense: timm's models go into `timm_wrapper`, the
vision halves of CLIP and SigLIP as they are. open_clip's own towers have no class in transformers.
"""

from functools import partial
from pathlib import Path
from typing import Any

from torch import nn
from transformers import CLIPVisionModel, PreTrainedModel, SiglipVisionModel

from pecl.adapters.formats.files import AdapterFile, merge_adapter
from pecl.encoders.export import (
    CLASSES,
    Part,
    after_encoder,
    check_folder,
    exported_folder,
    head_parts,
    part_folders,
    save_text_encoder,
    text_parts,
    transformer_settings,
    unit_length,
    write_encoder_settings,
    write_modules,
    write_parts,
    write_settings,
)
from pecl.encoders.image import ImageEncoder
from pecl.encoders.text import MultilingualTextEncoder
from pecl.encoders.towers import check_pair
from pecl.errors import ConfigError
from pecl.export.peft import write_encoder_adapter
from pecl.files import write_json, write_tensors

_VISION: dict[str, type[PreTrainedModel]] = {
    "clip_vision_model": CLIPVisionModel,
    "siglip_vision_model": SiglipVisionModel,
}
ROUTES = {"text": "(None, 'text')", "image": "(None, 'image')"}  # route -> (task, modality) as the library spells it


def export_towers(text: MultilingualTextEncoder, image: ImageEncoder | None, target: str | Path) -> Path:
    """Write a text tower, an adapter merged into it, and perhaps an image tower as a folder of sentence-transformers.

    Raises:
        ConfigError: a tower has a layer that the layout cannot hold.
        WeightsError: the towers differ in width.
        OutputError: `target` exists already or cannot be written.
    """
    if image is None:
        return save_text_encoder(text, target)
    check_pair(text, image)
    routes = {"text": text_parts(text), "image": _image_parts(image)}
    with exported_folder(target, partial(check_folder, text)) as folder:
        _write_router(routes, folder)
        write_settings(text, folder)
    return Path(target)


def _write_router(routes: dict[str, list[Part]], folder: Path) -> None:
    structure: dict[str, list[str]] = {}
    types: dict[str, str] = {}
    for route, parts in routes.items():
        structure[route] = [f"{route}_{i}_{part.kind}" for i, part in enumerate(parts)]
        for place, part in zip(structure[route], parts, strict=True):
            part.write(folder / place)
            types[place] = CLASSES[part.kind]
    document = {
        "types": types,
        "structure": structure,
        "parameters": {
            "default_route": "text",
            "allow_empty_key": True,
            "route_mappings": {ROUTES[route]: route for route in routes},
        },
    }
    write_json(folder / "router_config.json", document)
    write_modules({"": "Router"}, folder)


def export_adapter(adapter: AdapterFile, tower: MultilingualTextEncoder, target: str | Path, base: str | Path) -> Path:
    """Write one adapter as a folder of sentence-transformers, whose encoder is that of `base`.

    `base` is a folder that `export_towers` wrote of the plain `tower`, or a hub id.

    Raises:
        ConfigError: the adapter has other parts than LoRA, LayerNorms and a head; the sentence names them.
        WeightsError: `base` holds another tower.
        OutputError: `target` exists already or cannot be written.
    """
    if tower.family is not None and tower.family.whole is not None:
        raise ConfigError(
            f"an adapter on {tower.backbone.config.model_type} cannot be written without its tower, which "
            "sentence-transformers reads as one model of both halves: leave --adapter-only out"
        )
    merged = merge_adapter(adapter, tower)

    def write_encoder(folder: Path) -> None:
        encoder = write_encoder_adapter(folder, adapter, tower, base)
        write_encoder_settings(tower, folder, tokenizer=None if tower.names_languages else encoder)

    parts = [Part("Transformer", write_encoder), *after_encoder(merged)]
    with exported_folder(target, partial(check_folder, merged, by_pecl=False)) as folder:
        write_parts(parts, folder)
        write_settings(merged, folder)
        write_modules(part_folders(parts), folder)
    return Path(target)


def _image_parts(tower: ImageEncoder) -> list[Part]:
    """Return the modules of an image tower: Transformer, those of the head, and the one that scales to length 1.

    Raise ConfigError if its backbone has no class in transformers.
    """
    if timm_name(tower) is None and _transformers_model(tower) is None:
        raise ConfigError(
            f"image tower {tower.name} cannot be written for sentence-transformers: expected a model of timm, or the "
            "image half of a CLIP or SigLIP of transformers; leave it out with --text-only"
        )
    backbone = Part("Transformer", lambda folder: _write_backbone(tower, folder))
    return [backbone, *head_parts(tower.head), unit_length()]


def timm_name(tower: ImageEncoder) -> str | None:
    """Return the name of the tower's architecture in timm, or None for a model of another library."""
    settings = getattr(tower.backbone, "pretrained_cfg", None)
    name = settings.get("architecture") if isinstance(settings, dict) else None
    return name if isinstance(name, str) else None


def _write_backbone(tower: ImageEncoder, folder: Path) -> None:
    if (name := timm_name(tower)) is not None:
        config = {
            "architecture": name,
            "num_classes": 0,
            "num_features": tower.backbone.get_submodule("").num_features,
            "do_pooling": True,
            "model_type": "timm_wrapper",
            "pretrained_cfg": {**tower.preprocessing, "architecture": name},
        }
        write_json(folder / "config.json", config)
        write_tensors(folder / "model.safetensors", tower.backbone.state_dict(), {"format": "pt"})
    else:
        _write_vision(tower, folder)
    settings = transformer_settings("image", "pooler_output", "sentence_embedding")
    settings["processor_kwargs"] = {"backend": "pil"}  # torchvision's resizing gives other pixels
    write_json(folder / "sentence_bert_config.json", settings)


def _transformers_model(tower: ImageEncoder) -> Any:
    """Return the vision model of transformers within the tower, or None."""
    model = getattr(tower.backbone, "model", None)
    model_type = getattr(getattr(model, "config", None), "model_type", None)
    return model if isinstance(model, nn.Module) and model_type in _VISION else None


def _write_vision(tower: ImageEncoder, folder: Path) -> None:
    model = _transformers_model(tower)
    whole = model
    if not isinstance(model, tuple(_VISION.values())):  # CLIP's tower holds the vision model inside
        whole = _VISION[model.config.model_type](model.config)
        whole.vision_model = model
    whole.save_pretrained(folder)
    processor: Any = tower.preprocess
    processor.processor.save_pretrained(folder)
