"""Folders that are whole or absent, and pictures of every kind that Pillow reads."""

import multiprocessing
import os
import signal
import struct

import numpy as np
import pytest
from PIL import Image

from pecl.data.custom.in_memory import RowImages
from pecl.encoders.image import as_pictures
from pecl.errors import DataError, OutputError
from pecl.files import check_absent, new_folder
from pecl.files.images import ImageFiles
from pecl.files.paths import default_cache_dir


def _fill_and_fail(target):
    with new_folder(target) as folder:
        (folder / "file").write_text("x")
        raise RuntimeError


def test_what_is_there_is_never_written_over(tmp_path):
    (tmp_path / "b").mkdir()
    for refuse in (check_absent, lambda path: new_folder(path).__enter__()):
        with pytest.raises(OutputError, match=r"b exists already: choose another folder, or delete it first"):
            refuse(tmp_path / "b")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(OutputError, match="exists already"):
        check_absent(tmp_path / "link")
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="file is a file, expected a folder"):
        check_absent(tmp_path / "file" / "b")


def _fill_and_die(target):
    with new_folder(target) as folder:
        (folder / "file").write_text("half")
        os.kill(os.getpid(), signal.SIGKILL)


def test_what_a_killed_export_left_goes_with_the_next_and_a_running_one_stays(tmp_path):
    process = multiprocessing.get_context("fork").Process(target=_fill_and_die, args=(tmp_path / "b",))
    process.start()
    process.join()
    assert [path.name.startswith(".b.") for path in tmp_path.iterdir()] == [True]
    with new_folder(tmp_path / "b") as running:
        with pytest.raises(RuntimeError):
            _fill_and_fail(tmp_path / "b")
        assert list(tmp_path.iterdir()) == [running]
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


def test_the_folder_of_caches_may_begin_with_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PECL_CACHE_DIR", "~/caches")
    assert default_cache_dir() == tmp_path / "caches"


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
    exif[0x0112] = tag
    Image.fromarray(stored).save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(read(tmp_path / "a.png"), TURNED[tag](stored))


def test_a_photograph_is_turned_whatever_else_its_exif_has(tmp_path):
    """A number that Pillow reads and cannot write: 100000 as the unit of the resolution, which has 16 bits."""
    stored = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3) * 10
    entries = struct.pack("<HHIHHHHII", 0x0112, 3, 1, 6, 0, 0x0128, 4, 1, 100_000)  # orientation and unit
    exif = b"Exif\0\0II*\0" + struct.pack("<IH", 8, 2) + entries + struct.pack("<I", 0)
    Image.fromarray(stored).save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(read(tmp_path / "a.png"), TURNED[6](stored))


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_sixteen_bits_become_the_nearest_eight(tmp_path, name):
    """Cut off, all from 255 on would be white; by its high byte only, 255 would be black."""
    values = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    Image.fromarray(values).save(tmp_path / name)
    assert np.array_equal(read(tmp_path / name), np.repeat(np.rint(values / 257)[..., None], 3, axis=2))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "P with one transparent colour", "RGB with one"])
def test_what_is_transparent_is_white(tmp_path, mode):
    """A red, or grey, pixel that is seen and one that is not."""
    seen, path = (90, 90, 90) if mode == "LA" else (200, 10, 30), tmp_path / "a.png"
    if mode in ("RGBA", "LA"):
        image = Image.new("RGBA", (2, 1), (*seen, 255))
        image.putpixel((1, 0), (*seen, 0))
        image.convert(mode).save(path)
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


@pytest.mark.parametrize(("mode", "said"), [("F", "floating-point numbers"), ("I", "-1 to 7, expected 8 or 16 bits")])
def test_values_of_no_known_range_are_refused(tmp_path, mode, said):
    image = Image.new(mode, (2, 1), 7)
    image.putpixel((1, 0), -1)
    image.save(tmp_path / "a.tif")
    with pytest.raises(DataError, match=rf"cannot read image .*a\.tif: its pixels are {said}"):
        ImageFiles((tmp_path / "a.tif",)).load(0)
