"""Readers of SIB-200, NTREX-128, GATITOS and Seed, on hand-made copies of their layouts."""

import unicodedata
from statistics import mean

import pytest
from helpers.layouts import loader, make_xtd200, real_data_dir, sentence, write_lines

from pecl.config import make_config
from pecl.data.check import check_dataset
from pecl.data.download import DOWNLOADS, caption_files, check_content
from pecl.data.reading import OWNERS_CODES
from pecl.data.registry import load_dataset
from pecl.errors import DataError
from pecl.experiment.loading import TrainingDataCache
from pecl.language.languages import LANGUAGES

load_sib200, load_ntrex, load_gatitos, load_seed = map(loader, ("sib200", "ntrex", "gatitos", "seed"))


def make_sib200(root, split="test"):
    """Three sentences, one of them quoted, one without a partner; the target's are in another order."""
    head, folder = "index_id\tcategory\ttext", root / "sib200" / "data" / "annotated"
    write_lines(folder / "eng_Latn" / f"{split}.tsv", [head, "7\tx\tseven", '3\thealth\t"""three"""', "5\tx\tfive"])
    write_lines(folder / "swh_Latn" / f"{split}.tsv", [head, "9\tx\ttisa", "3\thealth\ttatu", "7\ttravel\tsaba"])
    return root


def make_lines(root, count):
    for path, code in (
        ("ntrex/NTREX-128/newstest2019-src.eng.txt", "en"),
        ("ntrex/NTREX-128/newstest2019-ref.zho-CN.txt", "zh"),
        ("seed/seed/eng_Latn", "en"),
        ("seed/seed/gug_Latn", "gn"),
    ):
        write_lines(root / path, [sentence(code, i) for i in range(count)])
    return root


def test_sib200_is_joined_by_its_index(tmp_path):
    captions = load_sib200(make_sib200(tmp_path), "sw")
    assert list(zip(captions.english, captions.target, strict=True)) == [("seven", "saba"), ('"three"', "tatu")]
    assert (captions.provenance["without_partner"], captions.provenance["split"]) == (2, "test")
    said = str(check_dataset("sib200", tmp_path).problems)  # text is no image
    assert ("published" in said, said.count("eng_Latn/train.tsv")) == (False, 1)
    for line, said in (('7\t"', "Latn/test.tsv: expected a table of SIB-200"), ("1\tone", "test has no text in sw")):
        write_lines(tmp_path / "sib200" / "data" / "annotated" / "eng_Latn" / "test.tsv", ["index_id\ttext", line])
        with pytest.raises(DataError, match=said):
            load_sib200(tmp_path, "sw")


@pytest.mark.parametrize(
    ("load", "language", "split", "first", "count"),
    [
        (load_ntrex, "zh", "train", 0, 1297),
        (load_ntrex, "zh", "dev", 1297, 200),
        (load_seed, "gn", "train", 0, 1997),  # shorter than the published file: all of it is in the first split
    ],
)
def test_splits_of_lines(tmp_path, load, language, split, first, count):
    captions = load(make_lines(tmp_path, 1997), language, split=split)
    assert len(captions) == count
    assert captions.english[0] == sentence("en", first)
    assert captions.target[-1] == sentence(language, first + count - 1)


def test_gatitos_without_annotations_and_with_disjoint_splits(tmp_path):
    words = [f"word {i}" for i in range(200)]
    lines = [f"{word}\t{word.upper()}" for word in words] + [f"{word}\tanother" for word in words]
    lines += ["pike (verb)\txont (verb) which means to feed", "hers\t(of a woman) ya", "none\t(f)", "left"]
    write_lines(tmp_path / "gatitos" / "gatitos" / "en_ber.tsv", lines)
    train, test = (load_gatitos(tmp_path, "tzm", split=split) for split in ("train", "test"))
    assert not set(train.english) & set(test.english)
    assert set(words) <= {*train.english, *test.english}
    assert 5 < len(test) < 40
    assert len(set(test.english)) == len(test)
    assert all(
        target == english.upper() for english, target in zip(test.english, test.target, strict=True) if "w" in english
    )
    both = dict(zip(train.english + test.english, train.target + test.target, strict=True))
    assert both["pike"] == "xont"
    assert both["hers"] == "ya"
    counts = [captions.provenance for captions in (train, test)]
    assert sum(one["annotations"] for one in counts) == 3
    assert sum(one["dropped"] for one in counts) == 2


@pytest.mark.parametrize("name", ["xtd200", "sib200:test"])
def test_test_text_is_never_trained_on(tmp_path, name):
    root = str(make_xtd200(tmp_path, 8))
    config = make_config({"dataset": "xtd200", "language": "sw", "data_dir": root, "text": name})
    with pytest.raises(DataError, match=f"^text: .*{name.partition(':')[0].partition('/')[0]}"):
        TrainingDataCache()(config)


def test_codes_are_languages_and_files_of_the_owners():
    assert {code for codes in OWNERS_CODES.values() for code in codes} <= set(LANGUAGES)
    for name in ("ntrex", "gatitos", "seed"):
        codes = OWNERS_CODES[name]
        assert len(set(codes.values())) == len(codes)
        assert len(caption_files(name)) >= len(codes)
    root = real_data_dir()
    for name in ("sib200", "ntrex", "gatitos", "seed"):
        for file in caption_files(name):
            if (root / file.path).exists():
                check_content((root / file.path).read_bytes(), file.sha256, file.path)
            else:
                assert file.path.endswith("test.tsv"), file.path
    assert len(load_dataset("gatitos", "bm", split="train", data_dir=root)) > 2500
    assert len(DOWNLOADS["sib200"].checksums) == 201


def test_words_of_a_language_are_in_its_script():
    root = real_data_dir()
    for code in OWNERS_CODES["gatitos"]:
        target = load_dataset("gatitos", code, split="train", data_dir=root).target[:100]
        latin = [unicodedata.name(letter, "").startswith("LATIN") for letter in "".join(target) if letter.isalpha()]
        assert (mean(latin) > 0.5) == (LANGUAGES[code].script == "Latn"), code


def test_a_set_with_a_question_mark_is_left_out_for_languages_that_it_lacks(tmp_path):
    make_sib200(make_xtd200(tmp_path, 8), "train")
    fields = {"dataset": "xtd200", "language": "sw", "data_dir": str(tmp_path), "shots": 1, "choose": "last"}
    _, text = TrainingDataCache()(make_config(fields | {"text": "gatitos?@2,sib200?,seed?"}))
    assert list(text.train.target) == ["saba", "tatu"]
    with pytest.raises(DataError, match=r"no set of gatitos\? has text in Swahili"):
        TrainingDataCache()(make_config(fields | {"text": "gatitos?"}))
    with pytest.raises(DataError, match="gatitos has no captions in Swahili"):
        TrainingDataCache()(make_config(fields | {"text": "sib200,gatitos"}))
