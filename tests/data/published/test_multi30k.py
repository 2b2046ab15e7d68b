"""Multi30K, whole and in its published parts, on tiny copies of its layout and on the real files where they are."""

import hashlib

import pytest
from helpers.layouts import loader, make_multi30k, make_task2, real_data_dir, sentence, write_image

from pecl.data.published.multi30k import (
    load_pool_ids,
    pool_ids,
    read_multi30k_translations_outside_pool,
)
from pecl.data.reading import DataRequest
from pecl.data.splits import split_captions
from pecl.errors import DataError
from pecl.files import sha256_file, sha256_lines

BOTH = ("english_to_target", "target_to_english")
load_multi30k, load_multi30k_pool, load_multi30k_task2 = map(loader, ("multi30k", "multi30k-1k", "multi30k-task2"))


def outside_pool(data_dir, language):
    return read_multi30k_translations_outside_pool(DataRequest("multi30k-1k", language, data_dir=data_dir))


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_task1(tmp_path, suffix):
    make_multi30k(tmp_path, "val", n=3, suffix=suffix, images=range(3))
    captions = load_multi30k(tmp_path, "fr", "val", BOTH)
    assert captions.english == tuple(sentence("en", i) for i in range(3))
    assert captions.target == tuple(sentence("fr", i) for i in range(3))
    assert captions.english_to_target == tuple(sentence("fr", i, "MT-translated_from_en-fr") for i in range(3))
    assert captions.target_to_english == tuple(sentence("en", i, "MT-translated_to_en-fr") for i in range(3))
    assert captions.images.ids == ("100.jpg", "101.jpg", "102.jpg")
    record, file = captions.provenance, f"multi30k/data/task1/raw/val.fr{suffix}"
    assert record["split"] == "val"
    assert record["images"] == {"total": 3, "kept": 3, "left_out": 0}
    assert record["files"]["target"] == {"file": file, "sha256": sha256_file(tmp_path / file)}


def test_caption_numbers_are_cut_from_the_names_of_ambiguous_coco(tmp_path):
    names = ["COCO_train2014_01.jpg#7", "COCO_val2014_02.jpg#8", "COCO_train2014_01.jpg#9"]
    make_multi30k(tmp_path, "test_2017_mscoco", 3, ("en", "de", "fr"), names=names, images=range(2))
    captions = load_multi30k(tmp_path, "de", "test_2017_mscoco")
    assert captions.images.ids == ("COCO_train2014_01.jpg", "COCO_val2014_02.jpg")
    assert captions.image_index == (0, 1, 0)
    assert captions.provenance["coco_split"] == {"train2014": 2, "val2014": 1}


def test_task2_stands_image_by_image(tmp_path):
    make_task2(tmp_path, images=(0, 2))
    captions = load_multi30k_task2(tmp_path, "de", allow_missing_images=True)
    assert captions.images.ids == ("100.jpg", "102.jpg")
    assert captions.image_index == (0,) * 5 + (1,) * 5
    assert captions.english == tuple(f"en caption {k} of image {i}" for i in (0, 2) for k in range(1, 6))
    assert captions.target == tuple(f"de caption {k} of image {i}" for i in (0, 2) for k in range(1, 6))
    assert load_multi30k_task2(tmp_path, "en", text_only=True).target[5] == "en caption 1 of image 1"


def test_captions_of_task2_without_images_are_split_by_image_too(tmp_path):
    make_task2(tmp_path, images=range(3))
    with_images = load_multi30k_task2(tmp_path, "de")
    captions = load_multi30k_task2(tmp_path, "de", text_only=True)
    assert captions.images is None
    assert split_captions(captions, 1) == split_captions(with_images, 1)


def chosen_by_counting(ids):
    """The pool by its definition: an id is in it if fewer than 1,000 ids have a smaller hash."""
    digest = {i: hashlib.sha256(b"pecl/multi30k-1k/" + i.encode()).hexdigest() for i in ids}
    rank = {i: sum(other < digest[i] for other in digest.values()) for i in ids}
    return tuple(i for i in ids if rank[i] < 1000)


def test_pool_is_the_thousand_smallest_hashes_in_file_order():
    names = [f"{(7919 * i) % 10007}.jpg" for i in range(1300)]
    assert pool_ids(names) == chosen_by_counting([name[:-4] for name in names])
    assert set(pool_ids(names[::-1])) == set(pool_ids(names)), "the order of the names does not choose"
    assert len(pool_ids(names[:1000])) == 1000
    with pytest.raises(DataError, match="needs 1000 of Multi30K's training images and 999 are there"):
        pool_ids(names[:999])


@pytest.fixture(scope="module")
def pool_dir(tmp_path_factory):
    """1,200 training lines, 1,100 of them with a photograph, and a photograph of no split."""
    root = make_multi30k(tmp_path_factory.mktemp("pool"), n=1200)
    image = write_image(root / "multi30k" / "images" / "other.jpg").read_bytes()
    for i in range(1200):
        if i % 12:
            (root / "multi30k" / "images" / f"{100 + i}.jpg").write_bytes(image)
    return root


def test_pool_is_drawn_from_the_photographs_that_are_there(pool_dir):
    captions = load_multi30k_pool(pool_dir, "de", need=BOTH)
    expected = chosen_by_counting([str(100 + i) for i in range(1200) if i % 12])
    assert captions.images.ids == tuple(f"{i}.jpg" for i in expected)
    assert load_pool_ids(pool_dir) == expected
    assert captions.dataset == "multi30k-1k"
    assert captions.target == tuple(sentence("de", int(i) - 100) for i in expected)
    assert captions.provenance["pool"] == {"size": 1000, "sha256": sha256_lines(expected)}
    assert captions.provenance["images"] == {"total": 1000, "kept": 1000, "left_out": 0}


def test_outside_the_pool_is_the_rest_in_machine_translation(pool_dir):
    captions = outside_pool(pool_dir, "cs")
    pool = set(load_pool_ids(pool_dir))
    rest = [i for i in range(1200) if str(100 + i) not in pool]
    assert captions.english == tuple(sentence("en", i) for i in rest)
    assert captions.target == tuple(sentence("cs", i, "MT-translated_from_en-cs") for i in rest)
    assert captions.english_to_target == captions.target
    assert captions.images is None
    assert captions.target_to_english is None


def test_real_pool_and_the_rest():
    root = real_data_dir()
    ids = load_pool_ids(root)
    assert len(set(ids)) == 1000
    assert len(outside_pool(root, "de")) == 28000
    pool = load_multi30k_pool(root, "de", need=BOTH)
    assert pool.images.ids == tuple(f"{i}.jpg" for i in ids)
    assert pool.images.load(0).size == (224, 224)


SIZES = {"train": 7, "val": 3, "test_2016_flickr": 4}
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


def test_the_tests_of_other_years_have_no_machine_translations(data_dir):
    make_multi30k(data_dir, "test_2018_flickr", 2, names=["200.jpg", "201.jpg"], images=range(2))
    for folder in ("translated_from_en", "translated_to_en"):
        (data_dir / "pectvlm" / "datasets" / "Multi30K" / folder / "test_2018_flickr.de").unlink()
    assert load_multi30k_full(data_dir, "de", "test_2018_flickr").part[-2:] == ("test", "test")
    with pytest.raises(DataError, match=r"test_2018_flickr"):
        load_multi30k_full(data_dir, "de", "test_2018_flickr", need=BOTH)
