"""Small pictures as data: URIs, each once, however many captions, languages and runs show it."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable

from PIL import Image

from pecl.data.captions import ImageSource

SIZE = 120  # pixels: the longer side
_QUALITY = 72  # of JPEG: about 4 KiB a photograph of this size


class Pictures:
    """Numbers pictures as they are asked for; an image of a data set has one number, whatever asks for it.

    Attributes:
        uris: the pictures, by number.
    """

    def __init__(self) -> None:
        self.uris: list[str] = []
        self._numbers: dict[tuple[str, str], int] = {}

    def numbers(self, dataset: str, images: ImageSource, indices: Iterable[int]) -> dict[int, int]:
        """Return index -> number for images of `images`, which belong to `dataset`.

        Raises:
            DataError: an image is missing or damaged.
        """
        ids = images.ids  # drawn scenes make theirs at each asking
        found = {}
        for index in indices:
            number = self._numbers.setdefault((dataset, ids[index]), len(self.uris))
            if number == len(self.uris):
                self.uris.append(thumbnail(images.load(index)))
            found[index] = number
        return found


def thumbnail(image: Image.Image) -> str:
    """Return an RGB image, at most `SIZE` pixels wide and high, as a data: URI of a JPEG without metadata."""
    small = image.copy()
    small.thumbnail((SIZE, SIZE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=_QUALITY, optimize=True)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
