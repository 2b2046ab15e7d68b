"""Models of open_clip, an optional dependency: `pip install pecl[openclip]`; and their image towers."""

import re
from pathlib import Path
from typing import Any

from pecl.encoders.image import ImageEncoder
from pecl.encoders.loading.weights import first_line
from pecl.errors import WeightsError, unknown
from pecl.files import sha256_file

PREFIX = "open_clip:"
_PINNED = re.compile(r"(.+)@([0-9a-f]{64})")  # weights, and the SHA-256 that their file must have


def load_open_clip(name: str, model: str, pretrained: str | None = None) -> ImageEncoder:
    """Load the image half of an open_clip model as the tower `name`, with that model's own preprocessing.

    The model is a name of `open_clip.list_models()`, or `local-dir:<folder>`, which holds its weights. Otherwise
    `pretrained` names the weights, or the path of their file. `<weights>@<SHA-256>` has the file checked before it is
    read, since open_clip's table and the model hub decide which file a name means.
    """
    open_clip, weights, checksum = _known(name, model, pretrained)
    try:
        if checksum is not None:
            _weights_file(open_clip, model, weights, checksum)
        whole, preprocess = open_clip.create_model_from_pretrained(model, pretrained=weights)
    except WeightsError:
        raise
    except Exception as error:  # open_clip lets through whatever its download and torch raise
        remedy = f"--image-model {PREFIX}{model}/PATH takes a local file of weights"
        raise WeightsError(f"open_clip cannot load {name}: {first_line(error)}; {remedy}") from error
    settings = {"library": "open_clip", **whole.visual.preprocess_cfg}
    encoder = ImageEncoder(whole.visual, None, preprocess, name=name, preprocessing=settings)
    encoder.model_config = open_clip.get_model_config(model)
    return encoder


def locate(name: str, model: str, pretrained: str, option: str) -> tuple[dict[str, Any], Path]:
    """Return the config of a model of open_clip and the path of its file of weights, fetched if need be.

    Arguments and errors are as in `load_open_clip`. Errors name `option`, by which a user names the tower.
    """
    open_clip, weights, checksum = _known(name, model, pretrained)
    try:
        return open_clip.get_model_config(model), _weights_file(open_clip, model, weights, checksum)
    except WeightsError:
        raise
    except Exception as error:  # open_clip lets through whatever its download raises
        remedy = f"{option} {PREFIX}{model}/PATH takes a local file of weights"
        raise WeightsError(f"open_clip cannot fetch {name}: {first_line(error)}; {remedy}") from error


def _known(name: str, model: str, pretrained: str | None) -> tuple[Any, Any, str | None]:
    """Return open_clip, the weights that `pretrained` names, which there are, and the SHA-256 that they must have."""
    try:
        import open_clip
    except ImportError as error:
        raise WeightsError(f"the tower {name} needs open_clip: pip install 'pecl[openclip]' ({error})") from error
    pinned = _PINNED.fullmatch(pretrained or "")
    weights, checksum = pinned.groups() if pinned is not None else (pretrained, None)
    if model.startswith("local-dir:"):
        return open_clip, weights, checksum
    if model not in open_clip.list_models():
        raise WeightsError(unknown("open_clip model", model, open_clip.list_models()))
    tags = open_clip.list_pretrained_tags_by_model(model)
    if not weights or ("/" not in weights and weights not in tags):
        raise WeightsError(
            f"{unknown(f'weights of open_clip model {model}', weights, tags)}; or the path of a file of weights"
        )
    return open_clip, weights, checksum


def _weights_file(open_clip: Any, model: str, weights: str, checksum: str | None) -> Path:
    """Return the path of a file of weights; a name is downloaded once by open_clip."""
    path = weights
    if "/" not in weights:
        path = open_clip.download_pretrained(open_clip.get_pretrained_cfg(model, weights))
    if checksum is not None and (found := sha256_file(path)) != checksum:
        raise WeightsError(f"the weights {path} have the SHA-256 {found}, expected {checksum}: they are others")
    return Path(path)
