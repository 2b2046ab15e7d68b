"""Translating with tiny random models: resuming, records, layout, errors."""

import json

import pytest
from helpers.layouts import make_xtd10, sentence, write_lines
from helpers.translation_models import SENTENCES, config

from pecl.data.reading import provenance_file, read_provenance
from pecl.data.registry import load_dataset
from pecl.data.translating.mt import Translator
from pecl.data.translating.translate import completed, dataset_job, file_job, translate, translate_job
from pecl.data.translations import TRANSLATION_FOLDERS
from pecl.errors import DataError, RunError
from pecl.files import locked, sha256_file, sha256_lines

pytestmark = pytest.mark.usefixtures("one_thread")


class Counting:
    """A translator of known words that counts, and that can fail."""

    def __init__(self, fail_after=None, name="counting"):
        self.identity = {"model": name}
        self.batches = []
        self.fail_after = fail_after

    def length(self, text):
        return len(text.split())

    def translate(self, texts):
        if len(self.batches) == self.fail_after:
            raise RuntimeError("out of memory")
        self.batches.append(list(texts))
        return [text.upper() for text in texts]


@pytest.fixture
def partial_file(tmp_path):
    return tmp_path / "new" / "de.txt.partial"


def test_every_sentence_is_translated_once_and_lands_on_its_line(partial_file):
    sentences = ["b b b", "a", "c c", "a", "d d d d"]
    translator = Counting()
    assert translate(sentences, translator, partial_file, batch_size=2) == ["B B B", "A", "C C", "A", "D D D D"]
    assert translator.batches == [["d d d d", "b b b"], ["c c", "a"]]  # by length: little padding


SENTENCES_BY_LENGTH = [f"{'w ' * i}x" for i in range(10, 0, -1)]


def test_each_batch_is_on_disk_before_the_next(partial_file, monkeypatch):
    translator, seen = Counting(), []
    plain = translator.translate
    monkeypatch.setattr(
        translator, "translate", lambda texts: seen.append(b"W" in partial_file.read_bytes()) or plain(texts)
    )
    translate(SENTENCES_BY_LENGTH, translator, partial_file, batch_size=5)
    assert seen == [False, True]


@pytest.mark.parametrize("end", [b"", b"W W X\nW"])
def test_a_run_that_broke_goes_on_behind_its_last_whole_batch(partial_file, end):
    with pytest.raises(RuntimeError):
        translate(SENTENCES_BY_LENGTH, Counting(fail_after=3), partial_file, batch_size=2)
    partial_file.write_bytes(partial_file.read_bytes() + end)
    later = Counting()
    expected = [text.upper() for text in SENTENCES_BY_LENGTH]
    assert translate(SENTENCES_BY_LENGTH, later, partial_file, batch_size=2) == expected
    assert later.batches == [SENTENCES_BY_LENGTH[6:8], SENTENCES_BY_LENGTH[8:]]
    again = Counting()
    assert translate(SENTENCES_BY_LENGTH, again, partial_file, batch_size=2) == expected
    assert again.batches == []


def test_lines_of_another_job_are_not_taken(partial_file):
    with pytest.raises(RuntimeError):
        translate(SENTENCES_BY_LENGTH, Counting(fail_after=3), partial_file, batch_size=2)
    other = Counting(name="other")
    translate(SENTENCES_BY_LENGTH, other, partial_file, batch_size=2)
    assert len(other.batches) == 5


def test_a_sentence_that_the_model_cannot_read_is_refused_before_any_work(translator, partial_file):
    with pytest.raises(DataError, match=r"tokens, the limit of .* is 64"):
        translate(["a dog", "dog " * 100], translator, partial_file)
    assert not partial_file.exists()


def test_translations_that_were_cut_off_are_counted(translation_models, caplog):
    Translator(config(translation_models["m2m100"], max_new_tokens=7)).translate(SENTENCES)
    assert "cut off at max_new_tokens = 7" in caplog.text


# Jobs


def test_korean_from_english_is_regenerated(tmp_path, translation_models):
    """The released file is Italian; the new one has its record."""
    make_xtd10(tmp_path)
    job = dataset_job("xtd10", "en", "ko", data_dir=tmp_path)
    translator = Translator(config(translation_models["m2m100"], target="ko"))
    record = translate_job(job, translator)
    captions = load_dataset("xtd10", "ko", data_dir=tmp_path, need=["english_to_target"])
    expected = [translator.translate([sentence("en", i)])[0] for i in range(5)]
    assert list(captions.english_to_target) == expected == job.output.read_text("utf-8").splitlines()
    assert json.loads(provenance_file(job.output).read_text("utf-8")) == record
    assert record["sha256"] == sha256_file(job.output)
    assert record["source_sha256"] == sha256_lines(job.sentences)
    assert record["translator"]["model"] == str(translation_models["m2m100"])
    assert record["translator"]["revision"].startswith("sha256:")
    assert (record["translator"]["source"], record["translator"]["target"]) == ("en", "ko")
    assert record["origin"] == {"dataset": "xtd10", "split": None}
    assert set(TRANSLATION_FOLDERS.values()) == {path.name for path in job.output.parent.parent.iterdir()}


def test_a_finished_job_is_not_done_again(tmp_path, translator):
    make_xtd10(tmp_path)
    job = dataset_job("xtd10", "en", "jp", data_dir=tmp_path)
    record = translate_job(job, translator)
    assert completed(job, translator.config) == record
    with pytest.raises(DataError, match="overwrite=True"):
        completed(job, config(translator.config.model, num_beams=3))
    job.output.write_text(job.output.read_text("utf-8").replace("e", "f", 1) + "edited")  # by the user
    assert read_provenance(job.output) is None
    with pytest.raises(DataError, match="overwrite=True"):
        completed(job, translator.config)


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_ones_own_table_gets_a_column(tmp_path, suffix):
    write_lines(tmp_path / "in.csv.gz", ["image,eng_Latn,ja", '1.jpg,"a dog, red",Hund', '2.jpg,a "cat",Katze'])
    half, output = tmp_path / f"half{suffix}", tmp_path / f"whole{suffix}"
    translate_job(file_job(tmp_path / "in.csv.gz", "en", "jp", half), Counting())
    translate_job(file_job(half, "jp", "en", output), Counting())
    captions = load_dataset(str(output), "jp", need=list(TRANSLATION_FOLDERS), text_only=True)
    assert captions.english == ("a dog, red", 'a "cat"')
    assert captions.english_to_target == ("A DOG, RED", 'A "CAT"')
    assert captions.target_to_english == ("HUND", "KATZE")


# What bad input gets


def test_two_at_work_on_one_file_are_one_too_many(tmp_path):
    job = file_job(write_lines(tmp_path / "a.txt", ["a"]), "en", "de", tmp_path / "b.txt")
    with locked(tmp_path / "b.txt.lock", "held"), pytest.raises(RunError, match=r"b\.txt is being made by another"):
        translate_job(job, Counting())


def test_an_empty_translation_is_refused_with_its_line(partial_file):
    class Mute(Counting):
        def translate(self, texts):
            return ["" if text == "b" else text for text in texts]

    with pytest.raises(DataError, match="line 2 is empty"):
        translate(["a", "b"], Mute(), partial_file)
