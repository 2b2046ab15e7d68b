"""Models of open_clip, an optional dependency: `pip install pecl[openclip]`; and their image towers."""

import re
from pathlib import Path
from typing import Any

from pecl.encoders.image import ImageEncoder
from pecl.errors import WeightsError, unknown
from pecl.files import sha256_file

PREFIX = "open_clip:"
_PINNED = re.compile(r"(.+)@([0-9a-f]{64})")  # weights, and the SHA-256 that their file must have


def load_open_clip(name: str, model: str, pretrained: str | None = None) -> ImageEncoder:
    """Load the image half of an open_clip model, with that model's own preprocessing.

    Args:
        name: name of the tower in results.
        model: a name of `open_clip.list_models()`, or `local-dir:<folder>`, which holds its weights.
        pretrained: name of the weights, or path of their file; not for a `local-dir:`. `<weights>@<SHA-256>` has the
            file checked before it is read, since open_clip's table and the model hub decide which file a name means.

    Raises:
        WeightsError: open_clip is not installed, it has no such model or weights, they cannot be fetched or read, or
            have another SHA-256.
    """
    open_clip = _import(name)
    pinned = _PINNED.fullmatch(pretrained or "")
    if pinned is not None:
        pretrained = pinned[1]
    if not model.startswith("local-dir:"):
        _check_names(open_clip, model, pretrained)
    try:
        if pinned is not None:
            _check_file(_weights_file(open_clip, model, pinned[1]), pinned[2])
        whole, preprocess = open_clip.create_model_from_pretrained(model, pretrained=pretrained)
    except WeightsError:
        raise
    except Exception as error:  # open_clip lets through whatever its download and torch raise
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise WeightsError(
            f"open_clip cannot load {name}: {reason}; --image-model {PREFIX}{model}/PATH takes a local file of weights"
        ) from error
    settings = {"library": "open_clip", **whole.visual.preprocess_cfg}
    encoder = ImageEncoder(whole.visual, None, preprocess, name=name, preprocessing=settings)
    encoder.model_config = open_clip.get_model_config(model)
    return encoder


def locate(name: str, model: str, pretrained: str, option: str) -> tuple[dict[str, Any], Path]:
    """Return the config of a model of open_clip and the path of its file of weights, fetched if need be.

    Args:
        name: name of the tower, for errors.
        model: a name of `open_clip.list_models()`.
        pretrained: as in `load_open_clip`.
        option: option by which a user names the tower; for errors.

    Raises:
        WeightsError: as in `load_open_clip`.
    """
    open_clip = _import(name)
    pinned = _PINNED.fullmatch(pretrained)
    pretrained = pinned[1] if pinned else pretrained
    _check_names(open_clip, model, pretrained)
    try:
        path = _weights_file(open_clip, model, pretrained)
    except Exception as error:  # open_clip lets through whatever its download raises
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise WeightsError(
            f"open_clip cannot fetch {name}: {reason}; {option} {PREFIX}{model}/PATH takes a local file of weights"
        ) from error
    if pinned is not None:
        _check_file(path, pinned[2])
    return open_clip.get_model_config(model), Path(path)


def _import(name: str) -> Any:
    try:
        import open_clip
    except ImportError as error:
        raise WeightsError(f"the tower {name} needs open_clip: pip install 'pecl[openclip]' ({error})") from error
    return open_clip


def _weights_file(open_clip: Any, model: str, pretrained: str) -> str:
    """Return the path of a file of weights; a name is downloaded once by open_clip."""
    if "/" in pretrained:
        return pretrained
    return open_clip.download_pretrained(open_clip.get_pretrained_cfg(model, pretrained))


def _check_file(path: str, checksum: str) -> None:
    if (found := sha256_file(path)) != checksum:
        raise WeightsError(f"the weights {path} have the SHA-256 {found}, expected {checksum}: they are others")


def _check_names(open_clip: Any, model: str, pretrained: str | None) -> None:
    if model not in open_clip.list_models():
        raise WeightsError(unknown("open_clip model", model, open_clip.list_models()))
    tags = open_clip.list_pretrained_tags_by_model(model)
    if not pretrained or ("/" not in pretrained and pretrained not in tags):
        raise WeightsError(
            f"{unknown(f'weights of open_clip model {model}', pretrained, tags)}; or the path of a file of weights"
        )
