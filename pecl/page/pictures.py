"""Small pictures as data: URIs, each once, however many captions, languages and runs show it."""

from __future__ import annotations

import base64
import io

from PIL import Image

from pecl.data.captions import ImageSource

SIZE = 120  # pixels: the longer side
_QUALITY = 72  # of JPEG: about 4 KiB a photograph of this size


class Pictures:
    """Numbers pictures as they are asked for; an image of a data set has one number, whatever asks for it."""

    def __init__(self) -> None:
        self.uris: list[str] = []
        self._numbers: dict[tuple[str, str], int] = {}

    def number(self, dataset: str, images: ImageSource, index: int) -> int:
        """Return the number in `uris` of image `index` of `images`, which belong to `dataset`.

        Raises:
            DataError: the image is missing or damaged.
        """
        key = (dataset, images.ids[index])
        if key not in self._numbers:
            self._numbers[key] = len(self.uris)
            self.uris.append(thumbnail(images.load(index)))
        return self._numbers[key]


def thumbnail(image: Image.Image) -> str:
    """Return an RGB image, at most `SIZE` pixels wide and high, as a data: URI of a JPEG without metadata."""
    small = image.copy()
    small.thumbnail((SIZE, SIZE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=_QUALITY, optimize=True)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
