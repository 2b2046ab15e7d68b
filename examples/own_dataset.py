"""Add a data set: register a function that reads it. This example paints its own images."""

from PIL import Image

import pecl
from pecl.data.custom.in_memory import from_dataset

SHADES = {"red": ("rot", (200, 0, 0)), "green": ("grün", (0, 200, 0)), "blue": ("blau", (0, 0, 200))}
SIZES = range(4, 12)  # pixels


@pecl.register_dataset("swatches", languages=["de"], description="plain squares of a colour", licence="public domain")
def read_swatches(request: pecl.DataRequest) -> pecl.ParallelCaptions:
    """Return a caption pair for each colour and size, with machine translations in both directions."""
    rows = [
        {
            "image": Image.new("RGB", (size, size), colour),
            "en": f"a {english} square of {size} pixels",
            "de": f"{german}es Quadrat, {size} Pixel breit",
            "en_to_de": f"ein {german}es Quadrat von {size} Pixeln",
            "de_to_en": f"{english} square, {size} pixels wide",
        }
        for english, (german, colour) in SHADES.items()
        for size in SIZES
    ]
    return from_dataset(rows, request.language, need=request.need, name=request.dataset)


if __name__ == "__main__":
    print(pecl.load_dataset("swatches", "de"))
    pecl.train({"dataset": "swatches", "language": "de", "shots": 6, "epochs": 3, "out": "swatches"})
