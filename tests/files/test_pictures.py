"""Pictures of every kind that Pillow reads, compared with pixels written down by hand."""

import numpy as np
import pytest
from PIL import Image

from pecl.data.custom.in_memory import RowImages
from pecl.encoders.image import as_pictures
from pecl.errors import DataError
from pecl.files.images import ImageFiles

ORIENTATION = 0x0112
TURNED = {  # the camera's tag -> how the stored pixels are turned to stand upright
    1: lambda a: a,
    2: np.fliplr,
    3: lambda a: np.rot90(a, 2),
    4: np.flipud,
    5: lambda a: np.swapaxes(a, 0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.swapaxes(np.rot90(a, 2), 0, 1),
    8: np.rot90,
}


def read(path):
    """Return the pixels (H, W, 3) that each of the three ways to a picture gives, which are the same."""
    image = ImageFiles((path,)).load(0)
    rows = RowImages([{"image": Image.open(path)}], "image", (0,))
    (given,) = as_pictures(Image.open(path))
    assert image.mode == "RGB"
    assert image.tobytes() == rows.load(0).tobytes() == given.tobytes()
    return np.asarray(image)


@pytest.mark.parametrize("tag", TURNED)
def test_a_photograph_is_turned_as_its_camera_says(tmp_path, tag):
    stored = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3) * 10
    exif = Image.Exif()
    exif[ORIENTATION] = tag
    Image.fromarray(stored).save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(read(tmp_path / "a.png"), TURNED[tag](stored))


def test_sixteen_bits_become_the_nearest_eight(tmp_path):
    """Cut off, all from 255 on would be white; by its high byte only, 255 would be black."""
    values = np.array([[0, 128, 129, 255, 257], [1000, 32767, 32768, 65407, 65535]], np.uint16)
    Image.fromarray(values).save(tmp_path / "a.png")
    Image.fromarray(values).save(tmp_path / "a.tif")
    expected = np.floor(values / 257 + 0.5)
    for name in ("a.png", "a.tif"):
        found = read(tmp_path / name)
        assert np.array_equal(found, np.repeat(expected[..., None], 3, axis=2)), name


def test_all_sixteen_bit_values(tmp_path):
    values = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    Image.fromarray(values).save(tmp_path / "a.png")
    assert np.array_equal(read(tmp_path / "a.png")[..., 1], np.rint(values / 257))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "P with one transparent colour", "RGB with one"])
def test_what_is_transparent_is_white(tmp_path, mode):
    """A red, or grey, pixel that is seen and one that is not."""
    grey = mode == "LA"
    seen, path = (90, 90, 90) if grey else (200, 10, 30), tmp_path / "a.png"
    if mode in ("RGBA", "LA"):
        image = Image.new("RGBA", (2, 1), (*seen, 255))
        image.putpixel((1, 0), (*seen, 0))
        image = image.convert("LA") if grey else image
        image.save(path)
    elif mode == "RGB with one":
        image = Image.new("RGB", (2, 1), seen)
        image.putpixel((1, 0), (1, 2, 3))
        image.save(path, transparency=(1, 2, 3))
    else:
        image = Image.new("P", (2, 1), 0)
        image.putpalette([*seen, 5, 5, 5])
        image.putpixel((1, 0), 1)
        image.save(path, transparency=bytes([255, 0]) if mode == "P" else 1)
    assert read(path).tolist() == [[list(seen), [255, 255, 255]]]


def test_half_transparent_is_half_white(tmp_path):
    Image.new("RGBA", (1, 1), (0, 100, 200, 128)).save(tmp_path / "a.png")
    assert np.allclose(read(tmp_path / "a.png")[0, 0], [127, 177, 227], atol=1)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "CMYK", "YCbCr"])
def test_plain_pictures_are_read_as_pillow_reads_them(tmp_path, mode):
    pixels = np.random.default_rng(0).integers(0, 256, (9, 7, 3), dtype=np.uint8)
    path = tmp_path / ("a.png" if mode in ("1", "L", "P", "RGB") else "a.jpg")
    Image.fromarray(pixels).convert(mode).save(path)
    with Image.open(path) as image:
        assert np.array_equal(read(path), np.asarray(image.convert("RGB")))


@pytest.mark.parametrize(("mode", "said"), [("F", "floating-point numbers"), ("I", "-1 to 7, expected 8 or 16 bits")])
def test_values_of_no_known_range_are_refused(tmp_path, mode, said):
    image = Image.new(mode, (2, 1), 7)
    image.putpixel((1, 0), -1)
    image.save(tmp_path / "a.tif")
    with pytest.raises(DataError, match=rf"cannot read image .*a\.tif: its pixels are {said}"):
        ImageFiles((tmp_path / "a.tif",)).load(0)
