"""XMP sidecars: their words and days are read, and followed without embedding a photograph again."""

import shutil

import pytest
from helpers.metadata import MWG, PACKET, PACKETS, photograph
from helpers.small_index import COUNT, paint, words_of

import pecl
from pecl.apps.search.build import build_index
from pecl.apps.search.metadata import describe
from pecl.apps.search.xmp import MAX_BYTES
from pecl.cli import main
from pecl.data.custom.photographs import find_photographs

EXIF = 'xmlns:exif="http://ns.adobe.com/exif/1.0/" xmlns:xap="http://ns.adobe.com/xap/1.0/"'


def write_sidecar(path, program="digiKam", spaces="", content=""):
    """Write what a program writes, or other content."""
    if not content:
        spaces, content, _ = PACKETS[program]
    text = f'<?xpacket begin="\ufeff"?>\n{PACKET.format(spaces, content)}\n<?xpacket end="w"?>\n'
    path.write_text(text, encoding="utf-8")


@pytest.mark.parametrize("name", ["00.png.xmp", "00.xmp", "00.png.XMP"])
@pytest.mark.parametrize("program", PACKETS)
def test_the_words_of_a_sidecar_are_those_of_its_photograph(photographs, program, name):
    write_sidecar(photographs / name, program)
    word = PACKETS[program][2]
    build_index(photographs)
    index = pecl.ImageIndex.open(photographs)
    (group,) = index.select(word).groups
    assert index.paths[int(group.rows.item())] == photographs / "00.png"


def test_an_index_counts_the_people_and_days_that_it_read(photographs, capsys):
    write_sidecar(photographs / "00.xmp")
    write_sidecar(photographs / "01.xmp")  # the same person
    write_sidecar(photographs / "03.xmp", "", EXIF, "<exif:DateTimeOriginal>2018-03-01</exif:DateTimeOriginal>")
    report = build_index(photographs)
    assert (report.people, report.days) == (1, 1)
    assert main(["index", str(photographs)]) == 0
    assert "days" not in capsys.readouterr().out  # nothing was read again


def test_a_sidecar_that_changes_changes_words_and_days_and_embeds_nothing(photographs, towers, monkeypatch, capsys):
    build_index(photographs)
    monkeypatch.setattr("pecl.encoders.towers.load_image_encoder", lambda *_, **__: pytest.fail("loaded"))

    def update():
        """Return the names found by two words, and those of 2019, after an update; and how many were read again."""
        report = build_index(photographs)
        assert (report.new, report.changed, report.removed) == (0, 0, 0)
        index = pecl.ImageIndex.open(photographs)
        words = [words_of(index.select(word)) for word in ("Marie", "Eiffelturm")]
        days = index.select(after="2018", before="2019").rows
        return (*words, [index.paths[row].name for row in days], report.described)

    assert update() == ((), (), [], 0)
    write_sidecar(photographs / "03.xmp")
    assert update() == (("Marie",), (), [], 1)
    assert update() == (("Marie",), (), [], 0)
    write_sidecar(photographs / "03.png.xmp", "Lightroom")
    assert update() == (("Marie",), ("Eiffelturm",), [], 1)
    write_sidecar(photographs / "03.xmp", "", EXIF, "<exif:DateTimeOriginal>2018-03-01</exif:DateTimeOriginal>")
    assert update() == ((), ("Eiffelturm",), ["03.png"], 1)
    (photographs / "03.png.xmp").unlink()
    assert update() == ((), (), ["03.png"], 1)
    (photographs / "03.xmp").unlink()
    assert main(["index", str(photographs)]) == 0
    assert "(0 new, 0 changed, 0 removed, words of 1 read again)" in capsys.readouterr().out
    assert update() == ((), (), [], 0)


def test_the_day_of_a_sidecar_precedes_that_of_the_photograph_except_the_day_of_a_scan(photographs):
    for name, tag in (("a", "exif:DateTimeOriginal"), ("b", "xap:CreateDate")):
        photograph(photographs / f"{name}.jpg", taken="2010:07:14 10:00:00")
        write_sidecar(photographs / f"{name}.xmp", "", EXIF, f"<{tag}>1987-12-24T18:00:00</{tag}>")
    build_index(photographs)
    index = pecl.ImageIndex.open(photographs)
    days = {year: index.select(f"x {year}").rows for year in ("1987", "2010")}
    assert {year: [index.paths[row].name for row in rows] for year, rows in days.items()} == {
        "1987": ["a.jpg"],
        "2010": ["b.jpg"],
    }


