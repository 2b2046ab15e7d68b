"""Search finds the photographs that arithmetic says, of every kind that phones write, for any query."""

import contextlib
import os
import re
import shlex
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pillow_heif
import pytest
import torch
from helpers.serving import write_adapters
from helpers.small_index import COUNT, check_hits, unit
from helpers.tiny import tiny_tower
from PIL import Image

import pecl
import pecl.encoders.towers
from pecl.apps.search.build import build_index
from pecl.apps.search.catalogue import FILE
from pecl.apps.search.encoder import QueryEncoder
from pecl.apps.search.exact import ExactSearch
from pecl.apps.search.options import IndexOptions
from pecl.errors import ConfigError, DataError
from pecl.files import images as pictures


@pytest.fixture
def index(photographs):
    build_index(photographs)
    return pecl.ImageIndex.open(photographs)


def ranking(index, query):
    """Return names and similarities by a plain sort in double precision."""
    scores = np.asarray(index.embeddings, np.float64) @ unit([query])[0]
    order = sorted(range(len(scores)), key=lambda i: (-scores[i], i))
    return [(index.paths[i], scores[i]) for i in order]


@pytest.mark.parametrize("top", [1, 5, COUNT, 10 * COUNT])
def test_texts_find_what_is_nearest_to_their_embeddings(index, top):
    texts = ["ein Hund", "der Strand", "pes"]
    found = index.search(texts, "de", top=top)
    for text, hits in zip(texts, found, strict=True):
        check_hits(hits, ranking(index, tiny_tower().encode_text(text)[0])[:top])


def test_texts_pictures_and_embeddings_in_one_search(index):
    text = tiny_tower().encode_text(["a dog"])
    mixed = index.search(["a dog", index.paths[5]], "en")
    check_hits(mixed[0], ranking(index, text[0])[:10])
    assert mixed[1][0].path == index.paths[5]
    for query in (text, text.numpy(), 7 * text):
        check_hits(index.search(query)[0], ranking(index, text[0])[:10])


def test_text_minus_text_is_the_difference_of_directions(index):
    dog, beach = unit(tiny_tower().encode_text(["a dog", "a beach"]))
    check_hits(index.search("a dog", "en", minus="a beach", top=COUNT)[0], ranking(index, dog - beach))
    by_each = index.search(["a dog", "a dog"], "en", minus=["a beach", "a dog "], top=1)
    check_hits(by_each[0], ranking(index, dog - beach)[:1])


def test_a_hit_is_found_again_by_its_id_alone(index):
    (hits,) = index.search("a dog", "en", top=COUNT)
    assert len({hit.id for hit in hits}) == COUNT
    for hit in hits:
        assert index.find(hit.id).path == hit.path
        assert re.fullmatch("[0-9a-f]{32}", hit.id)
    for strange in ("", "../../etc/passwd", str(hits[0].path), "0" * 32):
        with pytest.raises(DataError, match="there is no photograph"):
            index.find(strange)


@pytest.mark.parametrize("seed", range(5))
def test_equal_similarities_come_in_the_order_of_names(seed):
    generator = np.random.default_rng(seed)
    matrix = unit(generator.integers(-1, 2, (200, 3)) + 1e-9).astype(np.float32)  # many are equal
    store = ExactSearch(matrix)
    (query,) = unit(generator.normal(size=(1, 3))).astype(np.float32)
    scores, some = matrix @ query, np.flatnonzero(generator.random(200) < 0.3)
    for top, rows in ((1, None), (7, None), (50, None), (199, None), (200, None), (7, some)):
        among = range(200) if rows is None else rows
        found = [row for row, _ in store.nearest(query, top, False, rows)]
        assert found == sorted(among, key=lambda i: (-scores[i], i))[:top]


@pytest.fixture
def adapters(tmp_path, towers):
    """Adapter files of Czech and German, with random values."""
    return dict(zip(("cs", "de"), write_adapters(tmp_path, ("cs", "de"), "lora:r=2+head"), strict=True))


def through(path, text):
    """Return the embedding of a text by a tower that has the adapter of only one file."""
    bank = pecl.AdapterBank.from_files(tiny_tower(), [path])
    return bank.encode_text([text], bank.languages[0])[0]


