"""Image towers from checkpoints: CLIP, SigLIP 2, OpenCLIP and timm, each with the preprocessing that it comes with.

The files of a folder show its library: `config.json` with a `model_type` is transformers, with an
`architecture` timm, and `open_clip_config.json` is open_clip. Names of open_clip's own list begin with `open_clip:`.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import timm
import torch
import transformers
from PIL import Image
from timm.data import create_transform, resolve_model_data_config
from torch import nn

from pecl.encoders.image import ImageEncoder
from pecl.encoders.loading import open_clip, weights
from pecl.encoders.loading.hub import resolve
from pecl.errors import WeightsError, one_line, suggest

PROJECTION_FILE = "projection.safetensors"  # the linear layer after a timm model: weight (D, F), bias (D,)
# Prefixes of the weights in a transformers checkpoint that are not the image half's
TEXT_PARTS = ("text_model.", "text_projection.", "logit_scale", "logit_bias")

IMAGE_ARCHITECTURES: dict[str, type[transformers.PreTrainedModel]] = {
    "clip": transformers.CLIPVisionModelWithProjection,
    "clip_vision_model": transformers.CLIPVisionModelWithProjection,
    # also the model_type of SigLIP 2 with a fixed resolution
    "siglip": transformers.SiglipVisionModel,
    "siglip_vision_model": transformers.SiglipVisionModel,
    "siglip2": transformers.Siglip2VisionModel,  # variable resolution
    "metaclip_2": transformers.MetaClip2VisionModelWithProjection,
    "metaclip_2_vision_model": transformers.MetaClip2VisionModelWithProjection,
}


def load_image_checkpoint(
    name_or_path: str | Path,
    *,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
) -> ImageEncoder:
    """Load an image tower from a checkpoint; arguments and errors as in `pecl.encoders.towers.load_image_encoder`.

    `name_or_path` is a hub id, a local folder, or `open_clip:<model>/<pretrained>`, such as
    `open_clip:ViT-B-16-plus-240/laion400m_e32`. <pretrained> may be the path of a weights file.
    `@<SHA-256>` after it checks that file.
    """
    name = str(name_or_path)
    if name.startswith(open_clip.PREFIX):
        encoder = open_clip.load_image(name, *name.removeprefix(open_clip.PREFIX).partition("/")[::2])
    else:
        folder = resolve(name_or_path, "image_model")
        if (folder / "open_clip_config.json").exists() and not (folder / "preprocessor_config.json").exists():
            encoder = open_clip.load_image(name, f"local-dir:{folder}")
        elif "architecture" in weights.read_json(folder / "config.json"):
            encoder = _read_timm(folder, name, dtype)
        else:
            encoder = _read_transformers(folder, name, dtype)

    return encoder.to(device=device, dtype=dtype)


def _read_transformers(folder: Path, name: str, dtype: torch.dtype) -> ImageEncoder:
    config = weights.read_config(folder)
    model_class = IMAGE_ARCHITECTURES.get(config.model_type)
    if model_class is None:
        raise WeightsError(
            f"{folder} holds the architecture {config.model_type!r}, expected an image tower: "
            f"one of {', '.join(IMAGE_ARCHITECTURES)}, or timm's or open_clip's"
        )

    state = {key: tensor for key, tensor in weights.read_state_dict(folder).items() if not key.startswith(TEXT_PARTS)}
    vision = getattr(config, "vision_config", config)
    if not getattr(vision, "vision_use_head", True):
        raise WeightsError(
            f"{folder / 'config.json'} has vision_use_head: false, a model without the head that pools an image into "
            "one embedding: expected a checkpoint with it"
        )

    if hasattr(config, "projection_dim"):
        vision.projection_dim = config.projection_dim  # in a CLIP, both halves have that of the whole model

    model = weights.build_model(model_class, vision, state, folder, dtype)
    head: nn.Linear | None = getattr(model, "visual_projection", None)  # after the pooled features
    backbone = _PooledFeatures(model.vision_model if head is not None else model)
    preprocess = _Preprocess(folder)
    return ImageEncoder(backbone, head, preprocess, name=name, preprocessing=preprocess.settings)


class _PooledFeatures(nn.Module):
    """A transformers vision model that returns only its pooled features."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Map pixels (B, 3, H, W), or patches (B, P, f + 3) as `_Preprocess` gives them, to features (B, F)."""
        if pixels.dim() == 4:
            return self.model(pixel_values=pixels).pooler_output

        patch_mask = pixels[..., -3].long()  # (B, P)
        shapes = pixels[:, 0, -2:].long()  # (B, 2)
        return self.model(pixels[..., :-3], patch_mask, shapes).pooler_output


class _Preprocess:
    """The preprocessing that a checkpoint's preprocessor_config.json describes, on Pillow images.

    Pillow's resizing is the one that CLIP was trained with; torchvision's gives other pixels.
    """

    def __init__(self, folder: Path) -> None:
        weights.read_json(folder / "preprocessor_config.json")  # its errors are one sentence
        try:
            self.processor: Any = transformers.AutoImageProcessor.from_pretrained(
                folder, backend="pil", local_files_only=True
            )
        except (OSError, ValueError, TypeError) as error:
            path = folder / "preprocessor_config.json"
            raise WeightsError(f"{path} describes no preprocessing: {weights.first_line(error)}") from error

        self.settings = json.loads(self.processor.to_json_string())

    def __call__(self, image: Image.Image) -> torch.Tensor:
        """Map an RGB image to pixels (3, H, W).

        For SigLIP 2 of variable resolution, whose number of patches depends on an image's shape,
        map it to (P, f + 3): per patch its f pixels, 1 or 0 for padding, and the image's height and
        width in patches.
        """
        features = self.processor(images=image, return_tensors="pt")
        pixels = features["pixel_values"][0]
        if "spatial_shapes" not in features:
            return pixels
        patch_mask = features["pixel_attention_mask"][0]
        shape = features["spatial_shapes"][0]
        return torch.cat([pixels, patch_mask[:, None].to(pixels), shape.to(pixels).expand(len(pixels), 2)], dim=1)


def _read_timm(folder: Path, name: str, dtype: torch.dtype) -> ImageEncoder:
    architecture = weights.read_json(folder / "config.json")["architecture"]
    if not timm.is_model(architecture):
        hint = suggest(architecture, timm.list_models())
        raise WeightsError(f"{folder / 'config.json'} names {architecture!r}, expected a model of timm{hint}")

    weights.read_state_dict(folder)  # names weights that are missing or cut short
    try:
        # features, no classes
        backbone = timm.create_model(f"local-dir:{folder}", pretrained=True, num_classes=0)
    except (RuntimeError, AttributeError, KeyError, TypeError, ValueError) as error:
        reason = one_line(error)[:200]
        raise WeightsError(f"the weights in {folder} do not fit timm's {architecture}: {reason}") from error

    projection = folder / PROJECTION_FILE
    head = None
    if projection.exists():
        state = {f"linear.{name}": tensor for name, tensor in weights.read_tensors(projection).items()}
        head = weights.take_linear(state, "linear", projection, dtype)

    settings = resolve_model_data_config(backbone)
    preprocess = cast("Callable[[Image.Image], torch.Tensor]", create_transform(**settings, is_training=False))
    return ImageEncoder(backbone, head, preprocess, name=name, preprocessing=settings)