@pytest.mark.parametrize(
    ("written", "taken"),
    [
        ("2019-02-30", None),
        ("2019:02:30 10:00:00", None),
        ("2019-02-28T10:00", "2019-02-28"),
        ("2019-13", None),
        ("2019-00-00", None),
        ("0000:00:00 00:00:00", None),
        ("2019-2-3", None),
        ("2019-02", "2019-02-01"),
        ("2019", "2019-01-01"),
    ],
)
def test_only_days_of_the_calendar_are_days(photographs, written, taken):
    write_sidecar(photographs / "00.xmp", "", EXIF, f"<exif:DateTimeOriginal>{written}</exif:DateTimeOriginal>")
    (photograph,) = [one for one in find_photographs(photographs).photographs if one.name == "00.png"]
    assert describe(photographs, photograph).taken == taken


@pytest.mark.parametrize(
    "content",
    [
        b"<x:xmpmeta",
        b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><x>&b;</x>',
        b'<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><x>&a;</x>',
        b'<!DOCTYPE x SYSTEM "http://localhost:1/x.dtd"><x/>',
        b"<x>" + b" " * MAX_BYTES + b"</x>",
        b"<x>" * 1100 + b"</x>" * 1100,
    ],
)
def test_a_broken_or_hostile_sidecar_is_counted_and_the_photograph_is_indexed(photographs, capsys, content):
    (photographs / "00.xmp").write_bytes(content)
    (photographs / "03.xmp").mkdir()  # a folder is no sidecar
    assert main(["index", str(photographs)]) == 0
    assert "1 have metadata that cannot be read, whose words are not searched" in capsys.readouterr().out
    assert len(pecl.ImageIndex.open(photographs)) == COUNT


def test_properties_within_properties_are_read_once(photographs):
    depth = 990
    spaces = 'xmlns:dc="http://purl.org/dc/elements/1.1/"'
    write_sidecar(photographs / "00.xmp", "", spaces, "<dc:subject>" * depth + "Eiffelturm" + "</dc:subject>" * depth)
    assert build_index(photographs).broken == 0
    assert words_of(pecl.ImageIndex.open(photographs).select("eiffelturm")) == ("eiffelturm",)


def test_a_folder_or_person_of_half_the_photographs_comes_first(photographs):
    region = (
        "<mwg-rs:Regions><mwg-rs:RegionList><rdf:Bag><rdf:li><rdf:Description mwg-rs:Name='{0}' mwg-rs:Type='{1}'/>"
        "</rdf:li></rdf:Bag></mwg-rs:RegionList></mwg-rs:Regions>"
    )
    half = [paint(photographs / "2019 Vianoce" / f"{number}.png", seed=100 + number) for number in range(COUNT)]
    tagged = sorted(photographs.rglob("*.png"))[: COUNT + 2]
    for number, path in enumerate(tagged):
        kind, name = ("Face", "Jana") if number else ("BarCode", "Kód")
        write_sidecar(path.with_suffix(".xmp"), "", f'xmlns:mwg-rs="{MWG}"', region.format(name, kind))
    build_index(photographs)
    index = pecl.ImageIndex.open(photographs)

    hits = index.search("2019 Vianoce", "sk", top=2 * COUNT)[0]
    assert {hit.path for hit in hits[:COUNT]} == set(half)
    hits = index.search("Jana na pláži", "sk", top=2 * COUNT)[0]
    assert {hit.path for hit in hits[: len(tagged) - 1]} == set(tagged[1:])


def test_a_sidecar_moves_with_its_photograph(photographs, towers):
    write_sidecar(photographs / "2019" / "01.png.xmp")
    build_index(photographs)
    towers.pictures = 0
    shutil.move(photographs / "2019", photographs / "2020")
    build_index(photographs)
    index = pecl.ImageIndex.open(photographs)
    (group,) = index.select("Marie").groups
    assert (index.paths[int(group.rows.item())], towers.pictures) == (photographs / "2020" / "01.png", 0)