def test_threads_whose_first_queries_need_one_adapter_load_it_once(index, adapters, monkeypatch):
    encoder = QueryEncoder("mini", adapters.values())
    encoder.bank.remove("cs")
    read_files, meeting = encoder.known.files, threading.Barrier(2)

    def read_together(languages):
        with contextlib.suppress(threading.BrokenBarrierError):  # only one thread comes
            meeting.wait(0.3)
        return read_files(languages)

    monkeypatch.setattr(encoder.known, "files", read_together)
    with ThreadPoolExecutor(2) as threads:
        found = list(threads.map(lambda _: encoder.encode_text("pes na pláži", "cs"), range(2)))
    for embeddings in found:
        torch.testing.assert_close(embeddings[0], through(adapters["cs"], "pes na pláži"))
    assert encoder.bank.adapters == ["de", "cs"]


def test_each_language_goes_through_its_adapter_and_english_through_the_plain_tower(index, adapters):
    opened = pecl.ImageIndex.open(index.folder, adapters=adapters.values())
    assert opened.queries.known.preferred == ["en", "cs", "de"]
    with pytest.MonkeyPatch.context() as patch:  # more adapters than common languages
        patch.setattr("pecl.language.languages.COMMON", ("cs",))
        assert opened.queries.known.preferred == ["en", "cs"]
    text = "pes na pláži"
    plain = tiny_tower().encode_text(text)[0]
    expected = {"cs": through(adapters["cs"], text), "de": through(adapters["de"], text), "en": plain, "nl": plain}
    found = opened.search([text] * 4, list(expected), top=COUNT)
    for hits, embedding in zip(found, expected.values(), strict=True):
        check_hits(hits, ranking(index, embedding.numpy()))
    assert len({hits[0].score for hits in found[:3]}) == 3
    check_hits(opened.search(text, "German")[0], ranking(index, expected["de"].numpy())[:10])
    bits = opened.queries.encode_text([text], "en")
    assert torch.equal(bits, plain.unsqueeze(0))


def test_the_language_is_detected_and_its_adapter_or_the_plain_tower_embeds_it(index, adapters):
    build_index(index.root, options=IndexOptions(languages=("cs", "de", "en", "es")))
    opened = pecl.ImageIndex.open(index.folder, adapters=adapters.values())
    languages = {
        "pes běží po pláži": "cs",
        "der Hund läuft am Strand": "de",
        "the dog runs along the beach": "en",
        "el perro corre por la playa": "es",
        "1234": None,
    }
    assert [one.language for one in opened.queries.guess_languages(list(languages))] == list(languages.values())
    for text, code in languages.items():
        expected = through(adapters[code], text) if code in adapters else tiny_tower().encode_text(text)[0]
        check_hits(opened.search(text)[0], ranking(index, expected.numpy())[:10])


def test_a_doubtful_language_mixes_the_embeddings_of_the_likeliest_by_their_shares(index, adapters, monkeypatch):
    build_index(index.root, options=IndexOptions(languages=("Czech", "de", "en")))
    opened = pecl.ImageIndex.open(index.folder, adapters=adapters.values())
    (guess,) = opened.queries.guess_languages(["hotel"])
    shares = dict(guess.shares)
    assert set(shares) == {"cs", "de", "en"}
    assert sum(shares.values()) == pytest.approx(1)
    mixed = shares["en"] * tiny_tower().encode_text("hotel")[0]
    mixed = mixed + sum(shares[code] * through(path, "hotel") for code, path in adapters.items())
    check_hits(opened.search("hotel")[0], ranking(index, mixed.numpy())[:10])
    sure = through(adapters["de"], "der Hund läuft am Strand")
    for hits, embedding in zip(opened.search(["hotel", "der Hund läuft am Strand"]), (mixed, sure), strict=True):
        check_hits(hits, ranking(index, embedding.numpy())[:10])
    assert build_index(index.root).changed == 0
    assert pecl.ImageIndex.open(index.folder).languages == ("cs", "de", "en")  # named once


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"queries": 5}, "expected a text or a picture at position 0, got int"),
        ({"queries": np.zeros((2, 3))}, r"expected finite embeddings of shape \(Q, 8\), got \(2, 3\)"),
        ({"queries": np.full((1, 8), np.nan)}, "expected finite embeddings"),
        ({"queries": ["a", "b"], "language": ["en"]}, "1 languages for 2 queries"),
        ({"queries": ["a", "b"], "language": "en", "minus": ["c"]}, "expected one text, or 2 as the queries, got 1"),
        ({"queries": "a", "language": "en", "top": True}, "top: expected a whole number from 1 to 1,000,000, got True"),
    ],
)
def test_what_cannot_be_searched_with(index, arguments, said):
    with pytest.raises((ConfigError, DataError), match=said):
        index.search(**arguments)


def test_a_picture_is_not_compared_with_what_another_tower_made(index, monkeypatch):
    tower = index.queries.image_tower
    with torch.no_grad():
        tower.backbone.weight.mul_(2)
    with pytest.raises(DataError, match="different weights of the image tower"):
        index.search(index.paths[0])


