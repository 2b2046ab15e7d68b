"""Readers of XTD10, XTD200, Flickr30k-200, CLDR's emoji, Crossmodal-3600 and xFlickr&CO, on copies of their layouts."""

import json

import pytest
from helpers.layouts import (
    loader,
    make_emoji,
    make_flickr30k200,
    make_multi30k,
    make_xflickrco,
    make_xm3600,
    make_xtd10,
    make_xtd200,
    real_data_dir,
    sentence,
    write_lines,
)

import pecl
from pecl.data.custom.sources import normal_form
from pecl.data.published import multi30k
from pecl.data.registry import load_dataset
from pecl.errors import ConfigError, DataError
from pecl.experiment.loading import TrainingDataCache

load_xtd10, load_flickr30k200 = loader("xtd10"), loader("flickr30k200")


@pytest.mark.parametrize("language", ["en", "de", "jp", "ko"])
def test_every_language_without_photographs_with_contamination_by_item(tmp_path, language):
    make_xtd10(tmp_path, n=10)
    captions = load_xtd10(tmp_path, language)
    assert captions.english == tuple(sentence("en", i) for i in range(10))
    assert captions.target == tuple(sentence(language, i) for i in range(10))
    assert captions.images is None
    assert captions.provenance["images"] == "none: captions alone"
    assert captions.provenance["coco_split"] == {"train2014": 8, "val2014": 2}
    assert captions.subset == (("train2014",) * 4 + ("val2014",)) * 2


def test_photographs_are_used_where_they_are(tmp_path):
    make_xtd10(tmp_path, images=range(5))
    captions = load_xtd10(tmp_path, "jp", need=("target_to_english",))
    assert captions.images.ids[4] == "COCO_val2014_000000000004.jpg"
    assert captions.provenance["images"] == {"total": 5, "kept": 5, "left_out": 0}
    assert load_xtd10(tmp_path, "jp", text_only=True).images is None


def test_flickr30k200_leaves_out_the_pool_once_there_are_photographs_for_one(tmp_path, monkeypatch):
    make_flickr30k200(tmp_path)
    make_multi30k(tmp_path, n=2, names=["101.jpg", "999.jpg"], images=range(2))
    assert len(load_flickr30k200(tmp_path, "ko")) == 4, "two photographs make no pool of a thousand"
    monkeypatch.setattr(multi30k, "POOL_SIZE", 2)
    captions = load_flickr30k200(tmp_path, "ko", need=["english_to_target"])
    assert captions.target == captions.english_to_target == tuple(sentence("ko", i) for i in (0, 2, 3))
    assert captions.images is None
    assert captions.provenance["excluded"] == {"ids": 2, "captions": 1}


def test_flickr30k200_counts_its_overlap_with_multi30k_and_knows_the_older_name_of_its_english_file(tmp_path):
    folder = make_flickr30k200(tmp_path) / "flickr30k200"
    assert load_flickr30k200(tmp_path, "ko").provenance["multi30k_overlap"] is None
    (folder / "eng_Latn.txt").rename(folder / "eng_captions.txt")
    assert load_flickr30k200(tmp_path, "ko").english == tuple(sentence("en", i) for i in range(4))
    for split, names in (("train", ["100.jpg", "9.jpg"]), ("test_2016_flickr", ["102.jpg", "103.jpg"])):
        make_multi30k(tmp_path, split, n=2, names=names)
    overlap = load_flickr30k200(tmp_path, "ko").provenance["multi30k_overlap"]
    assert overlap == {"train": 1, "test_2016_flickr": 2}


