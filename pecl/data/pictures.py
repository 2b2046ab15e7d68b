"""Pictures as towers see them: upright, 8-bit RGB, whatever a file holds.

Pillow's own `convert("RGB")` leaves a camera's rotation out, cuts 16-bit values off and shows the colours that lie
under transparent pixels. For any other picture it does what is done here.
"""

from __future__ import annotations

import io
from typing import cast

from PIL import Image, ImageOps

_ORIENTATION = 0x0112  # tag of EXIF; 1 is upright
_WIDE = ("I", "I;16", "I;16L", "I;16B", "I;16N")  # grey values of 16 bits


def is_plain(image: Image.Image) -> bool:
    """Say whether `to_rgb` does no more than `convert("RGB")`; reads no pixels."""
    wide = image.mode in _WIDE or image.mode == "F"
    return not wide and not image.has_transparency_data and image.getexif().get(_ORIENTATION, 1) == 1


def to_rgb(image: Image.Image) -> Image.Image:
    """Return a picture in RGB mode, turned as its EXIF says, 16 bits scaled to 8, and on white where transparent.

    Raises:
        ValueError: its values are neither of 8 nor of 16 bits.
        OSError: it is damaged.
    """
    if is_plain(image):
        return image.convert("RGB")
    upright = ImageOps.exif_transpose(image)
    if upright.mode in _WIDE:
        return _narrow(upright).convert("RGB")
    if upright.mode == "F":
        raise ValueError("its pixels are floating-point numbers, expected 8 or 16 bits")
    if upright.has_transparency_data:
        colours = upright.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", colours.size, "white"), colours).convert("RGB")
    return upright.convert("RGB")


def small_jpeg(image: Image.Image, size: int, quality: int = 72) -> bytes:
    """Return an RGB picture, at most `size` pixels wide and high, as a JPEG without metadata."""
    small = image.copy()
    small.thumbnail((size, size), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=quality, optimize=True)
    return buffer.getvalue()


def _narrow(image: Image.Image) -> Image.Image:
    """Return grey values of 16 bits as the nearest of 8 bits: 0 to 65535 become 0 to 255."""
    values = image.convert("I")
    low, high = cast("tuple[int, int]", values.getextrema())  # of one band
    if low < 0 or high > 0xFFFF:
        raise ValueError(f"its pixels are {low} to {high}, expected 8 or 16 bits")
    return values.point(lambda value: value * (1 / 257) + 0.5).convert("L")  # Pillow cuts the fraction off
