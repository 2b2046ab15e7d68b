"""Names that people gave their photographs are found: by XMP and IPTC as digiKam, Lightroom and others write them."""

import json
import sqlite3
import unicodedata

import numpy as np
import pytest
from helpers.metadata import PACKET, PACKETS, photograph
from helpers.small_index import COUNT
from PIL import Image

import pecl
from pecl.apps.search.build import build_index
from pecl.apps.search.catalogue import FILE
from pecl.apps.search.metadata import describe
from pecl.apps.search.options import IndexOptions
from pecl.cli import main
from pecl.data.custom.photographs import NO_STAMP, Photograph
from pecl.errors import ConfigError

PHOTOSHOP = 'xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/"'


def described(folder, name):
    """Words and day of a photograph without sidecars."""
    return describe(folder, Photograph(name, NO_STAMP))


@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
@pytest.mark.parametrize("program", PACKETS)
def test_the_words_that_programs_write_are_read(tmp_path, program, kind):
    spaces, content, word = PACKETS[program]
    path = photograph(tmp_path / "a" / "IMG_1.jpg", PACKET.format(spaces, content), "2019:07:14 10:00:00", kind=kind)
    words = described(tmp_path, path.relative_to(tmp_path).as_posix())
    # Lightroom's packet is of places; the others name people.
    assert word in (words.text if program == "Lightroom" else words.names.splitlines())
    assert "IMG_1" in words.text.splitlines()
    assert "a" in words.names.splitlines()
    assert (words.taken, words.is_broken) == ("2019-07-14", False)


def test_exif_and_iptc_are_read_in_utf8_and_in_latin1(tmp_path):
    for coding in ("utf-8", "latin-1"):
        exif = Image.Exif()
        exif[0x010E] = "Jürgen in Köln".encode(coding)
        Image.new("RGB", (8, 8)).save(tmp_path / "exif.jpg", exif=exif)
        assert described(tmp_path, "exif.jpg").text == "exif\nJürgen in Köln"
    records = [
        (120, "Ein Fest für Jürgen".encode()),
        (25, b"Hochzeit"),
        (25, "Köln".encode("latin-1")),
        (55, b"20180301"),
    ]
    photograph(tmp_path / "x.jpg", iptc=records)
    words = described(tmp_path, "x.jpg")
    assert {"Ein Fest für Jürgen", "Hochzeit", "Köln"} < set(words.text.splitlines())
    assert words.taken == "2018-03-01"


@pytest.mark.parametrize(
    "packet",
    [
        "<x:xmpmeta",
        '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><x>&b;</x>',
        '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><x>&a;</x>',
    ],
)
def test_a_photograph_with_a_broken_packet_is_indexed_and_the_packet_counted(photographs, towers, capsys, packet):
    photograph(photographs / "Eva" / "broken.jpg", packet, "2019:07:14 10:00:00")
    assert main(["index", str(photographs)]) == 0
    assert "1 have metadata that cannot be read, whose words are not searched" in capsys.readouterr().out
    index = pecl.ImageIndex.open(photographs)
    assert index.search("eva", "en", top=1)[0][0].path.name == "broken.jpg"
    assert "broken.jpg" in {hit.path.name for hit in index.search("2019", "en", top=99)[0]}


@pytest.fixture
def album(photographs):
    """Twelve photographs without words, and six with names and days."""
    spaces, content, _ = PACKETS["digiKam"]
    marie = PACKET.format(spaces, content)
    for number, (folder, packet, taken) in enumerate(
        [
            ("Opa", marie, "2018:05:01 10:00:00"),
            ("Strand", marie, "2019:05:01 10:00:00"),
            ("Strand", "", "2019:12:31 23:59:59"),
            ("Urlaub am Meer", "", "2020:01:01 00:00:00"),
            ("Urlaub am Meer", "", "0000:00:00 00:00:00"),
            ("東京タワー", "", ""),
        ]
    ):
        photograph(photographs / "named" / folder / f"{'x' * (number + 1)}.jpg", packet, taken)
    build_index(photographs, options=IndexOptions(languages=["de", "cs"]))
    return photographs


def names(index, query, **more):
    return [name.word for name in index.select(query, **more).names]


def found(index, query, **more):
    return [hit.path.parent.name for hit in index.search(query, "de", top=99, **more)[0]]


