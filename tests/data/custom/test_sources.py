"""Sources of training text: named sets, tables of every kind and aligned files, with weights."""

import hashlib
from collections import Counter

import numpy as np
import pytest
from helpers.layouts import write_lines, write_table
from hypothesis import given
from hypothesis import strategies as st

from pecl.commands.options import path_argument
from pecl.config import ExperimentConfig
from pecl.data.captions import ParallelCaptions
from pecl.data.custom.sources import TextSource, normal_form, parse_sources, read_source, shuffled, weighted
from pecl.data.custom.tables import check_captions_file
from pecl.errors import ConfigError, DataError

PAIRS = [("ein Hund", "a dog"), ('eine "Katze", müde', 'a "cat", tired'), ("", "nothing"), ("ein Haus", "")]
ENGLISH, GERMAN = [english for _, english in PAIRS], [german for german, _ in PAIRS]


def write_pairs(path, columns=("en", "de")):
    """Write PAIRS as a table by its suffix, with numbers that nobody asks for between the two, and two other parts."""
    english, german = columns
    rows = [("train", i / 10, *pair) for i, pair in enumerate(PAIRS)] + [("val", 0, "b", "a"), ("test", 0, "d", "c")]
    return write_table(path, [{"part": part, english: e, "score": score, german: g} for part, score, g, e in rows])


def pairs_of(name, language="de"):
    return list(read_source(TextSource(str(name)), language, {})[0])


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.parquet", "a.csv.gz", "a.jsonl.gz"])
def test_a_table_of_every_kind(tmp_path, name):
    found, record = read_source(TextSource(str(write_pairs(tmp_path / name))), "de", {})
    assert list(found) == PAIRS
    ((file,),) = (record["files"],)
    assert (file["file"], len(file["sha256"])) == (name, 64)


@pytest.mark.parametrize("columns", [("English", "German"), ("eng_Latn", "deu_Latn"), ("EN", "De")])
def test_columns_may_have_any_name_of_their_language(tmp_path, columns):
    assert pairs_of(write_pairs(tmp_path / "lang=de" / "a.tsv", columns)) == PAIRS  # no pair of aligned files


def test_of_several_columns_of_a_language_the_one_with_its_code_is_taken(tmp_path):
    (tmp_path / "a.csv").write_text("English,German,de,en\nno,nein,ein Hund,a dog\n", "utf-8")
    assert pairs_of(tmp_path / "a.csv") == [("ein Hund", "a dog")]


def test_a_column_of_numbers_with_the_name_of_a_language_gives_way(tmp_path):
    (tmp_path / "a.csv").write_text("id,en,Indonesian,to\n17,a dog,seekor anjing,3\n", "utf-8")
    assert pairs_of(tmp_path / "a.csv", "id") == [("seekor anjing", "a dog")]
    with pytest.raises(DataError, match=r"expected a column fi .*; got id, en, Indonesian, to$"):
        pairs_of(tmp_path / "a.csv", "fi")


@pytest.mark.parametrize(
    ("suffixes", "asked", "english_first"),
    [(("", ""), ("", ""), True), ((".gz", ""), (".gz", ""), False), ((".gz", ".gz"), ("", ""), False)],
)
def test_aligned_files_in_either_direction(tmp_path, suffixes, asked, english_first):
    """Plain or gzipped; a gzipped file is also found by its plain name."""
    names = []
    for code, lines, suffix, asked_suffix in zip(("en", "de"), (ENGLISH, GERMAN), suffixes, asked, strict=True):
        write_lines(tmp_path / f"corpus.{code}{suffix}", lines)
        names.append(f"{tmp_path}/corpus.{code}{asked_suffix}")
    found, record = read_source(TextSource("=".join(names if english_first else names[::-1])), "de", {})
    assert list(found) == PAIRS
    assert {file["file"] for file in record["files"]} == {f"corpus.en{suffixes[0]}", f"corpus.de{suffixes[1]}"}


def test_a_path_may_begin_with_the_home_folder(tmp_path, monkeypatch):
    """Shells do not replace ~ after a comma or `--out=`, and not in a file of flags."""
    monkeypatch.setenv("HOME", str(tmp_path))
    write_pairs(tmp_path / "a.tsv")
    write_lines(tmp_path / "a.en", ENGLISH)
    write_lines(tmp_path / "a.de", GERMAN)
    assert pairs_of("~/a.tsv") == pairs_of("~/a.en=~/a.de") == PAIRS
    assert [problem.line for problem in check_captions_file("~/a.tsv", open_images=False)] == [1, 4, 5]
    config = ExperimentConfig(out="~/results", data_dir="~/data")
    assert (config.out, config.data_dir) == (f"{tmp_path}/results", f"{tmp_path}/data")
    assert path_argument("~/report") == f"{tmp_path}/report"