def test_xtd200_finds_english_captions_and_is_xtd10_s_own_text(tmp_path):
    make_xtd200(tmp_path)
    captions = load_dataset("xtd200", "Swahili", data_dir=tmp_path, need=["english_to_target"])
    assert captions.english[2] == sentence("en", 2, "XTD")
    assert captions.target[2] == captions.english_to_target[2] == sentence("sw", 2, "XTD")
    assert captions.subset == ("train2014", *["val2014"] * 3)
    assert captions.provenance["files"]["target"]["file"] == "xtd200/swh_Latn.txt"
    assert pecl.make_config({"dataset": "xtd200", "language": "swa"}).gallery == "english"
    with pytest.raises(DataError, match="has no target to english translations"):
        load_dataset("xtd200", "sw", data_dir=tmp_path, need=["target_to_english"])
    config = {"dataset": "xtd200", "language": "sw", "data_dir": str(tmp_path), "shots": 1, "image_weight": 0}
    with pytest.raises(ConfigError, match="xtd200 is a test set: name the text to train on"):
        TrainingDataCache()(pecl.make_config(config))
    make_flickr30k200(tmp_path)
    write_lines(tmp_path / "flickr30k200" / "swh_Latn.txt", [sentence("sw", i, "xtd") + "!" for i in range(4)])
    for way in ({"text": "flickr30k200"}, {"train_on": "flickr30k200"}):
        with pytest.raises(DataError, match="text: 2 of 4 pairs are in the test part"):
            TrainingDataCache()(pecl.make_config({**config, **way}))
    write_lines(tmp_path / "xtd200" / "swh_Latn.txt", ["a", "b", "c"])
    with pytest.raises(DataError, match=r"swh_Latn\.txt has 3"):
        load_dataset("xtd200", "sw", data_dir=tmp_path)


def test_real_xtd200_is_xtd10_and_shares_next_to_nothing_with_the_training_text():
    root = real_data_dir()
    english = load_xtd10(root, "en").english
    shared = {}
    for code in ("en", "sw", "ast", "awa", "zh_hant"):
        test = load_dataset("xtd200", code, data_dir=root)
        assert test.english == english
        trained = load_dataset("flickr30k200", code, data_dir=root)
        shared[code] = len({*map(normal_form, test.target)} & {*map(normal_form, trained.target)})
    assert shared == {"en": 0, "sw": 0, "ast": 1, "awa": 4, "zh_hant": 0}


def test_emoji_have_names_and_keywords_of_a_language_in_the_order_of_the_english_ones(tmp_path):
    assert loader("emoji")(make_emoji(tmp_path), "en").target[:2] == ("dog", "animal, pet")
    captions = loader("emoji")(tmp_path, "Swahili")
    # a bracket is no picture, "fox" is not translated, and the camel has no English name
    assert captions.english == ("dog", "animal, pet", "bicycle", "animal, face")
    assert captions.target == ("mbwa", "mnyama", "baiskeli", "mnyama, uso")
    assert captions.provenance["files"]["target"]["file"] == "emoji/sw/annotations.json"


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


def test_xflickrco_tells_coco_from_flickr(tmp_path):
    make_xflickrco(tmp_path)
    captions = load_xflickrco(tmp_path, "jp")
    assert captions.target == tuple(sentence("ja", i) for i in range(4))
    assert captions.english == tuple(sentence("en", i) for i in range(4))
    assert captions.subset == ("val2014", "other") * 2
    assert captions.provenance["coco_split"] == {"train2014": 0, "val2014": 2}
    assert captions.images.ids[1] == "1001.jpg"


@pytest.mark.parametrize(
    ("load", "line", "said"),
    [
        (load_xm3600, "\nno JSON", "line 2: expected a JSON object"),
        (load_xm3600, '{"image/key": "a1", "de": ["a"]}', "line 1: expected a JSON object"),
        (load_xflickrco, '{"img_path": "x.jpg", "sentences": ["a"]}', "list other images, or in another order"),
    ],
)
def test_what_is_wrong_with_a_line(tmp_path, load, line, said):
    make_xflickrco(tmp_path)
    write_lines(tmp_path / "xm3600" / "captions.jsonl", [line])
    write_lines(tmp_path / "xflickrco" / "annotations" / "de" / "test.jsonl", [line])
    with pytest.raises(DataError, match=said):
        load(tmp_path, "de")
