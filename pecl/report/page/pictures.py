"""Small pictures as data: URIs, each once, however many captions, languages and runs show it."""

from collections.abc import Iterable

from pecl.files.images import ImageSource
from pecl.files.pictures import jpeg_uri, small_jpeg

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
                self.uris.append(jpeg_uri(small_jpeg(images.load(index), SIZE)))
            found[index] = number
        return found