@pytest.mark.parametrize(
    ("query", "first"),
    [
        ("Babička Marie", {"Opa", "Strand"}),
        ("babicka", {"Opa", "Strand"}),  # without accents
        ("Marie am Strand", {"Strand"}),  # both words before one; "am" is a stop word
        ("東京の夜", {"東京タワー"}),
        ("opa", {"Opa"}),
    ],
)
def test_photographs_with_rare_words_of_a_query_come_first(album, query, first):
    index = pecl.ImageIndex.open(album)
    hits = found(index, query)
    assert len(hits) == COUNT + 6
    assert set(hits[: 2 if len(first) == 2 else 1]) == first
    assert not set(found(index, query, selection=index.select(""))[:1]) & first or query == "Marie am Strand"


@pytest.mark.parametrize(
    ("name", "query"),
    [
        ("मोहन", "मोहन"),
        (unicodedata.normalize("NFD", "서울"), "서울"),  # as a file system may store it
        ("Γιώργος", "ΓΙΩΡΓΟΣ"),
        ("محمد", "مُحَمَّد"),
        ("Straße", "STRASSE"),
        ("Łódź", "lodz"),
        ("Семён", "семен"),
        ("ＡＢＣ", "abc"),
        ("さくら", "さくら"),
        ("北京", "tokyo北京"),
    ],
)
def test_a_name_is_whole_and_found_without_case_and_accents_in_any_script(photographs, name, query):
    for folder in (name, "सोहन", "मोह"):  # without vowel signs, मोहन is a part of the former, and the latter of it
        photograph(photographs / folder / "x.jpg")
    build_index(photographs)
    index = pecl.ImageIndex.open(photographs)
    ((row,),) = (group.rows for group in index.select(f"{query} 2").groups)
    assert index.paths[row].parent.name == name
    assert not index.select("मो").groups


# Query -> the names that it finds: umlauts are also written as two letters, and accents are left out
SPELLINGS = {
    "Mueller": {"Müller", "Mueller", "MÜLLER"},
    "Müller": {"Müller", "Mueller", "MÜLLER", "Muller"},
    "Muller": {"Müller", "MÜLLER", "Muller"},
    "Soeren": {"Søren"},
    "Åse": {"Aase"},
    "Michael": {"Michael"},
    "Michal": {"Michal"},
}


@pytest.mark.parametrize("query", SPELLINGS)
def test_a_name_is_found_with_its_umlauts_as_two_letters(photographs, query):
    decomposed = unicodedata.normalize("NFD", "MÜLLER")
    for name in ("Müller", "Mueller", decomposed, "Muller", "Søren", "Aase", "Michael", "Michal"):
        photograph(photographs / name / "x.jpg")
    build_index(photographs)
    index = pecl.ImageIndex.open(photographs)
    rows = [row for group in index.select(query).groups for row in group.rows]
    found = {unicodedata.normalize("NFC", index.paths[row].parent.name) for row in rows}
    assert found == SPELLINGS[query]


def test_among_equals_and_behind_them_the_embedding_decides(album):
    index = pecl.ImageIndex.open(album)
    query = "Babička Marie"
    (hits,), (plain,) = (index.search(query, "de", top=99, **one) for one in ({}, {"selection": index.select("")}))
    named = [hit for hit in plain if hit.path.parent.name in ("Opa", "Strand") and len(hit.path.stem) < 3]
    assert [hit.path for hit in hits] == [hit.path for hit in (*named, *(one for one in plain if one not in named))]
    assert [hit.named for hit in hits] == [True] * 2 + [False] * (COUNT + 4)


def test_a_word_that_is_common_or_a_stop_word_is_no_name(album):
    index = pecl.ImageIndex.open(album)
    assert names(index, "named am Meer") == ["named", "Meer"]  # a third lies below `named`: a folder has no limit
    for path in [path for path in album.rglob("*.png") if path.parent.name != "named"][:7]:
        path.rename(path.with_name(f"Hund {path.name}"))
    build_index(album)
    index = pecl.ImageIndex.open(album)
    assert index.select("Hund am Baum") == pecl.apps.search.words.Selection("Hund am Baum")


