"""Readers of Crossmodal-3600 and xFlickr&CO, on small copies of their published layouts."""

import json
import re

import pytest
from helpers.layouts import loader, make_xflickrco, make_xm3600, sentence, write_lines

from pecl.cli import main
from pecl.data.published.xflickrco import XFLICKRCO_LANGUAGES
from pecl.data.published.xm3600 import XM3600_LANGUAGES
from pecl.errors import DataError

load_xm3600, load_xflickrco = loader("xm3600"), loader("xflickrco")


def test_xm3600_has_a_row_for_each_caption_beside_an_english_one_of_the_same_photograph(tmp_path):
    make_xm3600(tmp_path)
    captions = load_xm3600(tmp_path, "cs")
    assert captions.target == tuple(sentence("cs", i, f"caption-{k}") for i in range(4) for k in range(3))
    assert captions.english == tuple(sentence("en", i, f"caption-{k}") for i in range(4) for k in (0, 1, 0))
    assert captions.image_index == (0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3)
    assert captions.images.ids == tuple(f"{i:016x}.jpg" for i in range(4))
    assert captions.provenance["without_caption"] == 0
    assert captions.provenance["files"]["captions"]["file"] == "xm3600/captions.jsonl"
    assert load_xm3600(tmp_path, "jp").target[0] == sentence("ja", 0, "caption-0")  # as pecl spells it
    assert load_xm3600(tmp_path, "en").target == load_xm3600(tmp_path, "en").english


def test_xm3600_leaves_out_photographs_without_a_caption_and_counts_them(tmp_path):
    make_xm3600(tmp_path)
    path = tmp_path / "xm3600" / "captions.jsonl"
    lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    lines[1]["de"]["caption"] = []
    lines[2]["de"]["caption"] = ["", "  "]
    lines[3]["en"]["caption"] = []
    write_lines(path, [json.dumps(line) for line in lines])
    captions = load_xm3600(tmp_path, "de")
    assert captions.provenance["without_caption"] == 2
    assert captions.images.ids == (f"{0:016x}.jpg", f"{3:016x}.jpg")
    assert captions.english is None  # one photograph has none in English, so the column would have holes


def test_all_languages_of_the_set_are_there(tmp_path):
    make_xm3600(tmp_path)
    make_xflickrco(tmp_path)
    assert load_xm3600(tmp_path, "quz").target[0] == sentence("quz", 0, "caption-0")
    assert load_xflickrco(tmp_path, "id").target[0] == sentence("id", 0)
    with pytest.raises(DataError, match="xm3600 has no captions in Galician"):
        load_xm3600(tmp_path, "gl")


def test_xflickrco_tells_coco_from_flickr(tmp_path):
    make_xflickrco(tmp_path)
    captions = load_xflickrco(tmp_path, "jp")
    assert captions.target == tuple(sentence("ja", i) for i in range(4))
    assert captions.english == tuple(sentence("en", i) for i in range(4))
    assert captions.subset == ("val2014", "other") * 2
    assert captions.provenance["coco_split"] == {"train2014": 0, "val2014": 2}
    assert captions.images.ids[1] == "1001.jpg"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("no JSON", "line 2: not JSON in UTF-8"),
        ("[1]", "line 2: expected a JSON object, got list"),
        (
            '{"image/key": "../x", "de": {"caption": ["a"]}, "en": {"caption": ["b"]}}',
            "line 2: image/key: expected l",
        ),
        ('{"image/key": "a1", "de": ["a"], "en": {"caption": ["b"]}}', "line 2: de: expected an object with a list"),
        ('{"image/key": "a1", "de": {"caption": [5]}, "en": {"caption": ["b"]}}', "line 2: de: expected an object"),
        ('{"image/key": "a1", "en": {"caption": ["b"]}}', "line 2: de: expected an object with a list of texts"),
    ],
)
def test_what_is_wrong_with_a_line_of_xm3600(tmp_path, line, said):
    make_xm3600(tmp_path)
    path = tmp_path / "xm3600" / "captions.jsonl"
    first, *_ = path.read_text("utf-8").splitlines()
    write_lines(path, [first, line])
    with pytest.raises(DataError, match=said):
        load_xm3600(tmp_path, "de")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            '{"img_path": "../x.jpg", "sentences": ["a"]}',
            "line 1: img_path: expected the name of a file, got '..",
        ),
        ('{"sentences": ["a"]}', "line 1: img_path: expected the name of a file, got None"),
        ('{"img_path": "x.jpg", "sentences": "a"}', "line 1: sentences: expected a list of texts"),
        ('{"img_path": "x.jpg", "sentences": []}', "line 1: sentences: expected a list of texts"),
        ('{"img_path": "x.jpg", "sentences": ["a"]}', "list other photographs, or in another order"),
    ],
)
def test_what_is_wrong_with_a_line_of_xflickrco(tmp_path, line, said):
    make_xflickrco(tmp_path)
    write_lines(tmp_path / "xflickrco" / "annotations" / "de" / "test.jsonl", [line])
    with pytest.raises(DataError, match=re.escape(said)):
        load_xflickrco(tmp_path, "de")


@pytest.mark.parametrize("load", [load_xm3600, load_xflickrco])
def test_missing_and_empty_files_and_translations(tmp_path, load):
    make_xm3600(tmp_path)
    make_xflickrco(tmp_path)
    with pytest.raises(DataError, match=r"has no machine translations \(english_to_target\)"):
        load(tmp_path, "de", need=["english_to_target"])
    for path in (*tmp_path.rglob("captions.jsonl"), *tmp_path.rglob("test.jsonl")):
        path.write_text("")
    with pytest.raises(DataError, match="is empty"):
        load(tmp_path, "de")
    for path in (*tmp_path.rglob("captions.jsonl"), *tmp_path.rglob("test.jsonl")):
        path.unlink()
    with pytest.raises(DataError, match="is missing"):
        load(tmp_path, "de")


def test_check_evaluate_and_report(tmp_path, small, capsys):
    make_xm3600(tmp_path / "data", languages=XM3600_LANGUAGES)
    make_xflickrco(tmp_path / "data", languages=XFLICKRCO_LANGUAGES)
    data = ["--data-dir", str(tmp_path / "data")]
    for name in ("xm3600", "xflickrco"):
        assert main(["data", "check", name, *data]) == 0
        assert f"{name}: no problems" in capsys.readouterr().out
        flags = ["--dataset", name, *data, "--out", str(tmp_path / "results")]
        assert main(["evaluate", *flags, "--language", "en,de,jp"]) == 0
    capsys.readouterr()
    assert main(["report", str(tmp_path / "results")]) == 0
    printed = capsys.readouterr().out
    assert "xm3600" in printed
    assert "xflickrco" in printed
