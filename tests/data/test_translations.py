"""Machine translations: what is read, what is recorded, and the copied file of trap one."""

import pytest
from helpers.layouts import loader, make_multi30k, make_xtd10, sentence, write_lines

from pecl.errors import DataError
from pecl.files import sha256_file

load_multi30k, load_xtd10 = loader("multi30k"), loader("xtd10")
BOTH = ("english_to_target", "target_to_english")


def test_copied_korean_is_refused_only_when_it_is_needed_and_not_allowed(tmp_path, caplog):
    make_xtd10(tmp_path)
    assert load_xtd10(tmp_path, "ko").english_to_target is None
    assert load_xtd10(tmp_path, "ko", need=("target_to_english",)).target_to_english
    with pytest.raises(DataError, match=r"en/ko\.txt is a copy of .*en/it\.txt.*allow_copied_translations=True"):
        load_xtd10(tmp_path, "ko", need=("english_to_target",))
    captions = load_xtd10(tmp_path, "ko", need=("english_to_target",), allow_copied_translations=True)
    assert captions.english_to_target == load_xtd10(tmp_path, "it", need=BOTH).english_to_target  # the original
    copied_from = captions.provenance["translations"]["english_to_target"]["copied_from"]
    assert copied_from.endswith("translated_from_en/it.txt")
    assert "copy of" in caplog.text


@pytest.mark.parametrize(("original", "changed", "refused"), [("en", 0, True), ("fr", 2, True), ("fr", 3, False)])
def test_a_copy_is_found_line_by_line(tmp_path, original, changed, refused):
    """Twenty lines, other line endings, gzipped, some lines changed: 90 % equal is a copy, 85 % is not."""
    make_multi30k(tmp_path, n=20)
    folder = tmp_path / "pectvlm" / "datasets" / "Multi30K" / "translated_from_en"
    lines = folder.joinpath(f"train.{original}").read_text().splitlines()
    write_lines(folder / f"train.{original}.gz", lines)
    folder.joinpath(f"train.{original}").unlink()
    lines[:changed] = [sentence("de", i) for i in range(changed)]
    write_lines(folder / "train.de", lines, final=False)
    if refused:
        with pytest.raises(DataError, match=rf"train\.de is a copy of .*train\.{original}"):
            load_multi30k(tmp_path, "de", "train", BOTH, text_only=True)
    else:
        assert load_multi30k(tmp_path, "de", "train", BOTH, text_only=True).english_to_target == tuple(lines)


def test_copies_into_english_are_refused_both_ways(tmp_path):
    """Nothing tells whose translation an English text is, so neither language may use it."""
    make_multi30k(tmp_path)
    folder = tmp_path / "pectvlm" / "datasets" / "Multi30K" / "translated_to_en"
    (folder / "train.de").write_bytes((folder / "train.fr").read_bytes())
    for code in ("de", "fr"):
        with pytest.raises(DataError, match=rf"train\.{code} is a copy of"):
            load_multi30k(tmp_path, code, "train", ("target_to_english",), text_only=True)
    assert load_multi30k(tmp_path, "cs", "train", ("target_to_english",), text_only=True).target_to_english


def test_missing_and_short_translations_are_named(tmp_path):
    make_multi30k(tmp_path)
    folder = tmp_path / "pectvlm" / "datasets" / "Multi30K" / "translated_to_en"
    write_lines(folder / "train.de", ["just one"])
    with pytest.raises(DataError, match=r"raw/train\.de has 6 lines and .*translated_to_en/train\.de has 1:"):
        load_multi30k(tmp_path, "de", "train", ("target_to_english",), text_only=True)
    (folder / "train.de").unlink()
    with pytest.raises(DataError, match=r"no machine translations .*translated_to_en/train\.de: .*train\.fr"):
        load_multi30k(tmp_path, "de", "train", ("target_to_english",), text_only=True)


def test_only_needed_directions_are_read_and_recorded(tmp_path):
    make_xtd10(tmp_path)
    captions = load_xtd10(tmp_path, "de", need=("target_to_english",))
    assert captions.english_to_target is None
    assert captions.target_to_english == tuple(sentence("en", i, "MT-de") for i in range(5))
    name = "pectvlm/datasets/Cross-lingual-Test-Dataset-XTD10/translated_to_en/de.txt"
    record = {"translator": "not named by the authors", "file": name, "sha256": sha256_file(tmp_path / name)}
    assert captions.provenance["translations"] == {"target_to_english": record}