def test_days_and_a_year_restrict_a_search(album):
    index = pecl.ImageIndex.open(album)
    assert sorted(found(index, "ein Hund", after="2019", before="2020")) == ["Strand", "Strand"]
    assert found(index, "ein Hund", after="2019-12-31", before="2020-01-01") == ["Strand"]
    assert found(index, "ein Hund", after="2020-01-01") == ["Urlaub am Meer"]
    assert found(index, "ein Hund", before="1950") == []
    # The year in a query: photographs without a day count by the folder 2019.
    of_year = found(index, "ein Hund 2019")
    assert sorted(set(of_year)) == ["2019", "Strand", "summer"]
    assert index.select("ein Hund 2019").text == "ein Hund"
    assert found(index, "ein Hund 1999") == []
    assert found(index, "Marie 2019")[0] == "Strand"
    assert (index.select("海2019年").text, index.select("바다 2019년").dated.days.phrase) == ("海", "in 2019")
    assert {"Opa", "Strand", "Urlaub am Meer"} < set(found(index, "ein Hund 2020-2018"))
    assert index.select("von 2020 bis 2018").dated.days.phrase == "from 2018 to 2020"
    with pytest.raises(ConfigError, match=r"^after: expected a day, a month or a year, .*, got '2019-13'"):
        index.search("ein Hund", "de", after="2019-13")


