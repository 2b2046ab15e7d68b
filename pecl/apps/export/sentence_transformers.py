"""Folders that `sentence_transformers.SentenceTransformer(folder)` opens: both towers, text only, or an adapter only.

Both towers lie in one Router, which sends texts through the text tower and images through the image
tower. A text-only folder has its encoder at the root, where AutoModel and servers of embeddings
look for it. An adapter-only folder names the encoder that it belongs to; a head after the encoder
that the adapter changes is written whole.

The image tower is a Transformer over transformers' classes and a Dense: timm's models go into
`timm_wrapper`, the vision halves of CLIP and SigLIP as they are. open_clip's own towers have no
class in transformers.
"""

from functools import partial
from pathlib import Path
from typing import Any

from transformers import CLIPVisionModel, PreTrainedModel, SiglipVisionModel

from pecl.adapters.formats.files import AdapterFile, merge_adapter
from pecl.apps.export import contract, folders
from pecl.apps.export.peft import write_encoder_adapter
from pecl.encoders.image import ImageEncoder
from pecl.encoders.text import MultilingualTextEncoder
from pecl.encoders.towers import check_pair
from pecl.errors import ConfigError, not_none, setting
from pecl.files import checked_folder, write_json

_VISION: dict[str, type[PreTrainedModel]] = {
    "clip_vision_model": CLIPVisionModel,
    "siglip_vision_model": SiglipVisionModel,
}
ROUTES = {"text": "(None, 'text')", "image": "(None, 'image')"}  # route -> (task, modality) as the library spells it


def export_towers(
    text: MultilingualTextEncoder,
    image: ImageEncoder | None,
    target: str | Path,
) -> Path:
    """Write a text tower, perhaps with a merged adapter, and optionally an image tower for sentence-transformers.

    Raises:
        ConfigError: a tower has a layer that the layout cannot hold.
        WeightsError: the towers differ in width.
        OutputError: `target` exists already or cannot be written.
    """
    if image is None:
        return folders.save_text_encoder(text, target)

    check_pair(text, image)
    routes = {
        route: {f"{route}_{i}_{part.kind}": part for i, part in enumerate(parts)}
        for route, parts in (("text", folders.text_parts(text)), ("image", _image_parts(image)))
    }
    modules = routes["text"] | routes["image"]
    document = {
        "types": {subfolder: folders.CLASSES[part.kind] for subfolder, part in modules.items()},
        "structure": {route: list(places) for route, places in routes.items()},
        "parameters": {
            "default_route": "text",
            "allow_empty_key": True,
            "route_mappings": {ROUTES[route]: route for route in routes},
        },
    }

    with checked_folder(target, partial(folders.check_folder, text)) as folder:
        for subfolder, part in modules.items():
            part.write(folder / subfolder)
        write_json(folder / "router_config.json", document)
        folders.write_modules(text, {"": "Router"}, folder)

    return Path(target)


def export_adapter(
    adapter: AdapterFile,
    tower: MultilingualTextEncoder,
    target: str | Path,
    base: str | Path,
) -> Path:
    """Write one adapter as a folder of sentence-transformers, whose encoder is that of `base`.

    `base` is a folder that `export_towers` wrote of the plain `tower`, or a hub id.

    Raises:
        ConfigError: the adapter has other parts than LoRA, LayerNorms and a head; the message names them.
        WeightsError: `base` holds another tower.
        OutputError: `target` exists already or cannot be written.
    """
    if tower.family is not None and tower.family.whole is not None:
        raise ConfigError(
            f"an adapter on {tower.backbone.config.model_type} cannot be written without its tower, which "
            f"sentence-transformers loads as one model of both encoders: leave {setting('adapter_only')} out"
        )

    merged = merge_adapter(adapter, tower)

    def write_encoder(folder: Path) -> None:
        encoder = write_encoder_adapter(folder, adapter, tower, base)
        folders.write_encoder_settings(tower, folder, tokenizer=None if tower.names_languages else encoder)

    parts = [folders.Part("Transformer", write_encoder), *folders.after_encoder(merged)]
    with checked_folder(target, partial(folders.check_folder, merged, by_pecl=False)) as folder:
        folders.write_layout(merged, parts, folder)
    return Path(target)


def _image_parts(tower: ImageEncoder) -> list[folders.Part]:
    """Return the modules of an image tower: Transformer, those of the head, and the normalization to length 1.

    Raise ConfigError if its backbone has no class in transformers.
    """
    name = timm_name(tower)
    model = getattr(tower.backbone, "model", None)
    vision = _VISION.get(getattr(getattr(model, "config", None), "model_type", ""))
    if name is None and vision is None:
        expected = "a model of timm, or the image half of a CLIP or SigLIP of transformers"
        raise contract.refused(
            tower, "sentence-transformers", f"{expected}; leave it out with {setting(text_only=True)}"
        )

    def write(folder: Path) -> None:
        if name is not None:
            config = {
                "architecture": name,
                "num_classes": 0,
                "num_features": tower.backbone.get_submodule("").num_features,
                "do_pooling": True,
                "model_type": "timm_wrapper",
                "pretrained_cfg": {**tower.preprocessing, "architecture": name},
            }
            folders.small_part("Transformer", config, tower.backbone.state_dict()).write(folder)
        else:
            _write_vision(tower, not_none(vision, "class of the vision model"), folder)

        settings = folders.transformer_settings("image", "pooler_output", "sentence_embedding")
        # torchvision's resizing gives other pixels
        settings["processor_kwargs"] = {"backend": "pil"}
        write_json(folder / "sentence_bert_config.json", settings)

    return [folders.Part("Transformer", write), *folders.head_parts(tower.head), folders.UNIT_LENGTH]


def timm_name(tower: ImageEncoder) -> str | None:
    """Return the name of the tower's architecture in timm, or None for a model of another library."""
    settings = getattr(tower.backbone, "pretrained_cfg", None)
    name = settings.get("architecture") if isinstance(settings, dict) else None
    return name if isinstance(name, str) else None


def _write_vision(tower: ImageEncoder, vision: Any, folder: Path) -> None:
    """Write a vision model of transformers, which CLIP's tower holds inside its class `vision`."""
    model: Any = tower.backbone.model
    if not isinstance(model, vision):
        model = vision(model.config)
        model.vision_model = tower.backbone.model
    model.save_pretrained(folder)
    processor: Any = tower.preprocess
    processor.processor.save_pretrained(folder)