def test_a_text_is_not_compared_with_what_was_made_for_another_text_tower(index, monkeypatch):
    load = pecl.encoders.towers.load_text_encoder

    def load_another(*_, **__):
        tower = load()
        with torch.no_grad():
            next(iter(tower.parameters())).mul_(1.5)
        return tower

    monkeypatch.setattr(pecl.encoders.towers, "load_text_encoder", load_another)
    opened = pecl.ImageIndex.open(index.folder)
    with pytest.raises(DataError, match=r"different weights of the text tower .*: run `pecl index .* --reb"):
        opened.search("a dog", "en")
    opened.search(opened.embeddings[:1])  # which asks no tower
    build_index(index.root, options=pecl.IndexOptions(rebuild=True))
    assert pecl.ImageIndex.open(index.folder).search("a dog", "en")


def test_heic_and_large_photographs_are_found(photographs, towers, monkeypatch):
    monkeypatch.setattr(pictures, "WHOLE", 1000)
    monkeypatch.setattr(pictures, "PIXELS", 2000)
    pillow_heif.from_pillow(Image.new("RGB", (30, 30), (200, 40, 90))).save(photographs / "phone.heic")
    Image.new("RGB", (160, 120), (10, 220, 60)).save(photographs / "large.jpg")
    Image.new("RGB", (60, 50), (10, 220, 60)).save(photographs / "large.png")
    report = build_index(photographs, options=None)
    assert report.photographs == COUNT + 2
    assert report.unreadable == {"large.png": "expected at most 2,000 pixels, got 60 x 50"}
    index = pecl.ImageIndex.open(photographs)
    for name, colour in (("phone.heic", (200, 40, 90)), ("large.jpg", (10, 220, 60))):
        (hits,) = index.search(Image.new("RGB", (8, 8), colour), top=1)
        assert hits[0].path.name == name
        assert index.open_image(hits[0]).getpixel((0, 0)) == pytest.approx(colour, abs=6)


def test_a_suggested_command_has_its_path_as_a_shell_reads_it(photographs):
    album = photographs.rename(photographs.with_name("Naše fotky 'z léta'"))
    with pytest.raises(DataError, match="make one with") as caught:
        pecl.ImageIndex.open(album)
    (command,) = re.findall("`(.*)`", str(caught.value))
    assert shlex.split(command) == ["pecl", "index", str(album)]


def test_a_list_of_embeddings_is_scaled_and_checked(index):
    rows = [5 * index.embeddings[0], torch.tensor(index.embeddings[1])]
    assert index.search(rows, top=3) == index.search(np.stack(index.embeddings[:2]), top=3)
    with pytest.raises(DataError, match="queries: expected finite embeddings"):
        index.search([np.full(8, np.nan, np.float32)])


def test_what_is_no_text_in_utf8_is_refused_and_a_year_may_be_a_number(index):
    with pytest.raises(DataError, match="queries: expected text in UTF-8 at position 0"):
        index.search("\udc80")
    assert index.search("a dog", "en", after=2019) == index.search("a dog", "en", after="2019")


def test_one_text_is_not_embedded_letter_by_letter(index):
    assert torch.equal(index.queries.encode_text("abc", "en"), index.queries.encode_text(["abc"], "en"))


def test_an_index_among_its_photographs_moves_with_them(photographs, tmp_path, monkeypatch):
    build_index(photographs, photographs)
    moved = photographs.rename(tmp_path / "moved")
    monkeypatch.chdir(tmp_path)
    index = pecl.ImageIndex.open("moved")
    monkeypatch.chdir(moved)
    (hits,) = index.search("a dog", "en")
    assert hits
    assert all(hit.path.is_file() for hit in hits)


def test_an_index_that_is_locked_is_not_called_damaged(photographs, monkeypatch):
    place = build_index(photographs).folder
    monkeypatch.setattr("pecl.apps.search.catalogue._PATIENCE", 0.01)
    with contextlib.closing(sqlite3.connect(place / FILE, isolation_level=None)) as database:
        database.execute("BEGIN EXCLUSIVE")
        with pytest.raises(DataError, match="database is locked; try again"):
            pecl.ImageIndex.open(photographs)


def test_folders_that_are_not_utf8_are_chosen_by_the_name_that_is_shown(photographs):
    (photographs / "2019").rename(photographs / os.fsdecode(b"caf\xe9"))
    build_index(photographs)
    index = pecl.ImageIndex.open(photographs)
    assert len(index.select(folder="caf\\xe9").rows) == len(index.select(folder=os.fsdecode(b"caf\xe9")).rows) > 0
