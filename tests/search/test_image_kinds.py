"""Photographs of every kind in an index: phones' formats and sizes are found, and nothing runs a program."""

import subprocess
import sys

import pillow_heif
import pytest
from helpers.small_index import COUNT
from PIL import Image

import pecl
from pecl.files import pictures
from pecl.search.build import build_index


def test_heic_and_large_photographs_are_found(photographs, towers, monkeypatch):
    monkeypatch.setattr(pictures, "WHOLE", 1000)
    monkeypatch.setattr(pictures, "PIXELS", 2000)
    pillow_heif.from_pillow(Image.new("RGB", (30, 30), (200, 40, 90))).save(photographs / "phone.heic")
    Image.new("RGB", (160, 120), (10, 220, 60)).save(photographs / "large.jpg")
    Image.new("RGB", (60, 50), (10, 220, 60)).save(photographs / "large.png")
    report = build_index(photographs, options=None)
    assert report.photographs == COUNT + 2
    assert report.unreadable == {"large.png": "expected at most 2,000 pixels, got 60 x 50"}
    index = pecl.ImageIndex.open(photographs)
    for name, colour in (("phone.heic", (200, 40, 90)), ("large.jpg", (10, 220, 60))):
        (hits,) = index.search(Image.new("RGB", (8, 8), colour), top=1)
        assert hits[0].path.name == name
        assert index.open_image(hits[0]).getpixel((0, 0)) == pytest.approx(colour, abs=6)


def test_the_door_imports_neither_ghostscripts_plug_in_nor_others():
    script = "import sys; from pecl.files.pictures import open_picture\n"
    script += "try:\n    open_picture(b'%!PS-Adobe')\nexcept OSError:\n    print('PIL.EpsImagePlugin' in sys.modules)\n"
    ran = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert ran.stdout == "False\n"
