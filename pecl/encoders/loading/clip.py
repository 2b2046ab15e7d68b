"""Image towers of open_clip, an optional dependency: `pip install pecl[openclip]`."""

from __future__ import annotations

from typing import Any

from pecl.encoders.image import ImageEncoder
from pecl.errors import WeightsError, unknown

PREFIX = "open_clip:"


def load_open_clip(name: str, model: str, pretrained: str | None = None) -> ImageEncoder:
    """Load the image half of an open_clip model, with that model's own preprocessing.

    Args:
        name: what results call the tower.
        model: a name of `open_clip.list_models()`, or `local-dir:<folder>`, which holds its weights.
        pretrained: name of the weights, or path of their file; not for a `local-dir:`.

    Raises:
        WeightsError: open_clip is not installed, it has no such model or weights, or they cannot be fetched or read.
    """
    open_clip = _import(name)
    if not model.startswith("local-dir:"):
        _check_names(open_clip, model, pretrained)
    try:
        whole, preprocess = open_clip.create_model_from_pretrained(model, pretrained=pretrained)
    except Exception as error:  # open_clip lets through whatever its download and torch raise
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise WeightsError(
            f"open_clip cannot load {name}: {reason}; --image-model {PREFIX}{model}/PATH takes a local file of weights"
        ) from error
    settings = {"library": "open_clip", **whole.visual.preprocess_cfg}
    return ImageEncoder(whole.visual, None, preprocess, name=name, preprocessing=settings)


def _import(name: str) -> Any:
    try:
        import open_clip
    except ImportError as error:
        raise WeightsError(f"image tower {name} needs open_clip: pip install 'pecl[openclip]' ({error})") from error
    return open_clip


def _check_names(open_clip: Any, model: str, pretrained: str | None) -> None:
    if model not in open_clip.list_models():
        raise WeightsError(unknown("open_clip model", model, open_clip.list_models()))
    tags = open_clip.list_pretrained_tags_by_model(model)
    if not pretrained or ("/" not in pretrained and pretrained not in tags):
        raise WeightsError(
            f"{unknown(f'weights of open_clip model {model}', pretrained, tags)}; or the path of a file of weights"
        )
