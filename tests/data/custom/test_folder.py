"""One's own data: tables of every kind, and all their problems at once."""

import pytest
from helpers.layouts import write_image, write_table
from hypothesis import given
from hypothesis import strategies as st

from pecl.data.check import check_table
from pecl.data.custom.in_memory import from_dataset
from pecl.data.custom.photographs import find_photographs
from pecl.data.custom.tables import check_captions_file, read_table
from pecl.data.registry import load_dataset
from pecl.errors import DataError

ROWS = [
    {"image": "a.png", "en": "a dog, running", "de": "ein Hund, rennend", "en_to_de": "MT de 0", "de_to_en": "MT en 0"},
    {"image": "sub/b.png", "en": 'a "cat"', "de": 'eine "Katze"', "en_to_de": "MT de 1", "de_to_en": "MT en 1"},
    {"image": "a.png", "en": "the dog again", "de": "wieder der Hund", "en_to_de": "MT de 2", "de_to_en": "MT en 2"},
]
BOTH = ("english_to_target", "target_to_english")
KINDS = ["csv", "tsv", "jsonl", "parquet"]


def load_folder(path, language, need=(), **options):
    return load_dataset(str(path), language, need=need, **options)


def write_images(folder):
    for name in ("a.png", "sub/b.png"):
        write_image(folder / name, colour=(len(name), 0, 0))


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_table(tmp_path, kind):
    path = write_table(tmp_path / f"mine.{kind}", ROWS)
    write_images(tmp_path)
    assert check_captions_file(path) == []
    captions = load_folder(path, "de", BOTH)
    assert captions.dataset == "mine"
    assert captions.english == tuple(row["en"] for row in ROWS)
    assert captions.target == tuple(row["de"] for row in ROWS)
    assert captions.english_to_target == ("MT de 0", "MT de 1", "MT de 2")
    assert captions.target_to_english == ("MT en 0", "MT en 1", "MT en 2")
    assert captions.image_index == (0, 1, 0)
    assert captions.images.load(1).getpixel((0, 0)) == (len("sub/b.png"), 0, 0)
    assert captions.provenance["images"] == {"total": 2, "kept": 2, "left_out": 0}
    assert captions.provenance["files"]["table"]["file"] == f"mine.{kind}"


def test_a_csv_of_excel_with_semicolons(tmp_path):
    """Where a comma is the decimal mark: semicolons, quotes where a field has one, and a byte-order mark."""
    table = tmp_path / "mine.csv"
    table.write_bytes('\ufeffen;de\r\na dog, a cat;"Hund; Katze"\r\na bird;ein Vogel\r\n'.encode())
    captions = load_folder(table, "de")
    assert (captions.english, captions.target) == (("a dog, a cat", "a bird"), ("Hund; Katze", "ein Vogel"))


def test_rows_of_one_image_stay_together_without_the_image(tmp_path):
    table = tmp_path / "a.csv"
    lines = [f"{i // 2}.jpg,ein Hund {i}" for i in range(8)]
    table.write_text("\n".join(["image,de", *lines, ",eine Katze", ",ein Vogel"]))
    captions = load_folder(table, "de", text_only=True)
    assert (captions.images, captions.image_index) == (None, (0, 0, 1, 1, 2, 2, 3, 3, 4, 5))

    table.write_text("image,de\na.jpg,ein Hund\nb.jpg,eine Katze\n")
    assert load_folder(table, "de", text_only=True).image_index is None  # a set of text, as it always was


def test_lines_before_the_header_of_a_csv_of_excel(tmp_path):
    table = tmp_path / "a.csv"
    for lines in ("\n", "sep=;\r\n", "\ufeffSEP=;\n\n"):
        table.write_text(f"{lines}en;de\na dog;ein Hund\n", "utf-8")
        captions = load_folder(table, "de")
        assert (captions.english, captions.target) == (("a dog",), ("ein Hund",))

    table.write_text("sep=;\nen;de\na dog\n")
    assert [problem.line for problem in check_captions_file(table)] == [None, 3]


def test_a_field_that_is_too_long_is_no_problem_of_quotes(tmp_path):
    (tmp_path / "a.csv").write_text("en,de\na dog," + "x" * 140_000 + "\n")
    with pytest.raises(
        DataError, match=r"line 2: malformed line: a field of more than 131,072 characters \(shorten it"
    ):
        load_folder(tmp_path / "a.csv", "de")


def test_a_caption_in_the_column_of_images_is_a_missing_image(tmp_path):
    (tmp_path / "a.csv").write_text("image,de\n" + "ein Hund " * 40 + ",a.png\n")
    with pytest.raises(DataError, match="a: 1 of 1 images are missing"):
        load_folder(tmp_path / "a.csv", "de")


def test_a_sidecar_that_links_to_itself_is_left_out(tmp_path):
    write_images(tmp_path)
    (tmp_path / "a.xmp").symlink_to("a.xmp")
    (tmp_path / "sub" / "b.xmp").write_text("")
    folder = find_photographs(tmp_path)
    assert {photo.name: len(photo.sidecars) for photo in folder.photographs} == {"a.png": 0, "sub/b.png": 1}