def test_a_named_set_gives_its_two_columns():
    captions = ParallelCaptions("made", "de", ("a dog",), ("ein Hund",), ("MT",), ("back",), provenance={"by": "hand"})
    found, record = read_source(TextSource("made"), "de", {"made": lambda: captions})
    assert (list(found), record) == ([("ein Hund", "a dog")], {"provenance": {"by": "hand"}})


# --- what is written on the command line


def test_sources_are_joined_by_commas_and_may_have_a_weight():
    found = parse_sources("flickr30k200, a.tsv@.5,c.en=c.de@2.5")
    assert found == (TextSource("flickr30k200"), TextSource("a.tsv", 0.5), TextSource("c.en=c.de", 2.5))
    assert parse_sources("me@home/a.tsv@1") == (TextSource("me@home/a.tsv"),)
    assert parse_sources("/home/me@work/a.tsv, /home/me@work/a.de=a.en@2") == (
        TextSource("/home/me@work/a.tsv"),
        TextSource("/home/me@work/a.de=a.en", 2.0),
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a.tsv,,b.tsv", "expected sources joined by commas"),
        ("a.tsv@", 'expected a weight above 0 and at most 100 for a.tsv, got ""'),
        ("a.tsv@nan", 'for a.tsv, got "nan"'),
    ],
)
def test_wrong_sources_are_refused(text, said):
    with pytest.raises(ConfigError, match=f"^text: .*{said}"):
        parse_sources(text)


# --- weights

TEN = np.arange(30, 40)


def drawn(source, weight):
    return weighted(TEN, TextSource(source, weight)).tolist()


@pytest.mark.parametrize(("weight", "each", "once_more"), [(1, 1, 0), (2.5, 2, 5), (0.31, 0, 3)])
def test_a_weight_is_the_share_of_the_pairs_that_is_used(weight, each, once_more):
    counts = Counter(drawn("a", weight))
    assert sorted((counts[place] for place in TEN), reverse=True) == [each + 1] * once_more + [each] * (10 - once_more)


def test_a_share_is_drawn_by_the_name_of_the_source_and_keeps_the_order():
    half = drawn("a", 0.5)
    assert half == drawn("a", 0.5) == sorted(half)
    assert len({tuple(drawn(name, 0.5)) for name in "abcdef"}) > 1
    assert set(drawn("a", 0.3)) < set(half)  # a smaller share is a part of a larger one


@given(st.integers(0, 300))
def test_orders_are_those_of_earlier_versions(count):
    """What is held out, and so a run's data, depends on them: by the SHA-256 of "pecl/text/NAME/PLACE"."""
    by_hand = sorted(range(count), key=lambda i: hashlib.sha256(f"pecl/text/order/{i}".encode()).digest())
    assert shuffled(count).tolist() == by_hand


# --- files that are wrong


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.tsv", "", "expected a column de in its first line, .*got none$"),
        ("a.tsv", "en,de\na dog,ein Hund\n", "expected a column de .*tabs of a .tsv; got en,de$"),
        ("a.csv", "eng_Latn,German,deu_Latn,English\na,b,c,d\n", "expected one column de, got German and deu_Latn:"),
        ("a.csv", "en|de\na dog|ein Hund, müde\n", "line 2: 2 fields, expected 1 .*separate columns by commas or s"),
        ("a.jsonl", '{"en": "a", "de": 1}\n', "line 1, field 'de': expected text, got int"),
        ("a.tsv", 'en\tde\na\tb\n"c\td\ne"\tf\ng\th\n', "line 3: malformed line: a quoted field goes on over"),
        ("a.csv", "en,de,part\na,b,train\nc,d,Test\n", "line 3, field 'part': unknown part 'Test': expected"),
        ("a.jsonl", '{"en": "a", "de": "b"\n' * 2000, "line 1: not JSON"),
    ],
)
def test_what_is_wrong_with_a_table_is_said_with_what_helps(tmp_path, name, content, said):
    (tmp_path / name).write_text(content, "utf-8")
    with pytest.raises(DataError, match=said):
        pairs_of(tmp_path / name)


def test_another_source_is_refused_with_the_nearest(tmp_path):
    (tmp_path / "a.parquet.gz").write_bytes(b"")
    with pytest.raises(DataError, match=r"a\.parquet\.gz: unknown kind of table '\.parquet'"):
        pairs_of(tmp_path / "a.parquet.gz")
    with pytest.raises(DataError, match=r'expected made, a table .* or two aligned files .*got "mode"; did you mean'):
        read_source(TextSource("mode"), "de", {"made": lambda: None})


# --- what overlap is told by


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("A dog runs.", "a dog  runs", True),
        ("Ein Straßenfest", "EIN STRASSENFEST!", True),
        ("ｆｕｌｌ width", "full-width", True),
        ("Pes běží.", "pes bezi", False),
        ("犬が走る。", "犬が走る", True),
        ("कुत्ता", "कुत्ते", False),  # dog and dogs: they differ in a vowel sign
    ],
)
def test_case_spaces_and_punctuation_do_not_count(one, other, same):
    assert (normal_form(one) == normal_form(other)) is same
