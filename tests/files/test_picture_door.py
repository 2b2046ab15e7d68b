"""The door for images: formats, sizes, and one read for the hash and the pixels."""

import io
import os

import numpy as np
import pillow_heif
import pytest
from PIL import Image, UnidentifiedImageError

from pecl.errors import DataError
from pecl.files import images as pictures
from pecl.files.images import ImageFiles, TooManyPixelsError, decode_picture, open_picture

COLOUR = (200, 40, 90)


def encoded(format, size=(40, 30), colour=COLOUR):
    file = io.BytesIO()
    image = Image.new("RGB", size, colour)
    if format == "HEIF":
        pillow_heif.from_pillow(image).save(file, quality=90)
    else:
        image.save(file, format, **{"save_all": True, "append_images": [image]} if format == "MPO" else {})
    return file.getvalue()


WRITTEN = ("JPEG", "MPO", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "HEIF")  # JPEG XL needs a package of its own


@pytest.mark.parametrize("format", WRITTEN)
def test_every_format_opens_under_any_name(tmp_path, format):
    (tmp_path / "a.jpg").write_bytes(encoded(format))
    image = ImageFiles((tmp_path / "a.jpg",)).load(0)
    assert (image.mode, image.size) == ("RGB", (40, 30))
    assert np.abs(np.asarray(image, int) - COLOUR).max() <= 6


def test_a_package_that_is_missing_is_named(monkeypatch):
    content = encoded("HEIF")
    monkeypatch.delitem(Image.OPEN, "HEIF")
    with pytest.raises(UnidentifiedImageError, match=r"expected JPEG, .*HEIF \(with the package pillow-heif\)"):
        open_picture(content)


@pytest.mark.parametrize("format", ["EPS", "PDF", "ICO"])
def test_formats_beyond_the_list_are_refused(format):
    with pytest.raises(UnidentifiedImageError):
        open_picture(encoded(format))
    with pytest.raises(UnidentifiedImageError, match=r"expected JPEG, PNG$"):
        open_picture(encoded("TIFF"), ("JPEG", "PNG"))


@pytest.fixture
def small_limits(monkeypatch):
    monkeypatch.setattr(pictures, "WHOLE", 1000)
    monkeypatch.setattr(pictures, "PIXELS", 2000)
    monkeypatch.setattr(pictures, "JPEG_PIXELS", 40_000)


@pytest.mark.parametrize(
    ("size", "found"), [((40, 25), (40, 25)), ((64, 48), (32, 24)), ((120, 90), (30, 23)), ((200, 200), (25, 25))]
)
@pytest.mark.parametrize("format", ["JPEG", "MPO"])
def test_a_large_jpeg_is_decoded_smaller(small_limits, format, size, found):
    image = decode_picture(encoded(format, size))
    assert image.size == found
    assert np.abs(np.asarray(image, int) - COLOUR).max() <= 6


def test_a_large_jpeg_is_still_turned_and_shows_the_same(small_limits):
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = Image.fromarray(np.linspace(0, 255, 64 * 48).astype(np.uint8).reshape(48, 64))
    file = io.BytesIO()
    stored.save(file, "JPEG", exif=exif, quality=95)
    image = decode_picture(file.getvalue())
    assert image.size == (24, 32)
    expected = stored.reduce(2).transpose(Image.Transpose.ROTATE_270)
    assert np.abs(np.asarray(image.convert("L"), int) - np.asarray(expected, int)).max() <= 4


def test_more_pixels_than_are_decoded_are_one_sentence(small_limits, tmp_path):
    for name, content, limit, size in (
        ("a.png", encoded("PNG", (50, 41)), "2,000", "50 x 41"),
        ("a.jpg", encoded("JPEG", (201, 200)), "40,000", "201 x 200"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError) as error:
            ImageFiles((tmp_path / name,)).load(0)
        said = f"expected at most {limit} pixels, got {size}; replace the file or leave it out"
        assert str(error.value) == f"cannot read image {tmp_path / name}: {said}"
    with pytest.raises(TooManyPixelsError, match="expected at most 100 pixels, got 11 x 10"):
        decode_picture(encoded("JPEG", (11, 10)), most=100)
    assert decode_picture(encoded("PNG", (50, 40))).size == (50, 40)


def test_a_fingerprint_is_made_once_while_a_file_stays(tmp_path, monkeypatch):
    """A file that takes the place of another of equal size and time has its own inode."""
    hashed, plain = [], pictures.sha256_file
    monkeypatch.setattr(pictures, "sha256_file", lambda path: hashed.append(path) or plain(path))
    for name, content in (("a.png", b"12345"), ("b.png", b"67890")):
        (tmp_path / name).write_bytes(content)
        os.utime(tmp_path / name, ns=(10**18, 10**18))
    files = ImageFiles((tmp_path / "a.png",))
    first = files.fingerprint(0)
    assert (files.fingerprint(0), len(hashed)) == (first, 1)
    os.replace(tmp_path / "b.png", tmp_path / "a.png")
    assert files.fingerprint(0) != first
