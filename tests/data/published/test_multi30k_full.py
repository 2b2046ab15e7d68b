"""Multi30K in its published parts, on a tiny copy of its layout and on the real captions where they are."""

import pytest
from helpers.layouts import loader, make_multi30k, real_data_dir, sentence

from pecl.data.splits import split_captions
from pecl.errors import DataError

SIZES = {"train": 7, "val": 3, "test_2016_flickr": 4}
BOTH = ("english_to_target", "target_to_english")
load_multi30k_full = loader("multi30k-full")


@pytest.fixture
def data_dir(tmp_path):
    first = 100
    for split, size in SIZES.items():
        names = [f"{first + i}.jpg" for i in range(size)]
        make_multi30k(tmp_path, split, size, names=names, images=range(size))
        first += size
    return tmp_path


def test_holds_the_three_parts_one_after_the_other(data_dir):
    captions = load_multi30k_full(data_dir, "fr", need=BOTH)
    assert captions.part == ("train",) * 7 + ("val",) * 3 + ("test",) * 4
    assert captions.images.ids == tuple(f"{100 + i}.jpg" for i in range(14))
    assert captions.target == tuple(sentence("fr", i) for size in SIZES.values() for i in range(size))
    marked = tuple(sentence("en", i, "MT-translated_to_en-fr") for size in SIZES.values() for i in range(size))
    assert captions.target_to_english == marked
    assert [captions.provenance[part]["split"] for part in ("train", "val", "test")] == list(SIZES)
    assert [len(part) for part in split_captions(captions, None)] == [7, 3, 4]


def test_missing_photographs_are_left_out_unless_a_part_has_none(data_dir):
    images = data_dir / "multi30k" / "images"
    for name in ("101.jpg", "108.jpg", "112.jpg"):
        (images / name).unlink()
    with pytest.raises(DataError, match=r"multi30k-full: 3 of 14 images are missing"):
        load_multi30k_full(data_dir, "de")
    kept = load_multi30k_full(data_dir, "de", allow_missing_images=True)
    assert kept.part == ("train",) * 6 + ("val",) * 2 + ("test",) * 3
    assert kept.provenance["images"] == {"total": 14, "kept": 11, "left_out": 3}
    for name in ("107.jpg", "109.jpg"):
        (images / name).unlink()
    with pytest.raises(DataError, match=r"no image of the val part is in .*multi30k/images, so nothing is left"):
        load_multi30k_full(data_dir, "de", allow_missing_images=True)
    assert len(load_multi30k_full(data_dir, "de", text_only=True)) == 14


def test_the_tests_of_other_years_have_no_machine_translations(data_dir):
    make_multi30k(data_dir, "test_2018_flickr", 2, names=["200.jpg", "201.jpg"], images=range(2))
    for folder in ("translated_from_en", "translated_to_en"):
        (data_dir / "pectvlm" / "datasets" / "Multi30K" / folder / "test_2018_flickr.de").unlink()
    assert load_multi30k_full(data_dir, "de", "test_2018_flickr").part[-2:] == ("test", "test")
    with pytest.raises(DataError, match=r"test_2018_flickr"):
        load_multi30k_full(data_dir, "de", "test_2018_flickr", need=BOTH)


def test_real_captions():
    captions = load_multi30k_full(real_data_dir(), "cs", need=BOTH, text_only=True)
    assert [len(part) for part in split_captions(captions, None)] == [29_000, 1_014, 1_000]
