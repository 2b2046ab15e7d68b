"""Pictures of a request: only data URIs, checked before they are decoded."""

import base64
import binascii
import re

import torch

from pecl.encoders.image import ImageEncoder
from pecl.files import images as pictures
from pecl.options import quoted
from pecl.serving.limits import Limits
from pecl.serving.refusals import bad

_URI = re.compile(r"data:(?P<kind>[\w.+-]+/[\w.+-]+);base64,(?P<content>[A-Za-z0-9+/=]*)", re.ASCII)
_WANTED = "a picture as data:image/jpeg;base64,... (JPEG, PNG, WebP or GIF)"


def read_data_uri(value: object, name: str, limits: Limits) -> bytes:
    """Return the bytes of the picture that a data URI, the field `name` of a request, holds.

    Raises:
        Refusal: it is not a data URI of a picture, such as an address or a path; or it is too large.
    """
    found = _URI.fullmatch(value) if isinstance(value, str) else None
    if found is None or not found["kind"].startswith("image/"):
        got = quoted(value[:40]) if isinstance(value, str) else type(value).__name__
        raise bad(f"{name}: expected {_WANTED}, got {got}; no address or path is ever opened", name)
    if len(found["content"]) > 4 * (limits.picture_bytes // 3 + 1):
        raise bad(f"{name}: expected a picture of at most {limits.picture_bytes:,} bytes, got more", name)
    try:
        return base64.b64decode(found["content"], validate=True)
    except binascii.Error as error:
        raise bad(f"{name}: expected base64, got other characters or a part of it", name) from error


def decode_picture(content: bytes, name: str, limits: Limits, tower: ImageEncoder) -> torch.Tensor:
    """Return a picture's pixels as `tower` takes them: (3, H, W).

    The picture's size is read from its head before any pixel is decoded.

    Raises:
        Refusal: it is not a JPEG, PNG, WebP or GIF, is damaged, or has too many pixels.
    """
    try:
        formats = ("JPEG", "PNG", "WEBP", "GIF")
        return tower.preprocess(pictures.decode_picture(content, formats, limits.picture_pixels))
    except pictures.TooManyPixelsError as error:
        raise bad(f"{name}: {error}", name) from error
    except Exception as error:  # besides OSError, Pillow raises whatever its readers stumble over
        raise bad(f"{name}: cannot read the picture ({type(error).__name__}); expected {_WANTED}", name) from error
