"""An image tower as modules of sentence-transformers' layout: a Transformer over transformers' classes, and a Dense.

timm's models go into transformers' `timm_wrapper`, the vision halves of CLIP and SigLIP as they are. open_clip's own
towers have no class in transformers.
"""

from pathlib import Path
from typing import Any

from torch import nn
from transformers import CLIPVisionModel, PreTrainedModel, SiglipVisionModel

from pecl.encoders.export import Part, head_parts, transformer_settings, unit_length
from pecl.encoders.image import ImageEncoder
from pecl.errors import ConfigError
from pecl.files import write_json, write_tensors

_VISION: dict[str, type[PreTrainedModel]] = {
    "clip_vision_model": CLIPVisionModel,
    "siglip_vision_model": SiglipVisionModel,
}


def image_parts(tower: ImageEncoder) -> list[Part]:
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
