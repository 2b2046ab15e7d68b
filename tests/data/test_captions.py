"""Reading caption files in every state that they come in, and the checks of `ParallelCaptions`."""

import gzip

import pytest
from helpers.layouts import write_image, write_lines
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pecl.data.captions import ParallelCaptions, find_repeats, read_captions
from pecl.data.custom.in_memory import from_dataset
from pecl.errors import DataError
from pecl.files.images import ImageFiles

LINES = ("ein Hund läuft", "eine Katze schläft", "犬が走る")


@pytest.mark.parametrize(("end", "final", "bom"), [("\n", False, True), ("\r\n", True, False), ("\r\n", False, True)])
def test_reads_every_line_ending_and_a_gzipped_file_by_its_plain_name(tmp_path, end, final, bom):
    write_lines(tmp_path / "a.de.gz", LINES, end, final, bom)
    assert read_captions(tmp_path / "a.de") == LINES
    write_lines(tmp_path / "a.de", LINES[:1], end, final, bom)
    assert read_captions(tmp_path / "a.de") == LINES[:1], "the plain file goes first"


# Line breaks that are no newline (U+2028, form feed, ...) occur in captions; str.splitlines would cut there.
captions = st.text(st.characters(blacklist_characters="\n", blacklist_categories=("Cs",))).map(str.strip).filter(bool)


@given(st.lists(captions, min_size=1, max_size=20))
def test_round_trip(tmp_path_factory, lines):
    path = write_lines(tmp_path_factory.mktemp("round") / "x.txt", ["a", *lines])  # "a": a leading BOM is no caption
    assert read_captions(path)[1:] == tuple(lines)


GZIPPED = gzip.compress(b"a long enough text " * 100, mtime=0)  # in names of tests, which all workers must share


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("x.de", b"gut\n" + "Hügel\n".encode("latin-1"), r"x\.de, line 2: not UTF-8.*convert"),
        ("x.de", b"a\n \t\r\n", r"x\.de, line 2: empty caption"),
        ("x.de", b"", r"x\.de is empty"),
        ("x.de", "gut\n".encode("utf-16"), r"x\.de is UTF-16"),
        *(
            ("x.de.gz", damaged, r"cannot read caption file .*x\.de\.gz")
            for damaged in (GZIPPED[:-12], b"no gzip at all")
        ),
    ],
)
def test_a_wrong_file_and_its_line_are_named(tmp_path, name, content, said):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=said):
        read_captions(tmp_path / "x.de")
    with pytest.raises(DataError, match="cannot read caption file"):
        read_captions(tmp_path)


def test_empty_captions_and_wrong_images_are_refused(tmp_path):
    images = ImageFiles((tmp_path / "a.jpg", tmp_path / "b.jpg"))
    for wrong, said in (
        ({"target": ("a", " ", "b")}, "target caption 2 is empty"),
        ({"target": ("a", "b", "\ud800")}, "target caption 3: a lone surrogate"),
        ({"english_to_target": LINES[:2]}, "english_to_target has 2 entries, expected 3 as in target"),
        ({"part": ("train", "val", "tset")}, "caption 3: unknown part 'tset'.*did you mean 'test'"),
        ({"images": images}, "2 images for 3 captions"),
        *(({"images": images, "image_index": (0, 1, i)}, "image_index: expected 0 to 1") for i in (-1, 2)),
    ):
        with pytest.raises(DataError, match=said):
            ParallelCaptions("t", "de", LINES, **{"target": LINES, **wrong})


def test_select_keeps_captions_with_their_images(tmp_path):
    images = ImageFiles(tuple(tmp_path / f"{i}.jpg" for i in range(3)))
    texts = ("0a", "0b", "1a", "2a", "2b")
    whole = ParallelCaptions("t", "de", texts, texts, texts, None, images, (0, 0, 1, 2, 2))
    part = whole.select([4, 1, 0])
    assert part.english == part.target == part.english_to_target == ("2b", "0b", "0a")
    assert part.target_to_english is None
    assert [part.images.ids[i] for i in part.image_index] == ["2.jpg", "0.jpg", "0.jpg"]
    assert len(part.images) == 2


def test_truncated_missing_and_false_images_are_named(tmp_path):
    whole = write_image(tmp_path / "whole.png", size=(64, 64)).read_bytes()
    jpeg = write_image(tmp_path / "whole.jpg", size=(640, 480)).read_bytes()
    contents = {"cut.png": whole[:60], "cut.jpg": jpeg[: len(jpeg) // 2], "text.jpg": b"hello"}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match=rf"cannot read image .*{name}.*replace the file or leave it out"):
            ImageFiles((tmp_path / name,)).load(0)
    with Image.open(tmp_path / "cut.jpg") as lazy, pytest.raises(DataError, match="row 0, column 'image': cannot read"):
        from_dataset([{"image": lazy, "en": "a", "de": "b"}], "de").images.load(0)
    missing = ImageFiles((tmp_path / "no.jpg",))
    for access in (missing.load, missing.fingerprint):
        with pytest.raises(DataError, match=r"cannot read image .*no\.jpg"):
            access(0)


def test_equal_captions_of_one_image_are_no_repeats():
    assert find_repeats(["a", "a", "b", "a", "b"], owners=[0, 0, 0, 1, 0]) == {3: 0}
    assert find_repeats(["a", "a", "b", "a", "b"]) == {1: 0, 3: 0, 4: 2}