def test_the_command_says_what_words_and_days_did(album, capsys):
    command = ["search", str(album), "Marie", "2019", "--language", "de", "--json"]
    assert main(command) == 0
    said = json.loads(capsys.readouterr().out)
    days = {"after": "2019-01-01", "before": "2020-01-01", "photographs": COUNT * 2 // 3 + 2, "text": "Marie"}
    assert (said["names"], said["days"]) == ([{"word": "Marie", "photographs": 1, "leads": True}], days)
    assert "; photographs that come first: Marie (1); taken in 2019" in said["note"]
    assert main([*command[:-1], "--before", "1950"]) == 0
    said = capsys.readouterr()
    assert (said.out, "; taken in 2019; no photograph is of these days" in said.err) == ("", True)
    assert main([*command, "--no-words"]) == 0
    assert json.loads(capsys.readouterr().out)["names"] == []
    assert main(["search", str(album), "Hund 1999", "--language", "de"]) == 0
    said = capsys.readouterr()
    assert (said.out, "; no photograph was taken in 1999;" in said.err) == ("", True)


def test_words_follow_photographs_and_are_off_by_a_flag(album):
    (album / "named" / "Opa").rename(album / "named" / "Tante")
    assert build_index(album).moved == 1
    index = pecl.ImageIndex.open(album)
    assert (names(index, "opa"), names(index, "tante")) == ([], ["tante"])
    with sqlite3.connect(index.folder / FILE) as database:  # as an earlier version of pecl wrote it
        database.executescript("DROP TABLE words; CREATE VIRTUAL TABLE words USING fts5 (text)")
    build_index(album)
    assert names(pecl.ImageIndex.open(album), "babicka") == ["babicka"]
    assert build_index(album, options=IndexOptions(words=False)).new == 0
    index = pecl.ImageIndex.open(album)
    assert names(index, "marie") == []
    with pytest.raises(ConfigError, match="the index holds no days: run `pecl index FOLDER --words`"):
        index.search("ein Hund", "de", after="2019")
    build_index(album)
    assert names(pecl.ImageIndex.open(album), "marie") == []  # as it was
    build_index(album, options=IndexOptions(words=True))
    assert names(pecl.ImageIndex.open(album), "marie") == ["marie"]


def led(index, query, **more):
    """The names of a query that lead, and those that do not."""
    found = index.select(query, **more).names
    return [name.word for name in found if name.leads], [name.word for name in found if not name.leads]


def test_a_name_leads_if_it_is_a_person_or_no_word_of_a_language_or_the_query_is_a_folder(photographs):
    spaces, content, _ = PACKETS["digiKam"]  # of Babička Marie
    photograph(photographs / "Garten" / "x.jpg", PACKET.format(spaces, content))
    for folder in ("Hund Rex 2018", "Oma 2019", "Urlaub am See", "Bodrum"):
        photograph(photographs / folder / "x.jpg")
    build_index(photographs, options=IndexOptions(languages=["de", "cs"]))
    index = pecl.ImageIndex.open(photographs)
    for query, first, others in (
        ("Rex", ["Rex"], []),
        ("der Hund Rex", ["Hund", "Rex"], []),  # both are the name of a folder
        ("Rex, der Hund, im Schnee", ["Rex"], ["Hund"]),
        ("Hund im Schnee", [], ["Hund"]),
        ("babička u moře", ["babička"], []),  # a word, and a person
        ("Bodrum", ["Bodrum"], []),
        ("im Garten", ["Garten"], []),  # a folder has just this name
        ("ein Hund im Garten", [], ["Hund", "Garten"]),
        ("Urlaub See", ["Urlaub"], []),  # "see" is a stop word of English
        ("Urlaub mit Hund", [], ["Urlaub", "Hund"]),
        ("Oma", ["Oma"], []),
        ("Oma im Garten", [], ["Oma", "Garten"]),
    ):
        assert led(index, query) == (first, others), query
        assert led(index, query, not_names=[word.upper() for word in first]) == ([], others)
    assert led(index, "Rex", languages=["de"]) == (["Rex"], [])
    for query in ("Rex", "Oma 2019", "Hund Rex"):
        assert index.search(query, "de", top=1)[0][0].path.parent.name in ("Hund Rex 2018", "Oma 2019")


def test_names_add_to_the_similarity_in_standard_deviations_of_the_scores(album):
    """The order is that of a sum worked out by hand, and each score is the similarity alone."""
    index = pecl.ImageIndex.open(album)
    embedding = index.embed("Babička Marie", "de")[0].astype(float)
    scores = index.embeddings.astype(float) @ embedding
    for query in ("Babička Marie", "Opa am Meer", "Strand"):
        selection = index.select(query)
        bonus = np.zeros(len(index))
        for group in selection.groups:
            bonus[group.rows] = group.bonus
        order = np.argsort(-(scores + bonus * scores.std()), kind="stable")
        for top in (3, len(index)):
            hits = index.nearest(embedding.astype(np.float32), selection, False, top)
            assert [hit.path for hit in hits] == [index.paths[row] for row in order[:top]]
            np.testing.assert_allclose([hit.score for hit in hits], scores[order[:top]], atol=1e-6)


def test_a_malformed_tag_of_windows_costs_no_day(tmp_path):
    exif = Image.Exif()
    exif[0x9C9B] = b"a\0b"
    exif.get_ifd(0x8769)[0x9003] = "2019:07:14 10:00:00"
    Image.new("RGB", (8, 8)).save(tmp_path / "x.jpg", exif=exif)
    words = described(tmp_path, "x.jpg")
    assert (words.taken, words.is_broken) == ("2019-07-14", False)


@pytest.mark.parametrize(("written", "taken"), [("1987", "1987-01-01"), ("2017-05", "2017-05-01"), ("2017-13", None)])
def test_a_month_or_a_year_counts_as_its_first_day(tmp_path, written, taken):
    photograph(
        tmp_path / "x.jpg", PACKET.format(PHOTOSHOP, f"<photoshop:DateCreated>{written}</photoshop:DateCreated>")
    )
    assert described(tmp_path, "x.jpg").taken == taken


@pytest.mark.parametrize(
    ("query", "languages", "folders"),
    [
        ("cười", ["vi"], {"cười", "cuoi"}),
        ("Cưới", ["vi"], {"Cưới", "cuoi"}),
        ("cuoi", ["vi"], {"cười", "Cưới", "cuoi"}),  # typed without marks
        ("cười cưới", ["vi"], {"cười", "Cưới", "cuoi"}),
        ("cười", ["de"], {"cười", "Cưới", "cuoi"}),
        ("òkò", ["en", "yo"], {"òkò"}),
        ("ọkọ̀", ["yo"], {"ọkọ̀"}),
        ("Đà", ["vi"], {"Đà"}),
    ],
)
def test_marks_count_where_the_language_lives_on_them(photographs, query, languages, folders):
    """Vietnamese cười is laugh, and cưới wedding; Yoruba òkò is spear, and ọkọ̀ vehicle."""
    for name in ("cười", unicodedata.normalize("NFD", "Cưới"), "cuoi", "òkò", "ọkọ̀", "Đà", "đá"):
        photograph(photographs / name / "x.jpg")
    build_index(photographs, options=IndexOptions(languages=languages))
    index = pecl.ImageIndex.open(photographs)
    rows = [row for group in index.select(query).groups for row in group.rows]
    found = {unicodedata.normalize("NFC", index.paths[row].parent.name) for row in rows}
    assert found == {unicodedata.normalize("NFC", name) for name in folders}
