"""Small pictures as data: URIs, each once, however many captions, languages and runs show it."""

from __future__ import annotations

import base64
from collections.abc import Iterable

from PIL import Image

from pecl.data.captions import ImageSource
from pecl.data.pictures import small_jpeg

SIZE = 120  # pixels: the longer side; about 4 KiB a photograph


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


def thumbnail(image: Image.Image, size: int = SIZE) -> str:
    """Return an RGB image, at most `size` pixels wide and high, as a data: URI of a JPEG without metadata."""
    return jpeg_uri(small_jpeg(image, size))


def jpeg_uri(content: bytes) -> str:
    """Return a JPEG as a data: URI."""
    return f"data:image/jpeg;base64,{base64.b64encode(content).decode('ascii')}"
