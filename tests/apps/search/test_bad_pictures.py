"""One bad picture never ends an index: it is listed, or its metadata counts as broken, and all others are searched."""

import struct
import subprocess
import sys

import pytest
from helpers.metadata import PACKET, photograph
from helpers.small_index import COUNT, words_of
from PIL import Image

import pecl
from pecl.apps.search.build import build_index
from pecl.apps.search.metadata import MAX_CHARACTERS
from pecl.apps.search.xmp import MAX_BYTES
from pecl.errors import DataError
from pecl.files import images
from pecl.files.images import MAX_EXIF_BYTES, ImageFiles


def tiff(path, *tags, blob=b""):
    """Write a grey TIFF of 8 x 8 pixels with more tags: number, type, count; their values begin with `blob`."""
    size = len(blob)
    own = [(256, 3, 1, 8), (257, 3, 1, 8), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (273, 4, 1, 8)]
    own += [(277, 3, 1, 1), (278, 3, 1, 8), (279, 4, 1, 64), *((*tag, 72) for tag in tags)]
    directory = b"".join(struct.pack("<HHII", *tag) for tag in sorted(own))
    head = b"II*\0" + struct.pack("<I", 72 + size) + bytes(64)
    path.write_bytes(head + blob + struct.pack("<H", len(own)) + directory + bytes(4))
    return path


def test_an_embedded_packet_has_a_limit(photographs):
    words = "<dc:subject>Eiffelturm</dc:subject>" + "<a/>" * (MAX_BYTES // 4)
    packet = PACKET.format('xmlns:dc="http://purl.org/dc/elements/1.1/"', words)
    photograph(photographs / "x.webp", packet, kind="WEBP")
    report = build_index(photographs)
    assert (report.photographs, report.broken) == (COUNT + 1, 1)
    assert not pecl.ImageIndex.open(photographs).select("Eiffelturm").names


def test_the_memory_of_a_large_packet_is_bounded(tmp_path):
    """A WebP of 34 MB took 1.5 GB."""
    packet = PACKET.format("", '<a b=""/>' * 3_700_000)
    path = photograph(tmp_path / "x.webp", packet, kind="WEBP")
    program = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from pecl.apps.search.metadata import describe\n"
        "from pecl.data.custom.photographs import Photograph, NO_STAMP\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "assert describe(Path(sys.argv[1]), Photograph('x.webp', NO_STAMP)).is_broken\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, tmp_path], capture_output=True, text=True, check=True)
    assert path.stat().st_size > 30e6
    assert int(done.stdout) < 250_000  # KiB


def test_the_words_of_a_photograph_have_a_limit(photographs):
    words = "".join(f"<rdf:li>w{number}</rdf:li>" for number in range(MAX_CHARACTERS // 4))
    packet = PACKET.format('xmlns:dc="http://purl.org/dc/elements/1.1/"', f"<dc:subject>{words}</dc:subject>")
    photograph(photographs / "x.webp", packet, kind="WEBP")
    assert build_index(photographs).broken == 1
    index = pecl.ImageIndex.open(photographs)
    assert words_of(index.select("w17")) == ("w17",)
    assert not index.select(f"w{MAX_CHARACTERS // 4 - 1}").names


@pytest.mark.parametrize("error", [MemoryError(), RecursionError("maximum recursion depth exceeded"), SystemError("x")])
@pytest.mark.parametrize("decoder", ["open_picture", "to_rgb"])
def test_an_error_of_a_decoder_ends_no_index(photographs, monkeypatch, error, decoder):
    bad = (photographs / "00.png").read_bytes()
    plain = images.open_picture

    def fail(content, *args):
        if content == bad:
            raise error
        return plain(content, *args)

    def fail_late(image):
        raise error

    with monkeypatch.context() as patch:
        if decoder == "open_picture":
            patch.setattr("pecl.files.images.open_picture", fail)
            patch.setattr("pecl.apps.search.metadata.open_picture", fail)
            report = build_index(photographs)
            assert list(report.unreadable) == ["00.png"]
            assert report.photographs == COUNT - 1
        else:
            patch.setattr("pecl.files.images.to_rgb", fail_late)
            with pytest.raises(DataError, match=f"none of {COUNT} photographs can be read"):
                build_index(photographs)

    report = build_index(photographs)
    expected = COUNT if isinstance(error, MemoryError) or decoder == "to_rgb" else COUNT - 1
    assert report.photographs == expected


def test_an_error_in_the_metadata_of_a_photograph_ends_no_index(photographs, monkeypatch):
    def fail(content, *_):
        raise MemoryError

    monkeypatch.setattr("pecl.apps.search.metadata.open_picture", fail)
    report = build_index(photographs)
    assert (report.photographs, report.broken) == (COUNT, COUNT)
    assert "summer" in words_of(pecl.ImageIndex.open(photographs).select("summer"))


def test_tags_exif_and_shapes_have_limits(tmp_path):
    many = 1 << 21
    tiff(tmp_path / "orientation.tif", (274, 5, many), blob=b"\1\0\0\0\1\0\0\0" * many)
    tiff(tmp_path / "bytes.tif", (33723, 7, many), blob=bytes(many))
    Image.new("L", (1, 1000)).save(tmp_path / "narrow.png")
    Image.new("L", (10, 2000)).save(tmp_path / "long.png")
    exif = Image.Exif()
    exif[270] = "x" * MAX_EXIF_BYTES
    Image.new("L", (8, 8)).save(tmp_path / "exif.png", exif=exif)

    reasons = {}
    for path in sorted(tmp_path.iterdir()):
        try:
            ImageFiles((path,)).load(0)
        except DataError as error:
            reasons[path.name] = str(error)
    assert sorted(reasons) == ["exif.png", "narrow.png", "orientation.tif"]
    assert "expected at most 4,194,304 bytes of EXIF" in reasons["exif.png"]
    assert "expected at most 200 times as long as wide, got 1 x 1,000" in reasons["narrow.png"]
    assert "expected at most 1,048,576 numbers in its tags, got 2,097,1" in reasons["orientation.tif"]
