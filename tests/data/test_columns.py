"""Texts in a column, rows in memory and files read by lines give what a list of texts gives."""

import logging
import tracemalloc

import numpy as np
import pytest
from helpers.layouts import write_image, write_lines
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pecl.config import ExperimentConfig
from pecl.data.custom.in_memory import from_dataset
from pecl.errors import DataError, OutputError
from pecl.experiment.training_text import hold_out, load_text
from pecl.files import columns
from pecl.files.columns import column_of

texts = st.lists(st.text(st.characters(blacklist_categories=("Cs",)), max_size=20), max_size=30)


@pytest.fixture(params=[columns.IN_MEMORY, 8], ids=["in memory", "on disk"])
def anywhere(request, monkeypatch):
    monkeypatch.setattr(columns, "IN_MEMORY", request.param)
    monkeypatch.setattr(columns, "ROWS", 3)


@pytest.mark.usefixtures("anywhere")
def test_a_column_is_read_as_the_list_of_its_texts():
    @given(texts, st.data())
    def check(lines, data):
        column = column_of(lines)
        assert (list(column), len(column), column[:]) == (lines, len(lines), lines)
        places = data.draw(st.lists(st.integers(0, len(lines) - 1)) if lines else st.just([]))
        taken, expected = column.take(places), [lines[i] for i in places]
        assert (list(taken), taken[1::2], taken[::-1]) == (expected, expected[1::2], expected[::-1])
        assert list(taken.take(range(len(places))[::-2])) == expected[::-2]
        for i in range(-len(places), len(places)):
            assert taken[i] == expected[i]
        with pytest.raises(IndexError):
            taken[len(places)]

    check()


def test_a_long_column_leaves_no_file_in_the_cache_which_must_be_writable(monkeypatch, tmp_path):
    monkeypatch.setattr(columns, "IN_MEMORY", 8)
    monkeypatch.setenv("PECL_CACHE_DIR", str(tmp_path / "cache"))
    column = column_of(["a dog runs", "two"])
    assert list((tmp_path / "cache").iterdir()) == []
    assert list(column) == ["a dog runs", "two"]
    (tmp_path / "cache").rmdir()
    (tmp_path / "cache").touch()
    with pytest.raises(OutputError, match=r"cannot write the training text into .*cache: .*; PECL_CACHE_DIR names"):
        column_of(["a dog runs"])
    monkeypatch.setattr(columns, "IN_MEMORY", 1000)
    column_of(["short"])


def test_a_pair_of_a_training_text_takes_a_few_bytes_of_memory(monkeypatch, tmp_path):
    """As Python's strings, this one takes some 250."""
    pairs = 10_000
    monkeypatch.setattr(columns, "IN_MEMORY", 1 << 16)
    monkeypatch.setenv("PECL_CACHE_DIR", str(tmp_path / "cache"))
    for code in ("en", "de"):
        write_lines(tmp_path / f"c.{code}.gz", [f"{code} {i}: {'word ' * 10}" for i in range(pairs)])
    config = ExperimentConfig(text=f"{tmp_path}/c.en.gz={tmp_path}/c.de.gz", clean=True)
    load_text(config, {})  # what is imported and made once is not the text's
    tracemalloc.start()
    text, _ = load_text(config, {})
    held, most = tracemalloc.get_traced_memory()
    parts = hold_out(text, None, None)
    tracemalloc.stop()
    assert (held / pairs, most / pairs) < (12, 100)
    assert sorted(np.concatenate([list(parts.train.target), list(parts.held_out.target)])) == sorted(text.target)


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


def test_several_captions_an_image():
    rows = [
        {"photo": image, "en": [f"en {i}{k}" for k in range(n)], "german": [f"de {i}{k}" for k in range(n)], "in": part}
        for i, (image, n, part) in enumerate(zip(pictures(), (2, 3), ("train", "test"), strict=True))
    ]
    names = {"image_column": "photo", "target_column": "german", "part_column": "in"}
    captions = from_dataset(rows, "de", **names)
    assert (captions.image_index, captions.part) == ((0, 0, 1, 1, 1), ("train",) * 2 + ("test",) * 3)
    assert captions.target == ("de 00", "de 01", "de 10", "de 11", "de 12")
    rows[1]["german"].pop()
    with pytest.raises(DataError, match="row 1: 3 texts in 'en' but 2 in 'german'"):
        from_dataset(rows, "de", **names)


def test_hugging_face_dataset():
    datasets = pytest.importorskip("datasets", reason="the package `datasets` is not installed")
    logging.getLogger("datasets").setLevel(logging.ERROR)
    kinds = {"image": datasets.Image(), "en": datasets.Value("string"), "de": datasets.Value("string")}
    columns = {"image": pictures(), "en": ["one", "two"], "de": ["eins", "zwei"]}
    data = datasets.Dataset.from_dict(columns, features=datasets.Features(kinds))
    captions = from_dataset(data, "de")
    assert captions.target == ("eins", "zwei")
    assert captions.images.load(1).getpixel((0, 0)) == (1, 1, 1)
    plain = from_dataset([dict(row) for row in data], "de")
    assert captions.images.fingerprint(0) == plain.images.fingerprint(0)
