"""Rows in memory as a data set: plain sequences of mappings, and the package `datasets` where it is installed."""

import logging

import pytest
from helpers.layouts import write_image
from PIL import Image

from pecl.data.custom.in_memory import from_dataset
from pecl.errors import DataError


def pictures():
    return [Image.new("RGB", (4, 3), (i, i, i)) for i in range(2)]


def test_rows_in_memory(tmp_path):
    first, second = pictures()
    path = write_image(tmp_path / "third.png", (9, 9, 9))
    rows = [
        {"image": first, "en": "one", "de": " eins ", "en_to_de": "MT 1"},
        {"image": second, "en": "two", "de": "zwei", "en_to_de": "MT 2"},
        {"image": str(path), "en": "three", "de": "drei", "en_to_de": "MT 3"},
    ]
    captions = from_dataset(rows, "de", need=["english_to_target"])
    assert captions.target == ("eins", "zwei", "drei")
    assert captions.english_to_target == ("MT 1", "MT 2", "MT 3")
    assert captions.image_index == (0, 1, 2)
    assert captions.images.load(2).getpixel((0, 0)) == (9, 9, 9)
    part = captions.select([2, 1])
    assert part.images.ids == ("2", "1")
    assert part.select([0]).images.ids == ("2",)
    assert part.images.fingerprint(1) == captions.images.fingerprint(1) != captions.images.fingerprint(0)


def test_fingerprints_are_of_the_pixels():
    grey = Image.new("RGB", (4, 3), (7, 7, 7))
    rows = [{"image": image, "en": "a", "de": "b"} for image in (grey, grey.convert("L"), grey.resize((3, 4)))]
    images = from_dataset(rows, "de").images
    prints = [images.fingerprint(i) for i in range(3)]
    assert prints[0] == prints[1] != prints[2]


def test_several_captions_an_image():
    rows = [
        {"photo": image, "caption": [f"en {i}{k}" for k in range(n)], "german": [f"de {i}{k}" for k in range(n)]}
        for i, (image, n) in enumerate(zip(pictures(), (2, 3), strict=True))
    ]
    names = {"image_column": "photo", "english_column": "caption", "target_column": "german"}
    captions = from_dataset(rows, "de", **names)
    assert captions.image_index == (0, 0, 1, 1, 1)
    assert captions.target == ("de 00", "de 01", "de 10", "de 11", "de 12")
    rows[1]["german"].pop()
    with pytest.raises(DataError, match="row 1: 3 texts in 'caption' but 2 in 'german'"):
        from_dataset(rows, "de", **names)


def test_wrong_rows_are_named():
    image = pictures()[0]
    with pytest.raises(DataError, match="no column 'de': it has image, en"):
        from_dataset([{"image": image, "en": "a"}], "de")
    with pytest.raises(DataError, match="no column 'image'"):
        from_dataset([{"en": "a", "de": "b"}], "de")
    with pytest.raises(DataError, match="row 1, column 'de': expected a text or a list of texts, got None"):
        from_dataset([{"en": "a", "de": "b"}, {"en": "a"}], "de", image_column=None)
    with pytest.raises(DataError, match="the data set has no rows"):
        from_dataset([], "de")
    captions = from_dataset([{"image": 3, "en": "a", "de": "b"}], "de")
    with pytest.raises(DataError, match="row 0, column 'image': expected a Pillow image or a path, got int"):
        captions.images.load(0)


def test_hugging_face_dataset():
    datasets = pytest.importorskip("datasets", reason="the package `datasets` is not installed")
    logging.getLogger("datasets").setLevel(logging.ERROR)
    data = datasets.Dataset.from_dict(
        {"image": pictures(), "en": ["one", "two"], "de": ["eins", "zwei"]},
        features=datasets.Features(
            {"image": datasets.Image(), "en": datasets.Value("string"), "de": datasets.Value("string")}
        ),
    )
    captions = from_dataset(data, "de")
    assert captions.target == ("eins", "zwei")
    assert captions.images.load(1).getpixel((0, 0)) == (1, 1, 1)
    plain = from_dataset([dict(row) for row in data], "de")
    assert captions.images.fingerprint(0) == plain.images.fingerprint(0)