def test_folder_with_one_table_none_or_two(tmp_path, monkeypatch):
    write_table(tmp_path / "birds" / "captions.jsonl", ROWS)
    captions = load_folder(tmp_path / "birds", "de", text_only=True)
    assert (captions.dataset, captions.images, captions.english_to_target) == ("birds", None, None)
    monkeypatch.chdir(tmp_path / "birds")
    assert [load_folder(name, "de", text_only=True).dataset for name in (".", "captions.jsonl")] == ["birds"] * 2
    with pytest.raises(DataError, match=r"must hold one table captions\{.csv,.*found none"):
        load_folder(tmp_path, "de")
    for kind in ("csv", "tsv"):
        write_table(tmp_path / f"captions.{kind}", ROWS)
    with pytest.raises(DataError, match=r"found captions\.csv, captions\.tsv"):
        load_folder(tmp_path, "de")


fields = st.text(st.characters(blacklist_categories=("Cs", "Cc")), min_size=1).map(str.strip).filter(bool)
tables = st.lists(st.tuples(fields, fields), min_size=1, max_size=8)


@pytest.mark.parametrize("kind", ["tsv", "jsonl"])
@given(rows=tables)
def test_round_trip(tmp_path_factory, kind, rows):
    records = [{"en": en, "de": de} for en, de in rows]
    path = write_table(tmp_path_factory.mktemp("t") / f"t.{kind}", records)
    assert [row for _, row in read_table(path).rows] == records


def test_every_problem_is_reported_with_its_line(tmp_path):
    path = tmp_path / "mine.csv"
    lines = [
        b"image,en,de,photographer",
        b"a.png,one,eins,x",
        b"gone.png,two,zwei,x",  # 3: no such image
        b"a.png,three,,x",  # 4: empty
        b"a.png,four,vier,x,y",  # 5: too many fields
        b'a.png,"five, with a\nline break",f\xc3\xbcnf,x',  # 6 and 7
        b"a.png,six,sechs \xfc,x",  # 8: Latin-1
        b"text.png,seven,sieben,x",  # 9: no image
        b"",
        b"text.png,eight,acht",  # 11: too few fields
    ]
    path.write_bytes(b"\xef\xbb\xbf" + b"\r\n".join(lines))
    write_images(tmp_path)
    (tmp_path / "text.png").write_text("no picture")
    problems = check_captions_file(path)
    expected = [(1, "photographer"), (3, "image"), (4, "de"), (5, None), (8, None), (9, "image"), (11, None)]
    assert [(problem.line, problem.field) for problem in problems] == expected
    texts = [str(problem) for problem in problems]
    assert "unknown column" in texts[0]
    assert "gone.png" in texts[1]
    assert texts[2] == "line 4, field 'de': empty; every row must fill it"
    assert "5 fields, expected 4" in texts[3]
    assert "not UTF-8" in texts[4]
    without_images = check_captions_file(path, open_images=False)
    assert [(problem.line, problem.field) for problem in without_images] == [p for p in expected if p[1] != "image"]


def test_a_part_that_is_none(tmp_path):
    table = tmp_path / "a.csv"
    table.write_text("en,de,part\na dog,ein Hund,train\na cat,eine Katze,tset\n")
    (problem,) = check_captions_file(table)
    said = "line 3, field 'part': unknown part 'tset': expected one of test, train, val; did you mean 'test'?"
    assert str(problem) == said
    with pytest.raises(DataError, match=r"a\.csv, line 3, field 'part': unknown part"):
        load_folder(table, "de")
    table.write_text("en,de,part\na dog,ein Hund,train\na cat,eine Katze,test\n")
    assert load_folder(table, "de").part == ("train", "test")


def test_a_language_is_found_under_its_other_codes(tmp_path):
    row = {"eng": "a dog", "ja": "犬", "en_to_ja": "いぬ", "ja_to_en": "dog", "zho_Hans": "狗"}
    path = write_table(tmp_path / "mine.csv", [row])
    assert check_captions_file(path) == []
    for code in ("jp", "ja"):
        captions = load_folder(path, code, BOTH)
        assert (captions.english, captions.target) == (("a dog",), ("犬",))
        assert (captions.english_to_target, captions.target_to_english) == (("いぬ",), ("dog",))
    assert load_folder(path, "zh").target == ("狗",)
    captions = from_dataset([row], "Japanese", image_column=None, english_column="eng", need=BOTH)
    assert (captions.language, captions.english_to_target) == ("jp", ("いぬ",))


def test_a_column_of_numbers_is_no_language(tmp_path):
    """`id` is Indonesian only where it holds words; a check of all languages passes over it."""
    path = write_table(tmp_path / "mine.csv", [{"en": "a dog", "de": "ein Hund", "id": "17"}])
    with pytest.raises(DataError, match=r"column 'id' has no letters: expected captions in Indonesian \(id\)"):
        load_folder(path, "id")
    assert load_folder(path, "de").target == ("ein Hund",)
    report = check_table(path)
    assert (report.problems, report.summaries[str(path)].languages) == ([], ["en", "de"])
