"""`pecl index` and `pecl search`: what they print, and where."""

import json
import os
import re
from pathlib import Path

import pytest
from helpers.serving import write_adapters
from helpers.small_index import COUNT
from helpers.tiny import tiny_tower

import pecl
import pecl.adapters.ready
from pecl.apps.search.build import IndexReport, build_index
from pecl.apps.search.catalogue import index_folder
from pecl.cli import main


@pytest.fixture
def indexed(photographs):
    build_index(photographs)
    return photographs


def printed(capsys, *arguments):
    assert main([str(argument) for argument in arguments]) == 0
    return capsys.readouterr()


def test_index_says_what_it_did_and_what_it_could_not_read(photographs, capsys):
    for i in range(12):
        (photographs / f"bad{i:02}.jpg").write_bytes(b"no picture")
    lines = printed(capsys, "index", photographs).out.splitlines()
    assert lines[0] == f"{index_folder(photographs)}: {COUNT} photographs ({COUNT} new, 0 changed, 0 removed)"
    assert lines[1] == "12 cannot be read:"
    assert lines[2].startswith("  bad00.jpg: cannot identify image file")
    assert lines[12:] == ["  ... (all of them: --json)"]
    document = json.loads(printed(capsys, "index", photographs, "--json", "--threads", 1).out)
    assert (document["photographs"], document["new"], len(document["unreadable"])) == (COUNT, 0, 12)


def test_search_prints_scores_and_paths_and_shows_the_guess(indexed, capsys):
    guessed = printed(capsys, "search", indexed, "der Hund läuft am Strand", "--top", 3)
    line = r"language: German \(de\), none of yours, detected automatically \(confidence 0\.\d\d\); adapter: none"
    assert re.search(line, guessed.err)
    lines = [line.split("  ") for line in guessed.out.splitlines()]
    hits = pecl.ImageIndex.open(indexed).search("der Hund läuft am Strand", "de", top=3)[0]
    assert lines == [[f"{hit.score:.3f}", str(hit.path)] for hit in hits]
    named = printed(capsys, "search", indexed, "der Hund läuft am Strand", "--language", "German", "--top", 3)
    assert named.out == guessed.out
    assert named.err == (
        "language: German (de); adapter: none (no adapter is known); hubs: not corrected (no reference captions are "
        "known for these towers (mini))\n"
    )
    document = json.loads(printed(capsys, "search", indexed, "!!!", "--json").out)
    assert (document["language"], document["confidence"], document["adapter"]) == (None, 0, "none")
    sentence = "language: not detected: no word of the text identifies a language; adapter: none (the base encoder); "
    assert document["note"].startswith(sentence)


def test_an_adapter_adds_to_the_shipped_ones_and_is_named(indexed, capsys, tmp_path, monkeypatch):
    czech, dutch = write_adapters(tmp_path, ("cs", "nl"))
    monkeypatch.setattr(pecl.adapters.ready, "ready_adapters", lambda *_: {"cs": czech})
    printed(capsys, "index", indexed, "--languages", "cs,nl")
    for text, adapter in (("pes běží po pláži", "mini:cs"), ("een hond rent over het strand", str(dutch))):
        document = json.loads(printed(capsys, "search", indexed, text, "--json", "--adapter", dutch).out)
        assert document["adapter"] == adapter
        plain = json.loads(printed(capsys, "search", indexed, text, "--json", "--adapter", "none").out)
        assert plain["adapter"] == "none"
        assert [one["score"] for one in plain["photographs"]] != [one["score"] for one in document["photographs"]]


def test_search_by_picture_by_both_and_by_difference(indexed, capsys):
    picture = indexed / "00.png"
    document = json.loads(printed(capsys, "search", indexed, "--image", picture, "--json", "--top", 1).out)
    assert document["photographs"][0]["path"] == str(picture)
    assert document["language"] is None
    index = pecl.ImageIndex.open(indexed)
    text, minus = tiny_tower().encode_text(["a dog", "a beach"]).numpy()
    flags = ["search", indexed, "a dog", "--minus", "a beach", "--image", picture, "--language", "en", "--json"]
    document = json.loads(printed(capsys, *flags).out)
    expected = index.search((text - minus + index.embed(picture)), top=10)[0]
    assert [one["path"] for one in document["photographs"]] == [str(hit.path) for hit in expected]
    assert document["query"] == f"a dog + {picture} - a beach"


@pytest.mark.parametrize("thumbnails", [True, False])
def test_a_page_shows_what_was_found_in_one_file(photographs, capsys, tmp_path, thumbnails):
    (photographs / "00.png").rename(photographs / "<b>&.png")
    odd = (photographs / "03.png").rename(photographs / os.fsdecode(b"caf\xe9.png"))
    printed(capsys, "index", photographs, *["--thumbnails"] * thumbnails)
    page = tmp_path / "pages" / "found.html"
    query = ("<script>alert(1)</script>", "--language", "en", "--image", odd)
    printed(capsys, "search", photographs, *query, "--top", 99, "--html", page)
    text = page.read_text("utf-8")
    assert text.count('<img src="data:image/jpeg;base64,') == COUNT
    assert "<script>" not in text
    assert "&lt;b&gt;&amp;.png" in text
    assert text.count("caf\\udce9.png</") == 3  # title, heading and caption
    assert not re.search(r"(src|href)=[\"'](?!data:)", text)


def test_a_page_names_photographs_that_are_gone(indexed, capsys, tmp_path):
    (indexed / "00.png").unlink()
    printed(capsys, "search", indexed, "dog", "--language", "en", "--top", 99, "--html", tmp_path / "found.html")
    text = (tmp_path / "found.html").read_text("utf-8")
    assert text.count("<img") == COUNT - 1
    assert "cannot read image" in text


def test_a_text_needs_no_quotes(indexed, capsys):
    joined = printed(capsys, "search", indexed, "der Hund am Strand", "--language", "de")
    assert printed(capsys, "search", indexed, "der", "Hund", "am", "Strand", "--language", "de").out == joined.out
    assert printed(capsys, "search", "--language", "de", indexed, "der", "Hund", "am", "Strand").out == joined.out


def test_index_prints_each_count_in_its_place(monkeypatch, capsys):
    counts = {"new": 1, "changed": 2, "moved": 3, "removed": 4, "broken": 5, "people": 6, "days": 7}
    report = IndexReport(Path("there"), 10, **counts, unreadable={}, again="other towers")
    monkeypatch.setattr("pecl.apps.commands.index.build_index", lambda *_: report)
    assert printed(capsys, "index", "album").out.splitlines() == [
        "photographs were embedded again: other towers",
        "there: 10 photographs (1 new, 2 changed, 3 moved, 4 removed)",
        "read the days of 7 photographs and the names of 6 people",
        "5 have metadata that cannot be read, whose words are not searched",
    ]


def test_words_may_follow_a_flag(indexed, capsys):
    expected = printed(capsys, "search", indexed, "pes na pláži", "--language", "cs").out
    assert printed(capsys, "search", indexed, "--language", "cs", "pes", "na", "pláži").out == expected
    assert main(["search", str(indexed), "pes", "--langage", "cs"]) == 2


def test_the_language_none_is_the_plain_tower(indexed, capsys):
    document = json.loads(printed(capsys, "search", indexed, "pes", "--language", "none", "--json").out)
    assert (document["language"], document["adapter"]) == (None, "none")
    assert document["note"].startswith("adapter: none (the base encoder)")
